"""What the cloud master does with its cloud instances: discover them and refresh what it knows of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

from cloudmasterd.clock import Clock
from cloudmasterd.errors import CloudUnreachable, FabricError, NotFound, RemoteFault
from cloudmasterd.fabric import Answer, Call, Fabric
from cloudmasterd.inventory import fallback_uuid, from_classic, parse_inventory, uuid_from_xml
from cloudmasterd.model import CloudInstance, Inventory
from cloudmasterd.store import Store
from cloudmasterd.turns import Turns

log = logging.getLogger(__name__)

CLASSIC_METHODS = ("virt.info", "virt.freemem", "virt.nodeinfo", "virt.state")
METHOD_IS_MISSING = frozenset({"InvalidMethodException", "ModuleNotFoundException"})

Learned = Union[Inventory, FabricError]


@dataclass(frozen=True)
class Outcome:
    """How one refresh of one cloud instance ended; `asked_for` when somebody waited for it."""

    cloud: str
    error: Optional[FabricError] = None
    asked_for: bool = False


@dataclass
class _Flight:
    running: bool = False
    started: int = 0  # the number of the last one that started
    landed: int = 0  # the number of the last one that ended
    error: Optional[FabricError] = None  # of that one


class Flights:
    """Keeps a cloud instance from being refreshed twice at once, and lets those who wait share a refresh.

    Each refresh of a cloud instance is a flight; its ticket is a number that no other flight of it has.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._flights: dict[str, _Flight] = {}

    def claim(self, names: Collection[str]) -> dict[str, int]:
        """Start a flight for each of the names that has none; returns their tickets."""
        with self._changed:
            flights = {name: self._flight(name) for name in names}
            return {name: self._start(flight) for name, flight in flights.items() if not flight.running}

    def land(self, name: str, ticket: int, error: Optional[FabricError]) -> None:
        """End a flight, with what went wrong; nothing happens when it has ended before."""
        with self._changed:
            flight = self._flight(name)
            if flight.running and flight.started == ticket:
                flight.running = False
                flight.landed = ticket
                flight.error = error
                self._changed.notify_all()

    def abandon(self, tickets: Mapping[str, int]) -> None:
        """End those of the flights that have not ended: nothing was learned on them."""
        for name, ticket in tickets.items():
            self.land(name, ticket, FabricError(f"the refresh of {name} ended without an answer: try again"))

    def take_next(self, name: str, fly: Callable[[Mapping[str, int]], None], deadline_s: float) -> bool:
        """See to it that a flight that starts after this call has ended; False where time ran out.

        The first to come runs `fly` with the ticket, the others wait for it.
        """
        with self._changed:
            flight = self._flight(name)
            wanted = flight.started + 1
            if not self._changed.wait_for(
                lambda: flight.landed >= wanted or not flight.running, timeout=deadline_s
            ):
                return False
            if flight.landed >= wanted:
                return True
            tickets = {name: self._start(flight)}
        try:
            fly(tickets)
        finally:
            self.abandon(tickets)
        return True

    def last_error(self, name: str) -> Optional[FabricError]:
        """What went wrong in the last flight that ended."""
        with self._changed:
            return self._flight(name).error

    def _flight(self, name: str) -> _Flight:
        return self._flights.setdefault(name, _Flight())

    def _start(self, flight: _Flight) -> int:
        flight.running = True
        flight.started += 1
        return flight.started


class Fleet:
    """The cloud instances as a whole. Safe to use from several threads.

    A cloud instance is never asked twice at the same time, so an older answer cannot overwrite a newer one,
    and its cursor and its data reach the store together.
    """

    def __init__(
        self,
        store: Store,
        fabric: Fabric,
        clock: Clock,
        *,
        timeout_s: float = 10.0,
        classic_retry_s: float = 3600.0,
        listener: Optional[Callable[[Outcome], None]] = None,
        turns: Optional[Turns] = None,
    ) -> None:
        self._store = store
        self._fabric = fabric
        self._clock = clock
        self._timeout_s = timeout_s
        self._classic_retry_s = classic_retry_s
        self._classic_since: dict[str, float] = {}
        self._listener = listener
        self._turns = turns or Turns()
        self._flights = Flights()
        self._writing = threading.Lock()
        self._removed: set[str] = set()  # what they still answer is not to bring them back
        self._closed = False

    def listen(self, listener: Callable[[Outcome], None]) -> None:
        """Have `listener` called with each Outcome, from the thread that refreshed."""
        self._listener = listener

    def close(self) -> None:
        """Let nothing more into the store: answers still under way are dropped."""
        with self._writing:
            self._closed = True

    def discover(self) -> list[str]:
        """Bring the cloud instances with a certificate into the store and return their names, sorted.

        Those in the store that have none any more are marked unreachable.
        """
        with self._writing:
            # Inside: a list from before a removal would bring back who was removed.
            names = self._fabric.list_clouds()
            expiries = {name: self._fabric.certificate_expires_at(name) for name in names}
            if self._closed:
                return names
            self._removed.difference_update(names)
            self._store.sync_clouds(expiries)
            lost = {
                name: str(_no_certificate(name)) for name in self._store.list_cursors().keys() - set(names)
            }
            if lost:
                self._store.mark_unreachable(lost, self._clock.now())
        return names

    def remove(self, name: str, by: str) -> list[int]:
        """Forget a cloud instance whose certificate is gone; the ids of the tasks there that had not ended.

        Raises NotFound.
        """
        with self._writing:
            self._removed.add(name)
            return self._store.remove_cloud(name, by)

    def refresh(self, names: Collection[str]) -> None:
        """Ask these cloud instances and store what they answer, as it comes in.

        Names that are unknown, or that are just being refreshed by somebody else, are left out. Raises
        StoreError, but nothing because of a cloud instance: that stands in the store.
        """
        tickets = self._flights.claim(names)
        try:
            self._refresh(tickets, asked_for=False)
        finally:
            self._flights.abandon(tickets)

    def refresh_cloud(self, name: str) -> CloudInstance:
        """Ask one cloud instance now, and return what the store then holds of it.

        The question is put after the call: one that is under way already is waited for and not counted,
        but everybody who waits shares the next one. Raises NotFound, CloudUnreachable, CloudRefused or
        RemoteFault; what was learned is in the store either way.
        """
        self._find(name)
        deadline_s = 4 * self._timeout_s

        def ask(tickets: Mapping[str, int]) -> None:
            self._refresh(tickets, asked_for=True)

        if not self._flights.take_next(name, ask, deadline_s):
            raise CloudUnreachable(
                f"{name} is still being asked since more than {deadline_s:.0f} s: see its log and the log of"
                " cloudmasterd"
            )
        error = self._flights.last_error(name)
        if error is not None:
            raise error
        return self._store.get_cloud(name)

    def _find(self, name: str) -> None:
        try:
            self._store.get_cloud(name)
        except NotFound:
            if name not in self.discover():
                raise

    def _refresh(self, tickets: Mapping[str, int], *, asked_for: bool) -> None:
        if not tickets:
            return
        cursors = self._store.list_cursors()
        enrolled = set(self._fabric.list_clouds())
        known = [name for name in tickets if name in cursors]
        gone = {name: _no_certificate(name) for name in known if name not in enrolled}
        self._learn(gone, tickets, asked_for)
        for group in self._ask({name: cursors[name] or "" for name in known if name in enrolled}):
            self._learn(group, tickets, asked_for)

    def _ask(self, cursors: Mapping[str, str]) -> Iterator[Mapping[str, Learned]]:
        calls = {
            name: Call(CLASSIC_METHODS[0]) if self._is_classic(name) else Call("virt.inventory", (cursor,))
            for name, cursor in cursors.items()
        }
        if not calls:
            return
        for answers in self._fabric.ask_all(calls, self._timeout_s):
            learned: dict[str, Learned] = {}
            to_ask_anew: list[str] = []
            begun: dict[str, tuple[Any, ...]] = {}
            for answer in answers:
                name = answer.cloud
                if calls[name].method == CLASSIC_METHODS[0] and answer.ok:
                    begun[name] = (answer.value,)
                elif calls[name].method != CLASSIC_METHODS[0] and _lacks_the_method(answer):
                    to_ask_anew.append(name)
                else:
                    learned[name] = _read_inventory(answer, cursors[name])
            yield learned
            yield from self._ask_classically(dict.fromkeys(to_ask_anew, ()))
            yield from self._ask_classically(begun)

    def _ask_classically(self, so_far: Mapping[str, tuple[Any, ...]]) -> Iterator[Mapping[str, Learned]]:
        """Put the next of the classic questions to minions that all have answered the same ones so far."""
        if not so_far:
            return
        asked = len(next(iter(so_far.values())))
        if asked == len(CLASSIC_METHODS):
            for name, values in so_far.items():
                yield {name: self._read_classic(name, values)}
            return
        calls = {name: Call(CLASSIC_METHODS[asked]) for name in so_far}
        for answers in self._fabric.ask_all(calls, self._timeout_s):
            yield {answer.cloud: answer.error for answer in answers if answer.error is not None}
            yield from self._ask_classically(
                {answer.cloud: (*so_far[answer.cloud], answer.value) for answer in answers if answer.ok}
            )

    def _read_classic(self, name: str, values: Sequence[Any]) -> Learned:
        info, freemem, nodeinfo, state = values
        try:
            uuids = self._classic_uuids(name, info if isinstance(info, Mapping) else {})
            inventory = from_classic(info, freemem, nodeinfo, state, uuids)
        except FabricError as exc:
            return exc
        if name not in self._classic_since:
            log.info("%s has no virt.inventory: it is asked with the methods of Func 0.30", name)
            self._classic_since[name] = self._clock.monotonic()
        return inventory

    def _classic_uuids(self, cloud: str, machines: Collection[str]) -> Mapping[str, str]:
        known = self._store.names_to_uuids(cloud)
        return {name: known.get(name) or self._classic_uuid(cloud, name) for name in machines}

    def _classic_uuid(self, cloud: str, name: str) -> str:
        try:
            found = uuid_from_xml(self._fabric.call(cloud, "virt.get_xml", name, timeout_s=self._timeout_s))
        except RemoteFault:
            found = None  # it may have been undefined since; a cloud instance that is gone is another matter
        return found or fallback_uuid(cloud, name)

    def _is_classic(self, name: str) -> bool:
        since = self._classic_since.get(name)
        if since is None:
            return False
        if self._clock.monotonic() - since > self._classic_retry_s:
            self._classic_since.pop(name, None)
            return False
        return True

    def _learn(self, learned: Mapping[str, Learned], tickets: Mapping[str, int], asked_for: bool) -> None:
        if not learned:
            return
        self._turns.give_way()
        with self._writing:
            if self._closed:
                return
            known = {name: value for name, value in learned.items() if name not in self._removed}
            errors = {name: value for name, value in known.items() if isinstance(value, FabricError)}
            inventories = {name: value for name, value in known.items() if isinstance(value, Inventory)}
            at = self._clock.now()
            if inventories:
                self._store.reconcile(inventories, at)
            if errors:
                self._store.mark_unreachable({name: str(error) for name, error in errors.items()}, at)
        for name in learned:
            error = errors.get(name)
            if error is not None:
                self._classic_since.pop(name, None)  # it may come back as a newer Func
            self._flights.land(name, tickets[name], error)
            if self._listener is not None:
                self._listener(Outcome(name, error, asked_for))


def _lacks_the_method(answer: Answer) -> bool:
    return isinstance(answer.error, RemoteFault) and answer.error.kind in METHOD_IS_MISSING


def _read_inventory(answer: Answer, cursor: str) -> Learned:
    if answer.error is not None:
        return answer.error
    try:
        inventory = parse_inventory(answer.value)
    except RemoteFault as exc:
        return _broken(answer.cloud, exc.text)
    if not inventory.full and not cursor:
        return _broken(answer.cloud, "the answer holds only changes, though everything was asked for")
    return inventory


def _broken(cloud: str, what: str) -> RemoteFault:
    return RemoteFault("BadInventory", f"virt.inventory of {cloud}: {what}; see the log of funcd there")


def _no_certificate(cloud: str) -> CloudUnreachable:
    return CloudUnreachable(
        f"the certmaster holds no certificate for {cloud} any more, so it cannot be asked: run"
        f" certmaster-request on {cloud} and certmaster-ca --sign {cloud} on the cloud master to have it back"
    )
