"""Prove that KVM works on this host, by a boot: the device and libvirt's word for it are not enough."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Callable, Optional

from func.minion import children

log = logging.getLogger(__name__)

LIMIT_S = 20.0
# The firmware finds nothing to boot and starts over at once (0 ms), which ends the emulator: so its exit
# shows that the guest's CPU ran through the firmware.
BOOT = (
    "-accel", "kvm", "-m", "64", "-display", "none", "-nodefaults", "-no-user-config", "-serial", "none",
    "-monitor", "none", "-no-reboot", "-boot", "reboot-timeout=0",
)  # fmt: skip


def boots(emulator: str, arguments: Sequence[str] = BOOT, limit_s: float = LIMIT_S) -> bool:
    """Whether the emulator ran through such a boot within the limit."""
    try:
        done = children.run([emulator, *arguments], limit_s)
    except children.Overdue:
        log.warning("KVM is there, but a boot under it did not come to its end within %.0f s", limit_s)
        return False
    except OSError as exc:
        log.warning("KVM cannot be tried: %s", exc)
        return False
    if done.code != 0:
        log.warning("KVM does not work: %s", done.err.strip()[-300:])
    return done.code == 0


class KvmProof:
    """Remembers of each emulator whether KVM was proved; who asks first waits for the boot. Thread-safe."""

    def __init__(self, boot: Callable[[str], bool] = boots) -> None:
        self._boot = boot
        self._lock = threading.Lock()
        self._proved: dict[str, bool] = {}

    def __call__(self, emulator: str) -> bool:
        """Whether machines of this emulator run under KVM."""
        with self._lock:
            proved: Optional[bool] = self._proved.get(emulator)
            if proved is None:
                proved = self._proved[emulator] = self._boot(emulator)
            return proved
