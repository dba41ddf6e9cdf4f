"""A machine that is being installed, as a kickstart's scripts see it: a root with the files they look at.

The scripts run as they are, in a mount and a process namespace and in a chroot, so that /proc/cmdline,
/sys/block, /tmp and /mnt/sysroot are those of the machine made up here. /usr is the real one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TIMEOUT_S = 120
BUSYBOX = "/usr/bin/busybox"
OS_RELEASE = {
    "F42": 'ID=fedora\nVERSION_ID="42"\n', "F45": 'ID=fedora\nVERSION_ID="45"\n',
    "RHEL9": 'ID="rhel"\nVERSION_ID="9.6"\n', "RHEL10": 'ID="rhel"\nVERSION_ID="10.0"\n',
}  # fmt: skip

FOLDERS = ("usr", "etc", "proc/net", "sys/block", "sys/class/net", "sys/devices", "dev", "tmp", "tools")

# A shell, and what a PATH of an installer with that shell holds.
SHELLS = {"bash": "/usr/bin/bash", "dash": "/usr/bin/dash", "busybox": BUSYBOX}


class Installer:
    """The installer's root, in a new directory."""

    def __init__(self, root: Path, shell: str = "bash", version: str = "F42") -> None:
        self.root = root
        self.shell = shell
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True)
        for link in ("bin", "sbin", "lib", "lib64"):
            if Path("/", link).exists():
                (root / link).symlink_to(f"usr/{link}")
        for file in ("dev/null", "dev/console", "dev/tty1"):
            (root / file).touch()
        shutil.copytree("/etc/alternatives", root / "etc/alternatives", symlinks=True)
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        if version in OS_RELEASE:
            (root / "etc/os-release").write_text(OS_RELEASE[version])
        header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        (root / "proc/net/route").write_text(header)
        if shell == "busybox":
            for applet in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
                (root / "tools" / applet).symlink_to(BUSYBOX)
        self.command_line("quiet inst.stage2=hd:LABEL=x")

    def command_line(self, text: str) -> None:
        (self.root / "proc/cmdline").write_text(text + "\n")

    def disk(
        self, name: str, mb: int, where: str = "pci0000:00/0000:00:1f.2/ata1/host0", **flags: int
    ) -> None:
        """A disk; flags are files such as removable=1."""
        device = self.root / "sys/devices" / where / name
        device.mkdir(parents=True)
        entry = self.root / "sys/block" / name
        entry.mkdir()
        (entry / "device").symlink_to(os.path.relpath(device, entry))
        (entry / "size").write_text(f"{mb * 2048}\n")
        for flag, value in {"removable": 0, "ro": 0, **flags}.items():
            (entry / flag).write_text(f"{value}\n")

    def tell(self, disk: str, file: str, text: str) -> None:
        """What the kernel says of the device of a disk, e.g. its type."""
        path = self.root / "sys/block" / disk / "device" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n")

    def card(self, name: str, carrier: bool = True, route: bool = False, real: bool = True) -> None:
        entry = self.root / "sys/class/net" / name
        entry.mkdir()
        (entry / "carrier").write_text(f"{int(carrier)}\n")
        (entry / "address").write_text("52:54:00:12:34:56\n")
        if real:
            (entry / "device").mkdir()
        if route:
            with (self.root / "proc/net/route").open("a") as file:
                file.write(f"{name}\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n")

    def program(self, name: str, script: str) -> None:
        """Put a program before all others of that name."""
        path = self.root / "tools" / name
        path.unlink(missing_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def hasten(self, *, reports: bool = False) -> None:
        """Have the minutes between two reports pass quickly; with `reports` the seconds that each has, too.

        Those are what a busy machine needs to start a program that sends one: a report in a hurry is lost.
        """
        second = "0.02" if reports else "1"
        sleep = f'#!/usr/bin/bash\n[ "$1" = 1 ] && exec /usr/bin/sleep {second}\nexec /usr/bin/sleep 0.5\n'
        self.program("sleep", sleep)

    def command(self, script: str) -> list[str]:
        (self.root / "tmp/ks-script").write_text(script)
        path = "/tools" if self.shell == "busybox" else "/tools:/usr/sbin:/usr/bin"
        shell = [SHELLS[self.shell], "sh"] if self.shell == "busybox" else [SHELLS[self.shell]]
        into = (
            'mount --rbind /usr "$0/usr" && mount --bind /dev/null "$0/dev/null" &&'
            ' chroot "$0" /usr/bin/env -i "PATH=$1" sh -c "$2" ; exit $?'
        )
        # Some scripts leave something behind in the background. It ends with process 1, which tests hold up.
        linger = "while [ -e /tmp/linger ]; do /usr/bin/sleep 0.05; done"
        run = f"{' '.join(shell)} /tmp/ks-script; code=$?; {linger}; exit $code"
        return [*unshare(), "/bin/sh", "-c", into, str(self.root), path, run]

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(script), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip

    @contextmanager
    def running(self, script: str) -> Iterator[subprocess.Popen[str]]:
        """The script and what it starts in the background, until the end of the block."""
        linger = self.root / "tmp/linger"
        linger.touch()
        process = subprocess.Popen(
            self.command(script),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
            linger.unlink()
            process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def file(self, name: str) -> str:
        return (self.root / name).read_text()

    def written(self) -> set[str]:
        """The files in /tmp that the kickstart includes."""
        return {path.name for path in (self.root / "tmp").glob("genome-*.ks")}


def unshare() -> Sequence[str]:
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return argv if os.geteuid() == 0 else [argv[0], "--map-root-user", *argv[1:]]


def why_not() -> str:
    """Why this machine cannot run a kickstart's scripts in a root of their own, or an empty string."""
    if shutil.which("unshare") is None or not Path("/bin").is_symlink():
        return "no unshare on this machine, or one whose /bin is not in /usr"
    done = subprocess.run(
        [*unshare(), "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else ""
