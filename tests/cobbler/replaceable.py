"""A machine that can be replaced: the bench's inside with a shim for grubby, koan, and kernels in /boot."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from tests.cobbler.bench import Bench

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = REPOSITORY / "genome-replace-self" / "genome-replace-self"
SHIM_FILE = Path(__file__).with_name("grubby.py")
SHIM = "/var/lib/grubby-shim"
OLD_KERNEL = "/boot/vmlinuz-6.12.0-1.x86_64"
OLDER_KERNEL = "/boot/vmlinuz-6.11.0-1.x86_64"
KOAN_KERNEL = "/boot/vmlinuz_koan"
SERVER = "cobbler.example.org"
F8, RHEL5, F42 = "GenomeCloud-F8-i386", "GenomeCloud-RHEL5U2-x86_64", "GenomeCloud-F42-x86_64"
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"\n'


def entry(kernel: str, title: str) -> dict[str, str]:
    version = kernel.partition("-")[2]
    return {
        "kernel": kernel, "initrd": f"/boot/initramfs-{version}.img", "title": title,
        "args": "root=/dev/mapper/rl-root ro rd.lvm.lv=rl/root rhgb", "id": f"0123456789abcdef-{version}",
    }  # fmt: skip


def kickstart_url(profile: str) -> str:
    return f"http://{SERVER}/cblr/svc/op/ks/profile/{profile}"


def options_of(entry: Mapping[str, str]) -> list[str]:
    """A boot entry's words but for the console, which is the one this machine happens to have."""
    return [word for word in entry["args"].split() if not word.startswith("console=")]


class Replaceable:
    """The inside of a bench, dressed up as a machine of the RHEL kind; `reset` makes it new."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.shell(f"mkdir -p {SHIM}; ln -sf {bench.koan} /usr/sbin/koan; cp {SHIM_FILE} /usr/sbin/grubby")
        self.shell("chmod 755 /usr/sbin/grubby; rm /etc/os-release; cat > /etc/os-release", input=ROCKY)
        self.reset()

    def reset(self) -> None:
        """Two kernels in the boot menu, the newer one the default, nothing prepared."""
        entries = [entry(OLD_KERNEL, "Rocky 9, new"), entry(OLDER_KERNEL, "Rocky 9, old")]
        self.shell(
            f"rm -rf /boot/* {SHIM}/* /var/lib/genome-replace-self /etc/genome/* /var/spool/koan"
            f"; for kernel in {OLD_KERNEL} {OLDER_KERNEL}; do echo kernel > $kernel; done"
            f"; cat > {SHIM}/state.json",
            input=json.dumps({"entries": entries, "saved": entries[0]["id"]}),
        )

    def shell(self, script: str, **kw: Any) -> str:
        """What a shell script inside prints; it must end well."""
        done = self.bench.run(["sh", "-c", script], **kw)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def replace_self(
        self, *args: str, env: Mapping[str, str] = {}, **kw: Any
    ) -> subprocess.CompletedProcess[str]:
        """genome-replace-self with these arguments; /usr/sbin is where it looks for programs first."""
        path = f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}"
        return self.bench.run([COMMAND, *args], env={"PATH": path, **env}, **kw)

    def type_in(self, typed: str, command: str) -> tuple[int, str]:
        """Run a command line on a terminal and answer its question; its exit code and what stood there."""
        ours, theirs = pty.openpty()
        environ = f"export COBBLER_REPO={SERVER} CLOUD_MASTER=cloud.example.org PATH={COMMAND.parent}:$PATH"
        child = self.bench.popen(
            ["setsid", "--ctty", "--wait", "sh", "-c", f"{environ}; {command}"],
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        said, asked = b"", False
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the last program with that terminal has ended
                break
            said += piece
            if b"type the machine's name" in said and not asked:
                asked = True
                os.write(ours, typed.encode())
        os.close(ours)
        return child.wait(60), said.decode()

    @property
    def menu(self) -> list[dict[str, str]]:
        """The boot entries that grubby's shim has."""
        return list(json.loads(self.shell(f"cat {SHIM}/state.json"))["entries"])

    @property
    def default(self) -> dict[str, str]:
        """The boot entry that would be booted."""
        index = int(self.shell("/sbin/grubby --default-index"))
        return self.menu[index]

    @property
    def calls(self) -> list[list[str]]:
        """The calls of grubby that changed something, in order."""
        lines = self.shell(f"cat {SHIM}/calls 2>/dev/null || :").splitlines()
        made: list[list[str]] = [json.loads(line) for line in lines]
        asks = ("--info", "--default-index", "--default-kernel", "--bootloader-probe")
        return [call for call in made if not call[0].startswith(asks)]

    def fail(self, *options: str) -> None:
        """Have grubby fail whenever it is called with one of these options."""
        self.shell(f"cat > {SHIM}/fail", input=" ".join(options))

    @contextmanager
    def instead(self, program: str, script: Optional[str]) -> Iterator[None]:
        """Have a shell script in the place of a program, which it finds as NAME.real, or nothing at all."""
        file = f"/usr/sbin/{program}"
        self.shell(f"if [ -e {file} ]; then mv {file} {file}.real; fi")
        try:
            if script is not None:
                self.shell(f"cat > {file} && chmod 755 {file}", input=f"#!/bin/sh\n{script}\n")
            yield
        finally:
            self.shell(f"rm -f {file}; if [ -e {file}.real ]; then mv {file}.real {file}; fi")

    def boot_files(self) -> list[str]:
        """What lies in /boot."""
        return self.shell("ls /boot").split()

    @property
    def untouched(self) -> bool:
        """Whether the machine is as `reset` left it."""
        return (
            self.calls == []
            and self.default["kernel"] == OLD_KERNEL
            and self.boot_files() == sorted(Path(kernel).name for kernel in (OLD_KERNEL, OLDER_KERNEL))
            and self.shell("ls /var/lib/genome-replace-self 2>/dev/null || :") == ""
        )
