"""A machine: a tree below a layer of its own, booted by systemd-nspawn, with a network of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from tests.integration.support import eventually

# The mount is seen by the machine alone and gone with it, however this process ends.
_BOOT = """\
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" && shift 2 && exec "$@"
"""
_UP = ("running", "degraded")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CannotBoot(Exception):
    """systemd-nspawn ended before the machine was up; the text is what it said."""


class Failed(AssertionError):
    """A command ended with another exit code than 0; the text is the command and what it said."""


class Machine:
    """One machine, named and booted; `close` ends it and forgets what was written on it."""

    def __init__(self, tree: Path, name: str, addresses: Mapping[str, str], shared: Path) -> None:
        self.name = name
        self.address = addresses[name]
        self._folder = Path(tempfile.mkdtemp(prefix="machine-"))
        for part in ("upper/etc", "work", "root"):
            (self._folder / part).mkdir(parents=True)
        hosts = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
        (self._folder / "upper/etc/hosts").write_text("\n".join(hosts) + "\n")
        (self._folder / "upper/etc/hostname").write_text(f"{name}\n")
        # a letter first: what nspawn takes for a name may not begin with a dash
        self._unique = f"m{self._folder.name[-8:].replace('_', '-')}-{name.split('.')[0]}"
        self._command = self._boot_command(tree, shared)
        self._process = self._start()
        try:
            self.wait_until_up()
        except BaseException:
            self.close()
            raise

    def _boot_command(self, tree: Path, shared: Path) -> list[str]:
        command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private"]
        command += ["sh", "-c", _BOOT, "sh", str(tree), str(self._folder)]
        command += ["systemd-nspawn", "--boot", "--quiet", f"--directory={self._folder}/root"]
        command += [f"--machine={self._unique}", "--private-network", "--register=no", "--keep-unit"]
        command += ["--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe"]
        return [*command, f"--bind-ro={shared}:/srv/shared"]

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "console").open("wb") as console:
            return subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )

    def wait_until_up(self) -> None:
        """Wait until systemd has started what is enabled."""

        def is_up() -> bool:
            if self._process.poll() is not None:
                raise CannotBoot((self._folder / "console").read_text(errors="replace").strip()[-500:])
            return self.leader() is not None and self.said("systemctl is-system-running") in _UP

        eventually(is_up, f"{self.name} to boot", 300)
        # Its own name leads to itself, also without a cable.
        self.run(f"ip link set lo up && ip addr add {self.address}/32 dev lo")

    def leader(self) -> Optional[int]:
        """The process that is the machine's first; None before there is one."""
        for thread in Path(f"/proc/{self._process.pid}/task").glob("*/children"):
            for child in _read(thread).split():
                status = _read(Path(f"/proc/{child}/status"))
                inside = status.partition("NSpid:")[2].split()[:2]
                if "\nName:\tsystemd\n" in f"\n{status}" and inside[-1:] == ["1"]:
                    return int(child)
        return None

    def run(self, script: str, stdin: str = "") -> str:
        """What a shell of the machine's root printed; raises Failed."""
        done = self._call(script, stdin)
        if done.returncode:
            raise Failed(f"{self.name}: {script}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def said(self, script: str) -> str:
        """What it printed, whether that is well or not."""
        return self._call(script).stdout.strip()

    def does(self, script: str) -> bool:
        """Whether it ended with 0."""
        return self._call(script).returncode == 0

    def _call(self, script: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = ["nsenter", "--target", str(self.leader()), "--all", "env", "-i", _PATH]
        command += ["HOME=/root", "LANG=C.UTF-8", "sh", "-c", script]
        return subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=600, check=False,
        )  # fmt: skip

    def write(self, path: str, text: str) -> None:
        """Make a file of the machine hold that text; its folder is made where it is missing."""
        self.run(f"mkdir -p $(dirname {path}) && cat >{path}", text)

    def read(self, path: str) -> str:
        """What a file of the machine holds."""
        return self.run(f"cat {path}")

    def reboot(self) -> None:
        """Boot once more, with what was written; its cables are gone then."""
        self.said("systemctl reboot")
        self._process.wait(180)  # with --keep-unit, systemd-nspawn leaves it to others to boot again
        self._process = self._start()
        self.wait_until_up()

    def connect(self, other: Machine) -> None:
        """A cable between this machine and another; both have their addresses on it."""
        here, there = self.leader(), other.leader()
        command = ["nsenter", "--target", str(here), "--net", "ip", "link", "add", "host0", "type", "veth"]
        subprocess.run([*command, "peer", "name", "host0", "netns", str(there)], check=True)
        for machine in (self, other):
            machine.run(f"ip addr add {machine.address}/24 dev host0 && ip link set host0 up")

    def close(self) -> None:
        """Pull the plug, and remove what was written."""
        leader = self.leader()
        if leader is not None:
            os.kill(leader, signal.SIGKILL)
        else:
            self._process.terminate()
        self._process.wait(180)
        # It finds this on the other side of the mount namespace, and leaves it.
        shutil.rmtree(f"/run/systemd/nspawn/propagate/{self._unique}", ignore_errors=True)
        shutil.rmtree(self._folder)


def _read(file: Path) -> str:
    """What a file of /proc holds; nothing where its process has ended meanwhile."""
    try:
        return file.read_text()
    except OSError:
        return ""
