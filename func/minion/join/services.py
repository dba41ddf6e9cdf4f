"""Enable and start what a cloud instance runs, where systemd is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from func.errors import HostError
from func.minion import children

_LIMIT_S = 90.0
_UNIT_DIRS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")

FUNCD = "funcd.service"
# libvirt's daemons of one duty each; before them there was one for everything.
MODULAR = tuple(
    f"virt{name}.socket" for name in ("qemud", "networkd", "storaged", "nodedevd", "secretd", "nwfilterd")
)
MONOLITHIC = ("libvirtd.socket",)


@dataclass(frozen=True)
class Services:
    """The services of the machine whose files lie below `root`."""

    root: Path
    program: str = "systemctl"

    def run_here(self) -> bool:
        """Whether systemd runs this machine."""
        return (self.root / "run/systemd/system").is_dir()

    def libvirt_sockets(self) -> list[str]:
        """The sockets of libvirt that are installed; none where it is not."""
        modular = [unit for unit in MODULAR if self._has(unit)]
        return modular if MODULAR[0] in modular else [unit for unit in MONOLITHIC if self._has(unit)]

    def start_libvirt(self) -> list[str]:
        """Enable and start libvirt's sockets, and which; raises HostError with what systemd said."""
        sockets = self.libvirt_sockets()
        if sockets:
            self._call("enable", "--now", *sockets)
        return sockets

    def start_funcd(self) -> None:
        """Enable funcd, and start it anew so that it reads what was changed; raises HostError."""
        self._call("enable", FUNCD)
        self._call("restart", FUNCD)

    def _has(self, unit: str) -> bool:
        return any((self.root / folder / unit).exists() for folder in _UNIT_DIRS)

    def _call(self, *arguments: str) -> None:
        argv: Sequence[str] = [self.program, *arguments]
        try:
            done = children.run(argv, _LIMIT_S)
        except OSError as exc:
            raise HostError(f"{self.program} cannot be run: {exc.strerror}") from exc
        if done.code:
            said = " ".join((done.err or done.out).split())[:500]
            raise HostError(f"`{' '.join(argv)}` ended with {done.code}: {said or 'it says nothing'}")
