"""A machine that can be replaced: the bench's inside with a shim for grubby, koan, and kernels in /boot."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cobbler.bench import Bench

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = REPOSITORY / "genome-replace-self" / "genome-replace-self"
SHIM = "/var/lib/grubby-shim"
OLD_KERNEL = "/boot/vmlinuz-6.12.0-1.x86_64"
OLDER_KERNEL = "/boot/vmlinuz-6.11.0-1.x86_64"
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"\n'


def entry(kernel: str, title: str) -> dict[str, str]:
    version = kernel.partition("-")[2]
    return {
        "kernel": kernel, "initrd": f"/boot/initramfs-{version}.img", "title": title,
        "args": "root=/dev/mapper/rl-root ro rd.lvm.lv=rl/root rhgb", "id": f"0123456789abcdef-{version}",
    }  # fmt: skip


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
        """genome-replace-self with these arguments."""
        return self.bench.run([COMMAND, *args], env=env, **kw)

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

    def fail(self, *options: Sequence[str]) -> None:
        """Have grubby fail whenever it is called with one of these options."""
        self.shell(f"cat > {SHIM}/fail", input=" ".join(map(str, options)))

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


SHIM_FILE = Path(__file__).with_name("grubby.py")
