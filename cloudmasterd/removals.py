"""Take a cloud instance out of the cloud for good, whether it still answers or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Optional

from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import Conflict, NotFound, StaleVersion
from cloudmasterd.fleet import Fleet
from cloudmasterd.machines import Asker
from cloudmasterd.model import ENDED_STATES, CloudInstance, MachineInstance
from cloudmasterd.scopes import refuse_bound
from cloudmasterd.store import Store
from cloudmasterd.store.room import Room
from cloudmasterd.tasks import TaskRunner
from cloudmasterd.words import names

_NAMED = 20


class Removals:
    """The use case of a cloud instance that is to be one no more. Safe to use from several threads."""

    def __init__(self, store: Store, fleet: Fleet, enrolment: Enrolment, runner: TaskRunner) -> None:
        self._store = store
        self._fleet = fleet
        self._enrolment = enrolment
        self._runner = runner

    def remove(
        self, cloud: str, asker: Asker, *, force: bool = False, revision: Optional[int] = None
    ) -> None:
        """Revoke its certificate, and then forget it; it is not asked, for it may be dead.

        What runs on it goes on running there, and is no part of this cloud any more. Conflict with what lives
        there, and with the tasks at work there, unless `force`: then those tasks are ended. NotFound,
        StaleVersion, CertmasterUnreachable; nothing has changed then.
        """
        refuse_bound(asker.scopes, cloud)
        found = self._store.tasks.look(lambda room: _check(room, cloud, force, revision))
        self._revoke(found.name, asker.name)
        for task_id in self._fleet.remove(found.name, asker.name):
            task = self._store.tasks.get(task_id, log=False)
            if task.state not in ENDED_STATES:
                # Its next call is refused, as there is no certificate any more: nothing holds it up for long.
                self._runner.cancel(task)

    def _revoke(self, name: str, by: str) -> None:
        """From here on it gets in nowhere, and not by a token that was made for it either."""
        for token in self._enrolment.list_tokens():
            if token.name == name.lower() and token.state in ("open", "claimed"):
                self._enrolment.delete_token(token.id)
        try:
            self._enrolment.clean(name, by)
        except NotFound:
            return  # somebody did it by hand, or an earlier attempt of this came no further


def _check(room: Room, name: str, force: bool, revision: Optional[int]) -> CloudInstance:
    found = next((cloud for cloud in room.clouds if cloud.name == name), None)
    if found is None:
        raise NotFound(f"there is no cloud instance {name[:80]!r}; GET /api/v1/clouds lists those there are")
    if revision is not None and found.revision != revision:
        raise StaleVersion(f"{name} has changed since you read it: read it again")
    living, busy = room.machines_on(name), room.busy_with(name)
    if (living or busy) and not force:
        raise Conflict(_refusal(name, living, busy), list(_fields(living, busy)))
    return found


def _refusal(name: str, living: Sequence[MachineInstance], busy: Sequence[int]) -> str:
    there = f"{names(machine.name or machine.uuid for machine in living)} lives there" if living else ""
    at_work = f"task {', '.join(map(str, busy[:8]))} is at work there" if busy else ""
    why = ", and ".join(filter(None, (there, at_work)))
    return (
        f"{name} is in use: {why}. Delete or move what lives there and wait for the tasks; or remove it with"
        " force, if it will not come back: what runs there goes on running, and the tasks are ended"
    )


def _fields(living: Sequence[MachineInstance], busy: Sequence[int]) -> Iterator[tuple[str, str]]:
    for machine in living[:_NAMED]:
        about = f"{machine.state.value}, {machine.memory_mb} MB, uuid {machine.uuid}"
        yield machine.name or machine.uuid, about
    for task in busy[:_NAMED]:
        yield f"task {task}", "has not ended"
