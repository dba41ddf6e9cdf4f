"""A hypervisor in the bench's network: a session's libvirtd with QEMU, koan, and the minion's modules."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import pytest

from tests.cobbler.bench import Bench
from tests.installs.minion_process import REPOSITORY
from tests.sockets import listens

libvirt = pytest.importorskip("libvirt", reason="needs libvirt: install python3-libvirt")
T = TypeVar("T")
NOBODY = 65534
MODULES = Path(__file__).with_name("minion_process.py")


def eventually(look: Callable[[], T], what: str, within_s: float = 180.0) -> T:
    """Look again and again until there is something to see; fails with `what` when there never is."""
    end = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.05)


def missing() -> list[str]:
    """The programs that are not there."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    programs = ("libvirtd", "qemu-system-x86_64", "qemu-img", "virt-install")
    return [name for name in programs if not shutil.which(name, path=path)]


class Refused(Exception):
    """What the minion answered is an error."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text = kind, text


class Host:
    """It is nobody's: everything on it runs without rights."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.home = Path(tempfile.mkdtemp(prefix="host-"))  # short: a socket's path has 107 characters
        self.pool, self.consoles, self.root = self.home / "pool", self.home / "log", self.home / "root"
        socket = self.home / "libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={socket}"
        self.koan = str(self.home / "koan")
        for folder in (self.home / "libvirt", self.pool, self.consoles, self.root / "etc/func/modules"):
            folder.mkdir(parents=True)
        (self.home / "libvirt/qemu.conf").write_text('stdio_handler = "file"\n')
        self._write_koan(bench.koan)
        self.configure()
        if os.geteuid() == 0:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        self._env = {f"XDG_{kind}": str(self.home) for kind in ("RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME")}
        self._env["HOME"] = str(self.home)
        self._minion: Optional[subprocess.Popen[str]] = None
        self._errors = (self.home / "errors").open("w+")
        self._daemon = bench.popen(
            ["libvirtd"], unprivileged=True, env=self._env, cwd=str(self.home), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually(lambda: listens(socket) or self._daemon.poll() is not None, "libvirtd to listen")
        assert self._daemon.poll() is None, "libvirtd ended at once"
        self.connection: Any = libvirt.open(self.uri)
        target = f"<pool type='dir'><name>default</name><target><path>{self.pool}</path></target></pool>"
        self.connection.storagePoolDefineXML(target).create()

    def _write_koan(self, program: str) -> None:
        """koan's own environment has no libvirt, which the distribution's koan finds beside itself."""
        libvirtmod = sys.modules["libvirtmod"]
        (self.home / "python").mkdir()
        for module in (libvirt, libvirtmod):
            (self.home / "python" / Path(module.__file__).name).symlink_to(module.__file__)
        Path(self.koan).write_text(f'#!/bin/sh\nexec env PYTHONPATH={self.home}/python {program} "$@"\n')
        Path(self.koan).chmod(0o755)

    def configure(self, **settings: str) -> None:
        """Write the modules' configuration; it counts from the minion's next start on."""
        modules = self.root / "etc/func/modules"
        values = {"koan": self.koan, "console_log_dir": "/console", "virt_type": "qemu", **settings}
        lines = [f"{key} = {value}" for key, value in values.items()]
        (modules / "Machine.conf").write_text("\n".join(["[main]", *lines]) + "\n")
        (modules / "Virt.conf").write_text(f"[main]\nuri = {self.uri}\n")
        console = self.root / "console"
        if not console.is_symlink():
            console.symlink_to(self.consoles)

    # ---------------------------------------------------------------------------------------- the minion

    def call(self, method: str, *arguments: Any) -> Any:
        """What a wire method answers, JSON already read; raises Refused."""
        if self._minion is None:
            self._minion = self._bench.popen(
                [REPOSITORY / ".venv/bin/python", MODULES, self.root],
                # Where the bench's root is an ordinary user, each that drops its rights has a user namespace
                # of its own, and one minion could not see what the one before it had left.
                unprivileged=not self._bench.rootless, env=self._env, text=True, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            )  # fmt: skip
        assert self._minion.stdin is not None and self._minion.stdout is not None
        self._minion.stdin.write(json.dumps([method, arguments]) + "\n")
        self._minion.stdin.flush()
        line = self._minion.stdout.readline()
        assert line, f"the minion ended:\n{(self.home / 'errors').read_text()}"
        answer = json.loads(line)
        if isinstance(answer, list) and answer and answer[0] == "REMOTE_ERROR":
            raise Refused(answer[1].rpartition(".")[2], answer[2])
        return json.loads(answer) if isinstance(answer, str) else answer

    def kill_minion(self) -> None:
        """kill -9 of the minion alone: what it started lives on."""
        for pid in self.processes(str(MODULES)):
            os.kill(pid, signal.SIGKILL)
        self.end_minion()

    def end_minion(self) -> None:
        """The minion ends as it does when it is told to."""
        if self._minion is not None:
            minion, self._minion = self._minion, None
            minion.communicate(timeout=180)

    def processes(self, words: str) -> list[int]:
        """Processes of this host with these words in their command line, as this process sees them."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    environ = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if words in command and str(self.home).encode() in environ and "nsenter" not in command:
                    found.append(int(entry.name))
        return found

    # ---------------------------------------------------------------------------------------- a machine

    def disk(self, identity: str, volume: str) -> None:
        disk = {"uuid": identity, "pool": "default", "volume": volume, "size_gb": 1, "format": "qcow2"}
        self.call("machine.perform", str(uuid.uuid4()), "create_disk", json.dumps(disk))

    def volumes(self) -> list[str]:
        return sorted(path.name for path in self.pool.iterdir())

    def machines(self) -> list[str]:
        return sorted(domain.name() for domain in self.connection.listAllDomains())

    def said(self, identity: str) -> str:
        """What is on the serial console."""
        log = self.consoles / f"{identity}-console.log"
        return log.read_bytes().decode("utf-8", "replace").replace("\r", "") if log.exists() else ""

    def clear(self) -> None:
        """Have no machine, volume or koan any more."""
        for domain in self.connection.listAllDomains():
            if domain.isActive():
                domain.destroy()
            if domain.isPersistent():
                domain.undefineFlags(4)
        for path in self.pool.iterdir():
            path.unlink()

    def close(self) -> None:
        self.end_minion()
        self.connection.close()
        for pid in self.processes("libvirtd"):
            os.kill(pid, signal.SIGTERM)
        self._daemon.wait(60)
        self._errors.close()
        shutil.rmtree(self.home, ignore_errors=True)
