"""Install a machine as Func's own `virt.install` does: koan decides by the profile, or the system."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from func.errors import HostError
from func.minion import host
from func.minion.codes import NameTaken, Unsupported
from func.minion.install import stand_in
from func.minion.install.koan import Koan, classic_arguments
from func.minion.install.order import ClassicOrder
from func.minion.machine import offer
from func.minion.machine.kvm import KvmProof

log = logging.getLogger(__name__)


class Classic:
    """Runs koan and waits for it; there is no journal, as a caller of Func's has no operation to name."""

    def __init__(
        self, own_host: host.Host, uri: str, koan: Koan, kvm_works: Optional[Callable[[str], bool]] = None
    ) -> None:
        self._host = own_host
        self._uri = uri
        self._koan = koan
        self._kvm_works = kvm_works or KvmProof()

    def install(self, run_id: str, uuid: str, order: ClassicOrder) -> None:
        """Returns when the machine runs its installer; raises HostError, and then nothing is left of it.

        The machine gets that uuid. Its name is no sign that it is this one: another may make one meanwhile.
        """
        why_not = self._koan.why_not(self._host.type_name())
        if why_not:
            raise Unsupported(why_not)
        if order.name in {domain.name for domain in self._host.list_domains()}:
            raise NameTaken(f"this host has a machine {order.name!r} already")
        said = {"uuid": None, "virt_type": self._virt_type(), "options": (), "new_uuid": uuid}
        try:
            ended = self._koan.run(
                run_id, classic_arguments(order), said, self._uri, order.deadline_s, lambda seconds: False
            )
            if ended.code != 0 or not ended.started or self._find(uuid) is None:
                self._clean_up(run_id, uuid)
                how = "was not done in time" if ended.code is None else f"ended with {ended.code}"
                raise HostError(
                    f"cannot install {order.target!r}: koan {how}. The last it said: {ended.gist}"
                )
        finally:
            self._koan.forget(run_id)

    def _virt_type(self) -> str:
        """kvm where libvirt offers it and a boot proved it; koan would take libvirt's word."""
        arch = offer.archs(self._host.capabilities()).get(self._host.node().model)
        proved = arch is not None and "kvm" in arch.virt_types and self._kvm_works(arch.emulator)
        return "kvm" if proved else "qemu"

    def _clean_up(self, run_id: str, uuid: str) -> None:
        made = self._find(uuid)
        if made is not None and made.state in host.ACTIVE:
            self._host.perform(made.name, host.DESTROY)
        if made is not None and self._find(uuid) is not None:  # one that was only running has gone with that
            self._host.perform(made.name, host.UNDEFINE)
        for path in self._noted(run_id, stand_in.MADE):
            log.info("%s: koan had made %s, which is removed", run_id, path)
            Path(path).unlink(missing_ok=True)

    def _find(self, uuid: str) -> Optional[host.Domain]:
        return next((domain for domain in self._host.list_domains() if domain.uuid == uuid), None)

    def _noted(self, run_id: str, what: str) -> list[str]:
        file = self._koan.work(run_id) / what
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
