"""Have a cloud instance installed anew: who may be lost with it is said before anything is promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from cloudmasterd.clock import Clock
from cloudmasterd.errors import CloudUnreachable, Conflict, Invalid, NotFound, StaleVersion
from cloudmasterd.machines import Asker
from cloudmasterd.model import ENDED_STATES, CloudInstance, MachineInstance, NewTask, Profile, Task
from cloudmasterd.profiles import Profiles, arch_of
from cloudmasterd.rebuild_spec import RebuildSpec
from cloudmasterd.recipes import rebuild
from cloudmasterd.scopes import refuse_bound
from cloudmasterd.store import Store
from cloudmasterd.store.room import Room
from cloudmasterd.tasks import TaskRunner
from cloudmasterd.words import names


class Rebuilds:
    """The use case. It is decided in the transaction that writes its task; thread-safe."""

    def __init__(
        self, store: Store, runner: TaskRunner, profiles: Profiles, clock: Clock, default_profile: str = ""
    ) -> None:
        self._store = store
        self._runner = runner
        self._profiles = profiles
        self._clock = clock
        self._default_profile = default_profile

    def default_profile(self, cloud: CloudInstance) -> str:
        """What it is installed from when nobody names a profile; empty where that is not known."""
        return self._default_profile or cloud.profile or ""

    def rebuild(self, cloud: str, spec: RebuildSpec, asker: Asker, revision: Optional[int] = None) -> Task:
        """Submit the task. All that lives there must stand in `spec.lose`, and nothing else.

        Raises Conflict with who would be lost in its `fields`, or when other tasks are at work there;
        NotFound, Invalid, StaleVersion, CloudUnreachable, and CobblerError where the cobbler server cannot
        be asked.
        """
        refuse_bound(asker.scopes, cloud)
        if asker.place is not None:
            before = self._store.tasks.find_made(asker.place, asker.request_hash)
            if before is not None:
                return before
        profile = self._profile(self._store.get_cloud(cloud), spec)
        server = self._profiles.host
        token = self._clock.new_token()

        def decide(room: Room) -> NewTask:
            now = _find(room, cloud)
            if revision is not None and now.revision != revision:
                raise StaleVersion(f"{now.name} has changed since you read it: read it again")
            _refuse_state(room, now)
            lost = _named(now.name, room.machines_on(now.name), spec.lose)
            return NewTask(
                kind=rebuild.KIND,
                target=rebuild.path_of(now.name),
                cloud=now.name,
                machine=None,
                machine_name=None,
                arguments=rebuild.arguments_of(spec, profile.name, server, lost),
                steps=rebuild.steps(now.name, profile.name),
                asked_by=asker.name,
                request_id=asker.request_id,
                secret=rebuild.secret_of(spec, token),
                report_token=token,
            )

        task = self._store.tasks.submit(decide, key=asker.place, request_hash=asker.request_hash)
        if task.state not in ENDED_STATES:
            self._runner.wake(task)
        return task

    def _profile(self, cloud: CloudInstance, spec: RebuildSpec) -> Profile:
        """The profile as the cobbler server has it now."""
        name = spec.profile or self.default_profile(cloud)
        if not name:
            told = (
                f"this cloud master does not know what {cloud.name} was installed from: name a profile, or"
                " set rebuild_profile in its configuration"
            )
            raise Invalid(f"profile: {told}", [("profile", told)])
        self._profiles.refresh()
        try:
            profile = self._profiles.get(name)
        except NotFound as exc:
            raise Invalid(f"profile: {exc}", [("profile", str(exc))]) from exc
        arch = arch_of(profile)
        if arch is not None and cloud.arch is not None and arch != cloud.arch:
            told = f"{name} is for {profile.arch}, and {cloud.name} is {cloud.arch}: take another one"
            raise Invalid(f"profile: {told}", [("profile", told)])
        return profile


def _find(room: Room, name: str) -> CloudInstance:
    found = next((cloud for cloud in room.clouds if cloud.name == name), None)
    if found is None:
        raise NotFound(f"there is no cloud instance {name[:80]!r}; GET /api/v1/clouds lists those there are")
    return found


def _refuse_state(room: Room, cloud: CloudInstance) -> None:
    if cloud.unreachable_since is not None:
        raise CloudUnreachable(f"{cloud.name} cannot be reached, so nobody can prepare it: {cloud.error}")
    if cloud.observed_at is None:
        raise Conflict(
            f"{cloud.name} has never answered, so nobody knows what lives there: wait until it does"
        )
    busy = room.busy_with(cloud.name)
    if busy:
        raise Conflict(
            f"task {', '.join(map(str, busy[:8]))} is at work on {cloud.name}: wait until it has ended, or"
            f" cancel it with POST /api/v1/tasks/{busy[0]}/cancel"
        )


def _named(cloud: str, living: Sequence[MachineInstance], lose: Sequence[str]) -> Mapping[str, str]:
    """What will be lost, names by uuid; Conflict unless `lose` has exactly all of it."""
    wanted, uuids = set(lose), {name.lower() for name in lose}
    missing = [m for m in living if m.name not in wanted and m.uuid not in uuids]
    known = {word for m in living for word in (m.name, m.uuid)}
    strange = [name for name in lose if name not in known and name.lower() not in known]
    # One may be called what another has as its uuid: then nobody knows which of the two was meant.
    double = [name for name in lose if sum(m.name == name or m.uuid == name.lower() for m in living) > 1]
    if double:
        raise Conflict(
            f"{names(double)} of `lose` is the name of one machine instance on {cloud} and the uuid of"
            " another: give the uuid of the first, and the name of the other",
            [("lose", f"{name[:80]!r} is more than one on {cloud}") for name in double[:20]],
        )
    if missing:
        raise Conflict(
            f"{cloud} would be erased, and with it {names(m.name or m.uuid for m in missing)}: name exactly"
            " all machine instances that live there in `lose`, or delete them first",
            rebuild.lost_fields(missing),
        )
    if strange:
        raise Conflict(
            f"{names(strange)} of `lose` is not on {cloud}: look again at what lives there, and name exactly"
            " that",
            [("lose", f"{name[:80]!r} is not on {cloud}") for name in strange[:20]],
        )
    return {m.uuid: m.name for m in living}
