"""Install a machine: define it as any other, have koan boot its installer, leave nothing where that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional, TypeVar

from func.errors import HostError
from func.minion.background import Run
from func.minion.children import Interrupted
from func.minion.codes import NameTaken, Unsupported
from func.minion.install.koan import Ended, Installer
from func.minion.install.order import Order, redacted
from func.minion.lane import Unanswered
from func.minion.libvirt_connection import Calls, Link, libvirt
from func.minion.machine.context import Context, Setup, look_up, state_name
from func.minion.machine.define import define, forget
from func.minion.machine.machine_facts import boots_kernel, operation_of
from func.minion.operations import ENDED, Attempt, Entry

T = TypeVar("T")
FAILED = "failed: "  # the note of an operation that only has to clean up any more
CANCELLED = "the installation was cancelled"


@dataclass(frozen=True)
class Machines:
    """What installs machines on this host; only what asks libvirt runs in the one thread that acts."""

    calls: Calls
    link: Link
    setup: Setup
    installer: Installer

    def install(self, order: Order, attempt: Attempt, run: Run) -> Mapping[str, Any]:
        """{"state", "detail", "uuid"} once the machine runs its installer; raises HostError, Unanswered."""
        failure = next((note for note in attempt.notes() if note.startswith(FAILED)), None)
        if attempt.again:
            run.stage = "what ran before funcd was started again is looked at"
            self.installer.sweep(attempt.operation)
        if failure is not None:
            raise self._failed(order, attempt, failure[len(FAILED) :])
        run.stage = "the machine is defined"
        if not self._define(order, attempt):
            run.stage = f"koan has the machine boot the installer of profile {order.profile}"
            self._run_koan(order, attempt, run)
        return self._conclude(order, attempt)

    def cancel(self, operation: str, entry: Optional[Entry]) -> bool:
        """Leave nothing of an operation that is not under way; whether there was anything."""
        self.installer.sweep(operation)
        uuid = "" if entry is None else str(entry.arguments.get("uuid", "")).lower()
        gone = bool(uuid) and self._begun(lambda connection: self._remove(connection, uuid, operation), uuid)
        self.installer.forget(operation)
        return gone or (entry is not None and entry.state != ENDED)

    def _run_koan(self, order: Order, attempt: Attempt, run: Run) -> None:
        """Returns when the machine boots its installer."""
        try:
            ended = self.installer.install(attempt.operation, order, self.link.uri, run.stop.wait)
        except Interrupted as exc:
            if run.closing:
                raise Unanswered("funcd ends; ask again when it is there again", begun=True) from exc
            raise self._failed(order, attempt, CANCELLED) from exc
        except HostError as exc:
            raise self._failed(order, attempt, str(exc)) from exc
        if ended.code != 0 or not ended.started:
            raise self._failed(order, attempt, _why(order, ended))

    def _define(self, order: Order, attempt: Attempt) -> bool:
        """Make the machine known, off; whether it has been installed, or is being, by this operation."""
        uuid = order.machine.uuid
        try:
            return self._act(lambda connection: self._make(connection, order, attempt), uuid)
        except Unanswered:
            raise
        except HostError:
            self._begun(lambda connection: self._remove(connection, uuid, attempt.operation), uuid)
            raise

    def _make(self, connection: Any, order: Order, attempt: Attempt) -> bool:
        why_not = self.installer.why_not(str(connection.getType()))
        if why_not:
            raise Unsupported(why_not)
        domain = look_up(connection, order.machine.uuid)
        if domain is not None and operation_of(_xml(domain)) != attempt.operation:
            raise NameTaken(
                f"the uuid {order.machine.uuid} is that of machine {domain.name()!r}, which is there already"
            )
        if domain is not None and (domain.isActive() or self.installer.started(attempt.operation)):
            return True
        # The host may start anew during the installation; what is on the disk by then is no system.
        define(Context(connection, attempt, self.setup), replace(order.machine, autostart=False))
        return False

    def _conclude(self, order: Order, attempt: Attempt) -> Mapping[str, Any]:
        def look(connection: Any) -> tuple[str, str]:
            domain = look_up(connection, order.machine.uuid)
            if domain is None:
                return f"koan ended well, but libvirt has no machine {order.machine.name!r}", ""
            xml = _xml(domain)
            if not domain.isPersistent() or operation_of(xml) != attempt.operation or boots_kernel(xml):
                return f"virt-install left {order.machine.name!r} other than it was defined", ""
            # koan sets it as well, where the profile says so.
            if bool(domain.autostart()) != order.machine.autostart:
                domain.setAutostart(int(order.machine.autostart))
            return "", state_name(domain)

        wrong, state = self._begun(look, order.machine.uuid)
        if wrong:
            raise self._failed(order, attempt, wrong)
        doing = "has ended its installation" if state == "off" else "runs its installer"
        detail = f"{order.machine.name} {doing}: profile {order.profile} of {order.server}"
        return {"state": "done", "detail": detail, "uuid": order.machine.uuid}

    def _failed(self, order: Order, attempt: Attempt, why: str) -> HostError:
        """The error to raise, once nothing is left of the machine."""
        text = redacted(why, order.options)
        attempt.note(FAILED + text)  # whatever happens from here on, it is not tried again
        uuid = order.machine.uuid
        self._begun(lambda connection: self._remove(connection, uuid, attempt.operation), uuid)
        return HostError(text)

    def _remove(self, connection: Any, uuid: str, operation: str) -> bool:
        """Power off and forget the machine where this operation made it; whether it did."""
        domain = look_up(connection, uuid)
        if domain is None or operation_of(_xml(domain)) != operation:
            return False
        lasting = domain.isPersistent()
        if domain.isActive():
            domain.destroy()
        forget(self.setup, domain if lasting else None, uuid)
        return True

    def _begun(self, work: Callable[[Any], T], uuid: str) -> T:
        """The same as `_act` for what is not the first of an operation: there is something to go on with."""
        try:
            return self._act(work, uuid)
        except Unanswered as exc:
            raise Unanswered(str(exc), begun=True) from exc

    def _act(self, work: Callable[[Any], T], uuid: str) -> T:
        try:
            return self.calls.act(work)
        finally:
            self.link.tell(uuid)  # not every change has an event


def _why(order: Order, ended: Ended) -> str:
    what = f"profile {order.profile} of {order.server} was not installed"
    if ended.code is None:
        why = f"koan was not done within {order.deadline_s} s"
    elif ended.code == 0:
        why = "koan ended well, but never came to virt-install"
    elif ended.started:
        why = f"koan had the machine boot, and then ended with {ended.code}"
    else:
        why = f"koan ended with {ended.code}"
    return f"{what}: {why}. The last it said: {ended.gist}"


def _xml(domain: Any) -> str:
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
