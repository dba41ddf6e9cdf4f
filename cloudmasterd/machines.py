"""What can be done with machine instances: everything the pages and the REST interface ask for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Optional, Union

from cloudmasterd import acting
from cloudmasterd.clock import Clock
from cloudmasterd.errors import (
    CloudError,
    CloudUnreachable,
    Conflict,
    Invalid,
    MachineExists,
    NotFound,
    StaleVersion,
)
from cloudmasterd.images import Images
from cloudmasterd.model import (
    ACTIVE_STATES,
    ENDED_STATES,
    Author,
    MachineInstance,
    NewTask,
    Task,
)
from cloudmasterd.operations import ResourceCache, Resources
from cloudmasterd.placement import Capacity, Placement
from cloudmasterd.placing import Placing, Rules
from cloudmasterd.profiles import Profiles
from cloudmasterd.recipes import act, change, create, delete, origin
from cloudmasterd.recipes.tools import path_of
from cloudmasterd.rights import Scope
from cloudmasterd.scopes import refuse_bound, refuse_leaving, refuse_new, refuse_outside
from cloudmasterd.spec import Change, MachineSpec
from cloudmasterd.store import Store
from cloudmasterd.store.room import Room
from cloudmasterd.store.tasks import key_place
from cloudmasterd.tasks import TaskRunner

log = logging.getLogger(__name__)

CANCEL_WITHIN_S = 5.0

Decide = Callable[[Room], NewTask]


@dataclass(frozen=True)
class Asker:
    """Who asks, in which request; with a `key`, the same request of theirs asked again gets the same task."""

    name: str
    request_id: str
    key: Optional[str] = None
    request_hash: str = ""
    scopes: tuple[Scope, ...] = ()  # what they may change is within each of these

    @property
    def place(self) -> Optional[str]:
        """Where their key stands: nobody else's key is the same, whatever it is. None without a key."""
        return None if self.key is None else key_place(self.name, self.key)


class Machines:
    """The use cases. Each change is decided in the transaction that writes its task; thread-safe.

    A machine instance is given by its name or uuid. All raise CloudError: NotFound, Invalid, StaleVersion
    when it is not at `revision` any more, Conflict when its state stands against it or another task works on
    it.
    """

    def __init__(
        self,
        store: Store,
        runner: TaskRunner,
        resources: ResourceCache,
        clock: Clock,
        rules: Rules = Rules(),  # noqa: B008  frozen
        images: Optional[Images] = None,
        profiles: Optional[Profiles] = None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._resources = resources
        self._clock = clock
        self._placing = Placing(store, resources, clock, rules)
        self._images = images
        self._profiles = profiles
        self._macs: set[str] = set()
        self._macs_lock = threading.Lock()

    def create(self, spec: MachineSpec, asker: Asker) -> Task:
        """Place a new machine instance and have it made.

        Raises MachineExists, NoRoom with the reason of every cloud instance in its text and `fields`, and
        CobblerError where a profile is asked for and the cobbler server cannot be asked.
        """
        refuse_new(asker.scopes, spec.tags, spec.name)
        before = self._made_before(asker)
        if before is not None:  # what it was made from may be gone since
            return before
        source = origin.look_up(spec, self._images, self._profiles, ask=True)
        spec = source.fitted(spec)
        self._placing.learn()
        uuid = self._clock.new_uuid()
        arguments = create.arguments_of(spec, self._new_mac, source)
        secrets = create.secrets_of(spec, self._clock.new_token)

        def decide(room: Room) -> NewTask:
            _refuse_name(room, spec.name)
            source.refuse_changed(room)
            cloud = self._placing.choose(room, spec)
            return NewTask(
                kind="machine.create",
                target=path_of(spec.name),
                cloud=cloud,
                machine=uuid,
                machine_name=spec.name,
                arguments=arguments,
                steps=create.steps(spec, cloud),
                asked_by=asker.name,
                request_id=asker.request_id,
                reserve_mb=spec.memory_mb,
                groups=spec.groups,
                **secrets,
            )

        return self._submit(decide, asker)

    def act(
        self, machine: str, action: str, asker: Asker, revision: Optional[int] = None, force: bool = False
    ) -> Task:
        """start, shutdown, poweroff, reboot, reset, pause or resume it.

        With `force` the state that the store knows is no reason to refuse: the cloud instance decides.
        """
        if action not in act.VERBS:
            raise Invalid(
                f"there is no action {action!r}", [("action", f"one of {', '.join(sorted(act.VERBS))}")]
            )
        before = self._made_before(asker)
        if before is not None:
            return before
        if action in ("poweroff", "reset"):
            self._give_up_shutdown(machine, revision, asker)

        def describe(room: Room, now: MachineInstance) -> NewTask:
            refusal = "" if force else act.refusal(now.name, now.state, action)
            if refusal:
                raise Conflict(refusal)
            needs = now.max_memory_mb if action == "start" and now.state not in ACTIVE_STATES else 0
            if needs:
                self._placing.refuse_if_full(room, now)
            steps = act.steps(action, now.name, now.cloud)
            return _task(f"machine.{action}", now, machine, {}, steps, asker, reserve_mb=needs)

        return self._submit(self._on(machine, revision, describe, asker), asker)

    def change(
        self, machine: str, change_: Change, asker: Asker, revision: Optional[int] = None
    ) -> Union[MachineInstance, Task]:
        """Change it. Tags and notes alone change at once; the result of a task says what holds when."""
        shape = (change_.memory_mb, change_.vcpus, change_.autostart, change_.name)
        if all(value is None for value in shape):
            return self._say(machine, change_, asker, revision)

        def describe(room: Room, now: MachineInstance) -> NewTask:
            refuse_leaving(asker.scopes, now.tags if change_.tags is None else change_.tags, now.name)
            if change_.memory_mb is not None:
                self._placing.refuse_too_large(room, now, change_.memory_mb)
            if change_.vcpus is not None:
                self._placing.refuse_too_many(room, now, change_.vcpus)
            if change_.name is not None and change_.name != now.name:
                _refuse_name(room, change_.name)
                if now.state in ACTIVE_STATES:
                    raise Conflict(f"{now.name} is {now.state.value}: it can be renamed while it is off")
            steps = change.steps(change_, now.name, now.cloud)
            return _task("machine.change", now, machine, change.arguments_of(change_), steps, asker)

        return self._submit(self._on(machine, revision, describe, asker), asker)

    def delete(
        self,
        machine: str,
        asker: Asker,
        revision: Optional[int] = None,
        force: bool = False,
        keep_disks: bool = False,
    ) -> Task:
        """Take it away with its disks; one that is not off only with `force`.

        A disk that another machine instance uses is kept, and the result says so.
        """

        def describe(room: Room, now: MachineInstance) -> NewTask:
            if now.state in ACTIVE_STATES and not force:
                raise Conflict(
                    f"{now.name} is {now.state.value}: shut it down first, or delete it with force, which"
                    " pulls its plug"
                )
            arguments = {"force": force, "keep_disks": keep_disks}
            steps = delete.steps(now.name, now.cloud, force=force, keep_disks=keep_disks)
            return _task("machine.delete", now, machine, arguments, steps, asker)

        return self._submit(self._on(machine, revision, describe, asker), asker)

    def adopt(self, machine: str, asker: Asker) -> Task:
        """Mark it, here and on its cloud instance, as managed by this cloud master."""

        def describe(room: Room, now: MachineInstance) -> NewTask:
            if now.managed:
                raise Conflict(f"{now.name} is managed by this cloud master already")
            return _task("machine.adopt", now, machine, {}, change.adopt_steps(now.name, now.cloud), asker)

        return self._submit(self._on(machine, None, describe, asker), asker)

    def place(self, spec: MachineSpec) -> Placement:
        """Where it would go, and why not elsewhere; changes nothing."""
        source = origin.look_up(spec, self._images, self._profiles)
        return self._placing.place(source.fitted(spec))

    def capacity(self) -> Capacity:
        """How many more of each flavor fit."""
        return self._placing.capacity()

    def resources(self, cloud: str) -> Optional[tuple[Resources, float]]:
        """What a cloud instance has to give, and how many seconds ago it said so; None where it never did.

        Nobody is asked: reading waits for no cloud instance. Raises NotFound.
        """
        return self._resources.heard(self._store.get_cloud(cloud).name)

    def learn_resources(self, cloud: str) -> None:
        """Ask a cloud instance what it has to give; what stands against that is in the log alone."""
        try:
            self._resources.get(cloud, fresh=True)
        except CloudError as exc:
            log.info("what %s has to give is not known anew: %s", cloud, exc)

    def wait(self, task_id: int, seconds: float) -> Task:
        """The task, once it has ended or the time is over."""
        return self._runner.wait(task_id, seconds)

    def cancel(self, task_id: int, asker: Asker) -> Task:
        """Ask a task to end: at once while it waits, else between two steps, and what it made is undone.

        Raises Conflict when it has ended, or is too far to turn back.
        """
        task = self._store.tasks.get(task_id)
        if task.state not in ENDED_STATES and not self._runner.may_cancel(task):
            raise Conflict(
                f"task {task_id} ({task.kind}) is too far to be cancelled: it can only be finished"
            )
        self._runner.cancel(self._store.tasks.ask_cancel(task_id, partial(_may_cancel, asker)))
        return self._store.tasks.get(task_id)

    def _submit(self, decide: Decide, asker: Asker) -> Task:
        task = self._store.tasks.submit(decide, key=asker.place, request_hash=asker.request_hash)
        if task.state not in ENDED_STATES:
            self._runner.wake(task)
        return task

    def _made_before(self, asker: Asker) -> Optional[Task]:
        """The task that the same request made when it came first; Conflict when it was another request."""
        if asker.place is None:
            return None
        return self._store.tasks.find_made(asker.place, asker.request_hash)

    def _say(self, machine: str, change_: Change, asker: Asker, revision: Optional[int]) -> MachineInstance:
        """Change tags and notes, which no cloud instance has a part in."""

        def allow(before: MachineInstance, after: MachineInstance, busy: Optional[int]) -> None:
            refuse_outside(asker.scopes, before.tags, before.name)
            refuse_leaving(asker.scopes, after.tags, after.name)
            # tags say who may do what: under a task that was allowed by them they stay as they are
            if busy is not None and after.tags != before.tags:
                raise Conflict(
                    f"task {busy} is at work on {before.name}: its tags can be changed when it has ended"
                )

        found = self._store.get_machine(machine)
        return self._store.change_machine(
            found.uuid,
            tags=change_.tags,
            notes=change_.notes,
            revision=revision,
            by=Author(asker.name),
            allow=allow,
        )

    def _on(
        self,
        machine: str,
        revision: Optional[int],
        describe: Callable[[Room, MachineInstance], NewTask],
        asker: Asker,
    ) -> Decide:
        """A decision about a machine instance that is there, may be changed by who asks, is as they saw it,
        and can be reached."""

        def decide(room: Room) -> NewTask:
            now = room.get_machine(machine)
            refuse_outside(asker.scopes, now.tags, now.name)
            if revision is not None and now.revision != revision:
                raise StaleVersion(f"{now.name} has changed since you read it: read it again")
            busy = room.busy(now.uuid)
            if busy is not None:
                raise Conflict(
                    f"task {busy} is at work on {now.name}: wait until it has ended, or cancel it with"
                    f" POST /api/v1/tasks/{busy}/cancel"
                )
            cloud = next((c for c in room.clouds if c.name == now.cloud), None)
            if cloud is not None and cloud.unreachable_since is not None:
                raise CloudUnreachable(
                    f"{now.name} is on {now.cloud}, which cannot be reached: {cloud.error}"
                )
            return describe(room, now)

        return decide

    def _give_up_shutdown(self, machine: str, revision: Optional[int], asker: Asker) -> None:
        """End a task that only waits for the machine instance to shut down: power can be pulled meanwhile."""
        try:
            found = self._store.get_machine(machine)
        except (NotFound, Conflict):
            return  # the decision says so
        if revision is not None and found.revision != revision:
            return  # and so it does here
        for task in self._store.tasks.list(machine=found.uuid, limit=1):
            if task.state not in ENDED_STATES and task.kind == "machine.shutdown":
                try:
                    with acting.beside("cancelTask", f"/api/v1/tasks/{task.id}"):
                        self.cancel(task.id, asker)
                except Conflict:
                    continue  # it ended just now
                self.wait(task.id, CANCEL_WITHIN_S)

    def _new_mac(self) -> str:
        with self._macs_lock:
            mac = self._clock.new_mac(self._macs)
            self._macs.add(mac)
            return mac


def _may_cancel(asker: Asker, task: Task, tags: Optional[Mapping[str, str]]) -> None:
    if tags is None:
        return refuse_bound(asker.scopes, f"what task {task.id} ({task.kind}) works on")
    name = task.machine_name or task.target
    refuse_outside(asker.scopes, tags, name)
    return refuse_leaving(asker.scopes, task.arguments.get("tags", tags), name)


def _refuse_name(room: Room, name: str) -> None:
    there = room.has_name(name)
    if there is not None:
        raise MachineExists(
            f"there is a machine instance {name} on {there.cloud} already ({there.state.value}): take another"
            " name, or delete that one first"
        )
    task = room.task_naming(name)
    if task is not None:
        raise MachineExists(f"task {task} is about to give the name {name} away: take another one")


def _task(
    kind: str,
    machine: MachineInstance,
    asked: str,
    arguments: dict[str, Any],
    steps: Sequence[Any],
    asker: Asker,
    reserve_mb: int = 0,
) -> NewTask:
    return NewTask(
        kind=kind,
        target=path_of(asked),
        cloud=machine.cloud,
        machine=machine.uuid,
        machine_name=machine.name,
        arguments=arguments,
        steps=tuple(steps),
        asked_by=asker.name,
        request_id=asker.request_id,
        reserve_mb=reserve_mb,
    )
