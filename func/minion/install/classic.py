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

    def install(self, run_id: str, order: ClassicOrder) -> None:
        """Returns when the machine runs its installer; raises HostError, and then nothing is left of it."""
        why_not = self._koan.why_not(self._host.type_name())
        if why_not:
            raise Unsupported(why_not)
        before = self._names()
        if order.name in before:
            raise NameTaken(f"this host has a machine {order.name!r} already")
        said = {"uuid": None, "virt_type": self._virt_type(), "options": ()}
        try:
            ended = self._koan.run(
                run_id, classic_arguments(order), said, self._uri, order.deadline_s, lambda seconds: False
            )
            name = self._noted(run_id, stand_in.NAME)
            if ended.code != 0 or not ended.started or not name or name[0] not in self._names():
                self._clean_up(run_id, before)
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

    def _clean_up(self, run_id: str, before: frozenset[str]) -> None:
        for name in {*self._noted(run_id, stand_in.NAME)} & self._names() - before:
            if self._host.get_domain(name).state in host.ACTIVE:
                self._host.perform(name, host.DESTROY)
            if name in self._names():  # one that was never more than running has gone with that
                self._host.perform(name, host.UNDEFINE)
        for path in self._noted(run_id, stand_in.MADE):
            log.info("%s: koan had made %s, which is removed", run_id, path)
            Path(path).unlink(missing_ok=True)

    def _names(self) -> frozenset[str]:
        return frozenset(domain.name for domain in self._host.list_domains())

    def _noted(self, run_id: str, what: str) -> list[str]:
        file = self._koan.work(run_id) / what
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
