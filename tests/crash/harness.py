"""Kills a cloud master or its minion at the N-th write or remote call, and looks what a restart makes of it.

    python tests/crash/harness.py            every point of every scenario, a table of how many there were
    python tests/crash/harness.py --every 7  every seventh point

"master" is killed once, "twice" a second time at some point while it recovers, and "minion" goes away without
an answer while the master lives. With "power" its machine goes dark: what was not flushed to the disk is gone
too, all of it. Each point is a process of its own, forked, that ends itself with os._exit:
nothing is flushed or closed. What is left is the database and the minion's file, and another process goes on
with them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    from cloudmasterd.store import Store

from cloudmasterd.acting import Deed, acting, current
from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import CloudUnreachable
from cloudmasterd.fleet import Fleet
from cloudmasterd.image_push import ImagePush
from cloudmasterd.images import Images
from cloudmasterd.machines import Asker, Machines, Rules
from cloudmasterd.model import MachineState, TaskState
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.recipes import Tools, build_recipes
from cloudmasterd.spec import Change, DiskSpec, MachineSpec, Source
from cloudmasterd.tasks import TaskRunner
from func.minion.modules.image import Image
from tests.fakes import FakeFabric, WorkingMinion, machine

DEADLINE_S = 60.0
KILLED = 9
FLUSHED = "flushed"
ASKER = Asker("crash", "request-1", key="key-1", request_hash="h")
NAME = "jboss1.example.org"
IMAGE = bytes(range(256)) * 8192  # two pieces
DEED = Deed("crash", "changeSomething", request_id="request-1")


class Bomb:
    """Counts the points and goes off at the N-th: the process ends on the spot, but in mode "minion", where
    the minion is gone for a moment, whatever it was at."""

    def __init__(self, at: int, mode: str) -> None:
        self.at = at
        self.mode = mode
        self.points: list[str] = []
        self.armed = False

    def pass_by(self, point: str) -> None:
        if not self.armed or (self.mode == "minion" and point.startswith(("before write", "after write"))):
            return
        self.points.append(point)
        if len(self.points) == self.at:
            if self.mode == "minion":
                raise CloudUnreachable(f"cloud1 went away ({point})")
            os._exit(KILLED)


class Watched:
    """Something whose calls of these names are points, before and after."""

    def __init__(self, inner: Any, names: frozenset[str], bomb: Bomb, **replaced: Any) -> None:
        self._inner = inner
        self._names = names
        self._bomb = bomb
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._names:
            return found

        def call(*args: Any, **settings: Any) -> Any:
            self._bomb.pass_by(f"before write {name}")
            answer = found(*args, **settings)
            self._bomb.pass_by(f"after write {name}")
            return answer

        return call


TASK_WRITES = frozenset(
    {"submit", "begin", "begin_step", "end_step", "progress", "note", "ask_cancel", "end"}
)
STORE_WRITES = frozenset({"reconcile", "change_machine", "mark_unreachable"})


class WatchedFabric(FakeFabric):
    """Each remote call is a point before it is sent and after its answer came."""

    def __init__(self, bomb: Bomb, minion: WorkingMinion) -> None:
        super().__init__(cloud1=minion)
        self._bomb = bomb

    def call(self, cloud: str, method: str, *args: Any, timeout_s: Any = None) -> Any:
        what = args[1] if method == "machine.perform" else method
        self._bomb.pass_by(f"before call {what}")
        answer = super().call(cloud, method, *args, timeout_s=timeout_s)
        self._bomb.pass_by(f"after call {what}")
        return answer


class CloningMinion(WorkingMinion):
    """With the real module `image`: disks stand on images that are there, machines read seeds that are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(file=folder / "minion.json")
        self.image = Image(folder / "minion")
        self.seeds = folder / "minion/var/lib/func/seeds"

    def call(self, method: str, args: Any) -> Any:
        if method.startswith("image."):
            return getattr(self.image, method.partition(".")[2])(*args)
        return super().call(method, args)

    def _do_create_disk(self, identity: str, **wanted: Any) -> dict[str, Any]:
        if wanted["backing"] is not None:
            kept = self.seeds.parent / f"images/{wanted['backing']['image']}.raw"
            assert kept.read_bytes() == IMAGE
        return super()._do_create_disk(identity, **wanted)

    def _do_define(self, identity: str, **wanted: Any) -> dict[str, Any]:
        assert not wanted["seed"] or (self.seeds / f"{identity}.iso").exists()
        return super()._do_define(identity, **wanted)

    def _do_undefine(self, identity: str) -> dict[str, Any]:
        (self.seeds / f"{identity}.iso").unlink(missing_ok=True)
        return super()._do_undefine(identity)


class World:
    """A cloud master and one minion, both of which live in `folder` alone."""

    def __init__(self, folder: Path, bomb: Bomb) -> None:
        self.minion = CloningMinion(folder)
        self.minion.hook = lambda point: bomb.pass_by(f"minion {point}")
        fabric = WatchedFabric(bomb, self.minion)
        clock = SystemClock()
        real = Store(folder / "db")
        _watch_the_record(real, bomb)
        if bomb.mode == "power":
            _note_what_is_on_the_disk(real, folder)
        tasks = Watched(real.tasks, TASK_WRITES, bomb)
        self.store: Any = Watched(real, STORE_WRITES, bomb, tasks=tasks)
        self.fleet = Fleet(self.store, fabric, clock)
        operations = Operations(fabric)
        resources = ResourceCache(operations, clock)
        self.images = Images(real, folder / "images", clock)
        push = ImagePush(operations, self.images, clock, turn_s=0.0)
        recipes = build_recipes(Tools(self.store, self.fleet, operations, resources, 30.0, push))
        self.runner = TaskRunner(
            self.store, recipes, clock, workers=1, short_workers=1, patience_s=30, backoff_s=(0.01,)
        )
        self.machines = Machines(self.store, self.runner, resources, clock, Rules(), self.images)
        self.fleet.discover()
        self.fleet.refresh(["cloud1"])

    def finish(self) -> None:
        """Let every task come to its end; raises AssertionError where one does not."""
        self.runner.start()
        for task in self.store.tasks.pending():
            ended = self.machines.wait(task.id, DEADLINE_S)
            assert ended.ended_at is not None, f"task {ended.id} has not ended: {ended.steps}"
        self.runner.stop(5)
        self.fleet.refresh(["cloud1"])


def _watch_the_record(store: Store, bomb: Bomb) -> None:
    """Points between a change, its record on the audit and the end of their transaction."""
    writer = store._writer
    witness = writer._witness

    def watched(unit: Any) -> None:
        if current() is None:
            return witness(unit)
        bomb.pass_by("before write record")
        witness(unit)
        return bomb.pass_by("after write record")

    def traced(statement: str) -> None:
        if statement == "COMMIT" and current() is not None:
            bomb.pass_by("before write COMMIT")

    writer._witness = watched
    writer.connection.raw.set_trace_callback(traced)


def _all_is_on_record(world: World) -> None:
    """Each task that was asked for has its one record, each record its task, and the chain is whole."""
    told = [entry.deed.detail.get("task") for entry in world.store.audit.list() if entry.deed.who == "crash"]
    asked = [task.id for task in world.store.tasks.list() if task.request_id == ASKER.request_id]
    assert told == asked, f"records of tasks {told}, and there are tasks {asked}"
    verdict = world.store.audit.verify()
    assert verdict.whole, verdict.wrong


def _note_what_is_on_the_disk(store: Store, folder: Path) -> None:
    """Keep in a file how much of the log of the database was flushed: a power cut takes the rest."""
    writer, log = store._writer, folder / "db-wal"
    writer.connection.raw.execute("PRAGMA wal_autocheckpoint = 0")  # the log only grows
    end = writer._end

    def note(batch: Any) -> None:
        end(batch)
        if batch.durable:
            (folder / FLUSHED).write_text(str(log.stat().st_size))

    (folder / FLUSHED).write_text(str(log.stat().st_size))
    writer._end = note  # type: ignore[method-assign]


def _cut_power(folder: Path) -> None:
    os.truncate(folder / "db-wal", int((folder / FLUSHED).read_text()))
    (folder / "db-shm").unlink(missing_ok=True)


def _spec(network: str = "default") -> MachineSpec:
    return MachineSpec(
        name=NAME, memory_mb=512, vcpus=1, disks=(DiskSpec(4), DiskSpec(1)), networks=(network,),
        tags={"team": "web"},
    )  # fmt: skip


def _make(world: World) -> None:
    world.machines.create(_spec(), Asker("crash", "request-0", key="key-0"))
    world.finish()


def _upload(world: World) -> None:
    sha256 = hashlib.sha256(IMAGE).hexdigest()
    world.images.create({"name": "img", "format": "raw", "sha256": sha256, "size_bytes": len(IMAGE)})
    world.images.receive("img", 0, IMAGE)


def _submit_clone(world: World) -> None:
    source = Source("image", image="img", cloud_init={"user_data": "#!/bin/sh\n"})
    world.machines.create(replace(_spec(), source=source), ASKER)


def _submit_create(world: World) -> None:
    world.machines.create(_spec(), ASKER)


def _steal_name(world: World) -> None:
    """Another tool takes the name after the master has looked, so that define fails and all is undone."""
    world.minion.put(machine(NAME, state=MachineState.OFF))


def _cancel_later(world: World) -> None:
    _submit_create(world)
    (task,) = world.store.tasks.pending()
    world.minion.hook = _cancel_at_define(world, task.id, world.minion.hook)


def _cancel_at_define(world: World, task_id: int, hook: Callable[[str], None]) -> Callable[[str], None]:
    begun = []

    def passed(point: str) -> None:
        begun.append(point)
        if len(begun) == 5:  # two disks have two points each: the definition is under way
            world.store.tasks.ask_cancel(task_id)
        hook(point)

    return passed


def _submit_change(world: World) -> None:
    world.machines.change(NAME, Change(memory_mb=1024, autostart=True, notes="bigger"), ASKER)


def _submit_delete(world: World) -> None:
    world.machines.delete(NAME, ASKER, force=True)


def _made_once(world: World) -> None:
    (task,) = world.store.tasks.list(limit=5)
    assert task.state is TaskState.DONE, (task.state, task.error)
    found = world.store.get_machine(NAME)
    assert (found.state, found.managed, found.tags) == (MachineState.RUNNING, True, {"team": "web"})
    assert len(world.minion.machines) == 1, world.minion.machines
    assert _volumes(world) == 2, world.minion.volumes


def _nothing_left(world: World) -> None:
    others = [m for m in world.minion.machines.values() if m.uuid != machine(NAME).uuid]
    assert others == [], others
    assert _volumes(world) == 0, world.minion.volumes


def _cloned_once(world: World) -> None:
    _made_once(world)
    found = world.store.get_machine(NAME)
    assert found.image == "img"
    assert [file.name for file in world.minion.seeds.iterdir()] == [f"{found.uuid}.iso"]
    assert world.store.tasks.get_secret(1) is None


def _clone_undone(world: World) -> None:
    _undone(world)
    assert not world.minion.seeds.exists() or list(world.minion.seeds.iterdir()) == []
    assert world.store.tasks.get_secret(1) is None


def _undone(world: World) -> None:
    (task,) = world.store.tasks.list(limit=5)
    assert task.state is TaskState.FAILED, (task.state, task.error)
    assert task.error is not None and "already" in task.error and "undone" not in task.error, task.error
    assert world.minion.named(NAME) == machine(NAME, state=MachineState.OFF)
    _nothing_left(world)


def _made_or_cancelled(world: World) -> None:
    (task,) = world.store.tasks.list(limit=5)
    if task.state is TaskState.CANCELLED:
        _nothing_left(world)
    else:
        _made_once(world)


def _changed(world: World) -> None:
    task = world.store.tasks.list(limit=5)[0]
    assert (task.kind, task.state) == ("machine.change", TaskState.DONE), (task.kind, task.state, task.error)
    found = world.store.get_machine(NAME)
    assert (found.autostart, found.notes) == (True, "bigger"), found
    assert len(world.minion.machines) == 1


def _deleted(world: World) -> None:
    task = world.store.tasks.list(limit=5)[0]
    assert (task.kind, task.state) == ("machine.delete", TaskState.DONE), (task.kind, task.state, task.error)
    assert world.store.list_machines() == []
    _nothing_left(world)


@dataclass(frozen=True)
class Scenario:
    """What is there, what is asked, and what must be so in the end; `early` when it was killed before the
    task was written, so that the client asks again."""

    name: str
    submit: Callable[[World], None]
    check: Callable[[World], None]
    prepare: Callable[[World], None] = lambda world: None
    meanwhile: Callable[[World], None] = lambda world: None


SCENARIOS = (
    Scenario("create", _submit_create, _made_once),
    Scenario("create that fails", _submit_create, _undone, meanwhile=_steal_name),
    Scenario("create that is cancelled", _cancel_later, _made_or_cancelled),
    Scenario("clone of an image", _submit_clone, _cloned_once, prepare=_upload),
    Scenario("clone that fails", _submit_clone, _clone_undone, prepare=_upload, meanwhile=_steal_name),
    Scenario("change", _submit_change, _changed, prepare=_make),
    Scenario("delete", _submit_delete, _deleted, prepare=_make),
)


def _act(scenario: Scenario, folder: Path, bomb: Bomb, report: Path) -> None:
    world = World(folder, bomb)
    bomb.armed = True
    with acting(DEED):
        scenario.submit(world)
    scenario.meanwhile(world)
    world.finish()
    bomb.armed = False
    report.write_text(json.dumps(bomb.points))
    scenario.check(world)
    _all_is_on_record(world)


def _go_on(scenario: Scenario, folder: Path, bomb: Bomb) -> None:
    world = World(folder, bomb)
    bomb.armed = True
    before = len(world.store.tasks.list(limit=5))
    if not any(t.request_id == ASKER.request_id for t in world.store.tasks.list(limit=5)):
        # Killed before the task was written: the client got no answer and asks again with the same key.
        with acting(DEED):
            scenario.submit(world)
        before += 1
    if world.minion.named(NAME) is None:
        scenario.meanwhile(world)
    world.finish()
    bomb.armed = False
    assert len(world.store.tasks.list(limit=5)) == before, "a task was doubled"
    scenario.check(world)
    _all_is_on_record(world)


def _volumes(world: World) -> int:
    return sum(1 for name in world.minion.volumes if not name.endswith(".iso"))


def _in_a_process(work: Callable[[], None], log: Path) -> int:
    """Fork, do it, and say how it ended: 0, KILLED, or 1 with the traceback in `log`."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001  whatever it was is reported
        log.write_text(traceback.format_exc())
    finally:
        os._exit(status)


def _status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run_point(scenario: Scenario, mode: str, point: int, template: Path, folder: Path) -> str:
    """What went wrong at this point; empty when all was well."""
    shutil.copytree(template, folder)
    log, report = folder / "log", folder / "points"
    first = _status(_in_a_process(lambda: _act(scenario, folder, Bomb(point, mode), report), log))
    where = f"{scenario.name}, {mode} killed at point {point}"
    if first not in (0, KILLED):
        return f"{where}, first run:\n{log.read_text()}"
    if first == KILLED and mode == "power":
        _cut_power(folder)
    again = [Bomb(1 + point * 7 % 23, "master")] if mode == "twice" else []
    for bomb in [*again, Bomb(0, "master")] if first == KILLED else []:
        status = _status(_in_a_process(partial(_go_on, scenario, folder, bomb), log))
        if status not in (0, KILLED if bomb.at else 0):
            return f"{where}, after the restart:\n{log.read_text()}"
    shutil.rmtree(folder)
    return ""


def points_of(scenario: Scenario, mode: str, template: Path, folder: Path) -> int:
    """How many points a run passes by when nothing goes off."""
    shutil.copytree(template, folder)
    log, report = folder / "log", folder / "points"
    if _status(_in_a_process(lambda: _act(scenario, folder, Bomb(0, mode), report), log)) != 0:
        raise AssertionError(f"{scenario.name} fails by itself:\n{log.read_text()}")
    return len(json.loads(report.read_text()))


def run(scenario: Scenario, folder: Path, every: int, result: Path) -> None:
    """Try every point of a scenario, or every N-th one; writes what came of it to `result`."""
    template, log = folder / "template", folder / "log"
    template.mkdir(parents=True)
    if _status(_in_a_process(lambda: scenario.prepare(World(template, Bomb(0, "master"))), log)) != 0:
        raise AssertionError(f"{scenario.name} cannot be prepared:\n{log.read_text()}")
    found = []
    for mode in ("master", "twice", "power", "minion"):
        count = points_of(scenario, mode, template, folder / f"{mode} 0")
        tried = range(1, count + 1, every * (2 if mode in ("twice", "power") else 1))
        said = [_run_point(scenario, mode, n, template, folder / f"{mode} {n}") for n in tried]
        found.append((scenario.name, mode, len(tried), [text for text in said if text]))
    result.write_text(json.dumps(found))


def main() -> int:
    """Run all, the scenarios side by side, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try every N-th point only")
    every = parser.parse_args().every
    begun, total, bad = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folders = {scenario: Path(name) / scenario.name for scenario in SCENARIOS}
        children = {}
        for scenario, folder in folders.items():
            work = partial(run, scenario, folder, every, Path(f"{folder}.json"))
            children[_in_a_process(work, Path(f"{folder}.log"))] = folder
        for child, folder in children.items():
            if _status(child) != 0:
                print(Path(f"{folder}.log").read_text())
                bad += 1
                continue
            for title, mode, tried, failures in json.loads(Path(f"{folder}.json").read_text()):
                print(f"{title:26} {mode:8} {tried:4} points, {len(failures)} wrong", flush=True)
                total, bad = total + tried, bad + len(failures)
                print("\n".join(failures[:3]), end="")
    print(f"{total} points tried in {time.monotonic() - begun:.0f} s, {bad} wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
