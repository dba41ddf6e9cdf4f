"""The task runner over a real store: forward, back, again, and never two at a time on one machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional, Union

import pytest

from cloudmasterd import request_ids
from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import CloudUnreachable, Conflict, StoreError
from cloudmasterd.model import NewTask, Step, StepState, Task, TaskState
from cloudmasterd.store import Store
from cloudmasterd.tasks import Done, Lane, Later, Recipe, StepContext, StepKind, TaskRunner
from cloudmasterd.tasks.outcome import error_of
from cloudmasterd.tasks.queue import Queue
from cloudmasterd.turns import Turns
from tests.blank import blank
from tests.fakes import wait_for

SILENT = CloudUnreachable("cloud1 did not answer")
Do = Callable[[StepContext], Union[Done, Later]]


class Bench:
    """A store, and recipes made of functions that note what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(blank(folder / "db"))
        self.calls: list[tuple[str, str]] = []  # (what, operation)
        self.recipes: dict[str, Recipe] = {}
        self.settings: dict[str, Any] = {"backoff_s": (0.01,)}
        self.runner: Optional[TaskRunner] = None

    def close(self) -> None:
        if self.runner is not None:
            self.runner.stop(5)
        self.store.close()

    def kind(self, name: str, lane: Lane = Lane.LONG, **kinds: StepKind) -> None:
        self.recipes[name] = Recipe(kinds, lane)

    def step(self, name: str, *outcomes: Any, undo: Any = None, **settings: Any) -> StepKind:
        """A step that gives or raises its outcomes one after the other, the last one for ever."""
        return StepKind(
            self._noting(name, [*outcomes] or [Done()]),
            self._noting(f"undo {name}", [undo]) if undo is not None else None,
            **settings,
        )

    def _noting(self, name: str, outcomes: list[Any]) -> Any:
        def call(ctx: StepContext) -> Any:
            self.calls.append((name, ctx.operation))
            outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome(ctx) if callable(outcome) else outcome

        return call

    def start(self, **settings: Any) -> TaskRunner:
        self.runner = TaskRunner(self.store, self.recipes, SystemClock(), **{**self.settings, **settings})
        self.runner.start()
        return self.runner

    def submit(self, kind: str, *steps: str, machine: Optional[str] = None, cloud: str = "cloud1") -> Task:
        new = NewTask(
            kind=kind, target="/x", cloud=cloud, machine=machine, machine_name=machine, arguments={},
            steps=tuple(Step(name, name.capitalize()) for name in steps), asked_by="ada", request_id="r",
        )  # fmt: skip
        task = self.store.tasks.submit(lambda room: new)
        if self.runner is not None:
            self.runner.wake(task)
        return task

    def ended(self, task: Task) -> Task:
        assert self.runner is not None
        found = self.runner.wait(task.id, 60)
        assert found.ended_at is not None, found.steps
        return found

    def ran(self, kind: str, *steps: str) -> Task:
        if self.runner is None:
            self.start()
        return self.ended(self.submit(kind, *steps))

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def states(task: Task) -> list[StepState]:
    return [step.state for step in task.steps]


def test_no_step_begins_or_goes_on_while_somebody_asks_for_something(bench: Bench) -> None:
    own, looked = threading.get_ident(), threading.Event()

    def monotonic() -> float:
        if threading.get_ident() != own:
            looked.set()  # a worker gives way
        return time.monotonic()

    turns = Turns(600, monotonic)
    acting, go_on = threading.Event(), threading.Event()

    def act(ctx: StepContext) -> Done:
        acting.set()
        assert go_on.wait(60)
        return Done()

    bench.kind("play", one=bench.step("one", act), two=bench.step("two"))
    bench.start(turns=turns)
    with turns.asking():
        task = bench.submit("play", "one", "two")
        assert looked.wait(60)
        assert bench.names() == []
    assert acting.wait(60)
    with turns.asking():
        looked.clear()
        go_on.set()
        assert looked.wait(60)
        assert bench.names() == ["one"]
    assert bench.ended(task).state is TaskState.DONE


def test_steps_run_in_order_and_see_what_came_before(bench: Bench) -> None:
    seen: list[Any] = []

    def two(ctx: StepContext) -> Done:
        seen.append(ctx.result_of("one"))
        return Done({}, "fine")

    bench.kind("k", one=bench.step("one", Done({"path": "/a"})), two=bench.step("two", two))
    task = bench.ran("k", "one", "two")
    assert (task.state, task.error, states(task)) == (TaskState.DONE, None, [StepState.DONE] * 2)
    assert (seen, task.steps[1].detail) == ([{"path": "/a"}], "fine")


def test_what_a_step_asks_and_its_undoing_carry_the_id_of_the_request(bench: Bench) -> None:
    seen: list[str] = []

    def note(ctx: StepContext) -> Any:
        seen.append(request_ids.current())
        return Done()

    bench.kind(
        "k",
        one=StepKind(note, lambda ctx: str(note(ctx))),
        two=bench.step("two", Conflict("no")),
    )
    assert bench.ran("k", "one", "two").state is TaskState.FAILED
    assert seen == ["r", "r"]
    assert request_ids.current() == ""


def test_an_operation_is_in_the_store_before_its_step_acts(bench: Bench) -> None:
    stored: list[Any] = []

    def look(ctx: StepContext) -> Done:
        stored.append((ctx.operation, bench.store.tasks.get(ctx.task.id).steps[0].operation))
        return Done()

    bench.kind("k", one=bench.step("one", look))
    bench.ran("k", "one")
    assert stored[0][0] == stored[0][1] != ""


def test_a_lost_reply_is_asked_for_again_under_the_same_operation(bench: Bench) -> None:
    bench.kind("k", one=bench.step("one", SILENT, SILENT, Done()))
    assert bench.ran("k", "one").state is TaskState.DONE
    assert len(bench.calls) == 3 and len({operation for _, operation in bench.calls}) == 1


def test_while_a_cloud_instance_is_silent_the_step_says_since_when_and_why(bench: Bench) -> None:
    bench.kind("k", one=bench.step("one", SILENT))
    bench.start(patience_s=60)
    task = bench.submit("k", "one")
    wait_for(lambda: bench.store.tasks.get(task.id).steps[0].detail, "a detail")
    detail = bench.store.tasks.get(task.id).steps[0].detail
    assert "waits for cloud1 since" in detail and "for 60 s at most: cloud1 did not answer" in detail


def test_at_the_end_of_patience_the_task_fails_and_what_was_made_is_undone(bench: Bench) -> None:
    bench.kind("k", one=bench.step("one", undo="gone"), two=bench.step("two", SILENT))
    bench.start(patience_s=0.05)
    task = bench.ran("k", "one", "two")
    assert task.state is TaskState.FAILED
    assert task.error is not None and "given up after" in task.error and "cloud1 did not answer" in task.error
    assert states(task) == [StepState.UNDONE, StepState.FAILED]


def test_undoing_goes_backwards_under_operations_of_its_own(bench: Bench) -> None:
    bench.kind(
        "k",
        one=bench.step("one", undo="gone"),
        two=bench.step("two", undo="gone too"),
        three=bench.step("three", Conflict("the name is taken"), undo="never"),
        four=bench.step("four"),
    )
    task = bench.ran("k", "one", "two", "three", "four")
    assert (task.state, task.error) == (TaskState.FAILED, "the name is taken")
    assert bench.names() == ["one", "two", "three", "undo two", "undo one"]
    assert len({operation for _, operation in bench.calls}) == 5
    assert states(task) == [StepState.UNDONE, StepState.UNDONE, StepState.FAILED, StepState.SKIPPED]
    assert task.steps[1].detail == "gone too"


def test_what_cannot_be_undone_is_said_and_the_rest_is_undone(bench: Bench) -> None:
    bench.kind(
        "k",
        one=bench.step("one", undo="gone"),
        two=bench.step("two", undo=Conflict("web2 uses it")),
        three=bench.step("three", Conflict("full")),
    )
    task = bench.ran("k", "one", "two", "three")
    assert task.error == "full. This could not be undone: Two: web2 uses it"
    assert states(task) == [StepState.UNDONE, StepState.FAILED, StepState.FAILED]


def test_undoing_waits_longer_than_patience(bench: Bench) -> None:
    undo = [SILENT, SILENT, SILENT, SILENT, SILENT, SILENT]

    def gone(ctx: StepContext) -> str:
        if undo:
            raise undo.pop()
        return "gone"

    bench.kind("k", one=bench.step("one", undo=gone), two=bench.step("two", Conflict("no")))
    bench.start(patience_s=0.02)
    task = bench.ran("k", "one", "two")
    assert (task.error, task.steps[0].state) == ("no", StepState.UNDONE)


def test_while_it_waits_to_undo_a_task_says_why_it_failed_and_what_it_waits_for(bench: Bench) -> None:
    made = bench.step("one", Done({}, "/pool/disk"), undo=SILENT)
    bench.kind("k", one=made, two=bench.step("two", Conflict("the name is taken")))
    bench.start()
    task = bench.submit("k", "one", "two")
    wait_for(lambda: "waits" in (error_of(bench.store.tasks.get(task.id)) or ""))
    now = bench.store.tasks.get(task.id)
    assert (now.state, now.error) == (TaskState.RUNNING, None)
    assert str(error_of(now)).startswith(
        "the name is taken. What it made is being undone (One): waits for cloud1 since "
    )
    assert "cloud1 did not answer" in str(error_of(now))


def test_a_task_that_gets_on_has_no_error(bench: Bench) -> None:
    bench.kind("k", one=bench.step("one"), two=bench.step("two", Later(60, "waits for the guest")))
    bench.start()
    task = bench.submit("k", "one", "two")
    wait_for(lambda: bench.store.tasks.get(task.id).steps[1].detail == "waits for the guest")
    assert error_of(bench.store.tasks.get(task.id)) is None


def test_a_step_whose_outcome_is_not_known_is_settled_before_it_is_undone(bench: Bench) -> None:
    # silent until patience is over; then it turns out that the volume was somebody else's all the time
    outcomes: list[Any] = [SILENT] * 30
    asked: list[str] = []

    def make(ctx: StepContext) -> Done:
        asked.append(ctx.operation)
        if ctx.step.state is StepState.RUNNING:
            raise outcomes[0]
        raise Conflict("it is there already")

    bench.kind("k", one=StepKind(make, lambda ctx: pytest.fail("it was not ours")))
    bench.start(patience_s=0.05)
    task = bench.ran("k", "one")
    assert len(set(asked)) == 1
    assert (task.state, task.steps[0].state) == (TaskState.FAILED, StepState.UNDONE)
    assert task.steps[0].detail == "nothing to undo: it is there already"


def test_an_error_nobody_expected_fails_the_task_and_its_traceback_goes_to_the_log_alone(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.kind("k", one=bench.step("one", undo="gone"), two=bench.step("two", KeyError("pools")))
    task = bench.ran("k", "one", "two")
    assert task.state is TaskState.FAILED and task.steps[0].state is StepState.UNDONE
    assert task.error == "cloudmasterd itself failed: KeyError: 'pools'; its log says more"
    assert "Traceback" in caplog.text


def test_a_store_that_fails_for_a_moment_costs_no_task(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudmasterd.tasks.runner.STORE_RETRY_S", 0.01)
    bench.kind("k", one=bench.step("one", StoreError("disk is full"), StoreError("disk is full"), Done()))
    assert bench.ran("k", "one").state is TaskState.DONE
    assert len({operation for _, operation in bench.calls}) == 1


def test_a_kind_nobody_knows_fails_with_a_word(bench: Bench) -> None:
    task = bench.ran("machine.teleport", "one")
    assert (task.state, task.error) == (
        TaskState.FAILED,
        "this cloudmasterd knows no tasks of kind machine.teleport",
    )


def test_a_step_that_wants_to_wait_keeps_no_thread(bench: Bench) -> None:
    bench.kind("watch", Lane.SHORT, one=bench.step("one", Later(60, "still running", 10)))
    bench.kind("quick", Lane.SHORT, one=bench.step("quick"))
    bench.start(short_workers=1, per_cloud=1)
    watching = [bench.submit("watch", "one") for _ in range(3)]
    wait_for(lambda: bench.names().count("one") == 3, "all three to watch")
    assert bench.ended(bench.submit("quick", "one")).state is TaskState.DONE
    step = bench.store.tasks.get(watching[0].id).steps[0]
    assert (step.detail, step.progress) == ("still running", 10)


def test_a_waiting_task_is_cancelled_at_once(bench: Bench) -> None:
    gate = threading.Event()
    bench.kind("k", one=bench.step("one", lambda ctx: Done({"ok": gate.wait(60)})))
    runner = bench.start(per_cloud=1)
    first = bench.submit("k", "one")
    wait_for(lambda: bench.calls, "the first to run")
    second = bench.submit("k", "one")
    assert (runner.position(second.id), bench.store.tasks.get(second.id).position) == (1, 1)
    runner.cancel(bench.store.tasks.ask_cancel(second.id))
    assert bench.store.tasks.get(second.id).state is TaskState.CANCELLED
    gate.set()
    assert bench.ended(first).state is TaskState.DONE
    assert len(bench.calls) == 1


def test_a_running_task_is_cancelled_between_steps_and_undone(bench: Bench) -> None:
    gate, entered = threading.Event(), threading.Event()

    def one(ctx: StepContext) -> Done:
        entered.set()
        assert gate.wait(60)
        return Done()

    bench.kind("k", one=bench.step("one", one, undo="gone"), two=bench.step("two"))
    runner = bench.start()
    task = bench.submit("k", "one", "two")
    assert entered.wait(60)
    runner.cancel(bench.store.tasks.ask_cancel(task.id))
    gate.set()
    done = bench.ended(task)
    assert (done.state, done.error) == (TaskState.CANCELLED, None)
    assert (states(done), bench.names()) == ([StepState.UNDONE, StepState.SKIPPED], ["one", "undo one"])


def test_cancelling_ends_the_waiting_for_a_silent_cloud_instance(bench: Bench) -> None:
    bench.kind("k", one=bench.step("one", SILENT))
    runner = bench.start(patience_s=600, backoff_s=(60,))
    task = bench.submit("k", "one")
    wait_for(lambda: bench.store.tasks.get(task.id).steps[0].detail, "the first silence")
    runner.cancel(bench.store.tasks.ask_cancel(task.id))
    assert bench.ended(task).state is TaskState.CANCELLED


def test_behind_a_final_step_there_is_no_way_back(bench: Bench) -> None:
    heard = threading.Event()

    def two(ctx: StepContext) -> Done:
        if not heard.is_set():
            raise SILENT
        return Done()

    bench.kind("k", one=bench.step("one", undo="gone"), two=bench.step("two", two, final=True))
    runner = bench.start(patience_s=0.01)
    task = bench.submit("k", "one", "two")
    wait_for(lambda: "two" in bench.names(), "the final step")
    assert not runner.may_cancel(bench.store.tasks.get(task.id))
    runner.cancel(bench.store.tasks.ask_cancel(task.id))
    heard.set()
    assert bench.ended(task).state is TaskState.DONE


def test_one_task_at_a_time_for_a_cloud_instance_in_a_lane_of_one(bench: Bench) -> None:
    most, lock, now = [0], threading.Lock(), [0]
    both, tick = threading.Event(), threading.Event()

    def work(ctx: StepContext) -> Done:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] == 2:
                both.set()
        assert both.wait(60), "the second place stays empty"
        tick.wait(0.01)  # for a third to come, if there were a place
        with lock:
            now[0] -= 1
        return Done()

    bench.kind("k", one=bench.step("one", work))
    bench.start(per_cloud=2, workers=8)
    tasks = [bench.submit("k", "one") for _ in range(12)]
    assert all(bench.ended(task).state is TaskState.DONE for task in tasks)
    assert most[0] == 2


def test_short_actions_are_not_behind_long_installs(bench: Bench) -> None:
    gate = threading.Event()
    bench.kind("install", Lane.LONG, one=bench.step("one", lambda ctx: Done({"ok": gate.wait(60)})))
    bench.kind("start", Lane.SHORT, one=bench.step("two"))
    bench.start(workers=2, per_cloud=2)
    installs = [bench.submit("install", "one") for _ in range(5)]
    assert bench.ended(bench.submit("start", "one")).state is TaskState.DONE
    assert bench.store.tasks.get(installs[0].id).ended_at is None
    gate.set()
    assert all(bench.ended(task).state is TaskState.DONE for task in installs)


def test_after_a_restart_a_step_goes_on_under_the_operation_it_had(bench: Bench) -> None:
    bench.kind("k", one=bench.step("one", undo="gone"), two=bench.step("two"))
    task = bench.submit("k", "one", "two")
    at = SystemClock().now()
    bench.store.tasks.begin(task.id, at)
    bench.store.tasks.begin_step(task.id, 0, "operation-of-before", at)
    bench.start()
    assert bench.ended(task).state is TaskState.DONE
    assert bench.calls[0] == ("one", "operation-of-before")


def test_after_a_restart_an_undoing_goes_on_and_nothing_goes_forward(bench: Bench) -> None:
    bench.kind("k", one=bench.step("one", undo="gone"), two=bench.step("two", undo="gone"))
    task = bench.submit("k", "one", "two")
    tasks, at = bench.store.tasks, SystemClock().now()
    tasks.begin(task.id, at)
    tasks.end_step(task.id, 0, StepState.DONE, "", {}, at)
    tasks.end_step(task.id, 1, StepState.FAILED, "no", {"error": "no"}, at)
    tasks.begin_step(task.id, 0, "undo-of-before", at, state=StepState.UNDOING)
    bench.start()
    done = bench.ended(task)
    assert (done.state, done.error, bench.calls) == (TaskState.FAILED, "no", [("undo one", "undo-of-before")])


def test_a_stop_leaves_what_hangs_and_the_next_start_takes_it_up(bench: Bench) -> None:
    gate, entered = threading.Event(), threading.Event()

    def hang(ctx: StepContext) -> Done:
        entered.set()
        gate.wait(60)
        return Done()

    bench.kind("k", one=bench.step("one", hang))
    runner = bench.start()
    task = bench.submit("k", "one")
    assert entered.wait(60)
    runner.stop(0.1)
    assert bench.store.tasks.get(task.id).state is TaskState.RUNNING
    gate.set()
    bench.start()
    assert bench.ended(task).state is TaskState.DONE
    assert len({operation for _, operation in bench.calls}) == 1


def test_a_runner_that_does_not_run_says_so(bench: Bench) -> None:
    runner = bench.start()
    assert runner.problems() == []
    runner.stop(5)
    assert "does not run" in runner.problems()[0]


def test_in_the_queue_a_machine_has_one_task_at_a_time_in_the_order_they_came() -> None:
    queue = Queue(per_cloud=4)
    queue.add(1, Lane.SHORT, "cloud1", "m1")
    queue.add(2, Lane.SHORT, "cloud1", "m1")
    queue.add(3, Lane.SHORT, "cloud1", "m2")
    assert [queue.take(Lane.SHORT, 0) for _ in range(3)] == [1, 3, None]
    queue.remove(1)
    assert queue.take(Lane.SHORT, 0) == 2


def test_in_the_queue_a_long_task_keeps_its_place_while_it_waits_and_a_short_one_does_not() -> None:
    for lane, others in ((Lane.LONG, None), (Lane.SHORT, 2)):
        queue = Queue(per_cloud=1)
        queue.add(1, lane, "cloud1", "m1")
        queue.add(2, lane, "cloud1", "m2")
        assert queue.take(lane, 0) == 1
        queue.park(1, due=9)
        assert (queue.take(lane, 0), queue.next_due(lane, 0)) == (others, 9)
        assert queue.take(lane, 9) == (1 if lane is Lane.LONG else None)


def test_in_the_queue_one_that_is_hurried_before_it_waits_looks_once_more() -> None:
    queue = Queue(per_cloud=1)
    queue.add(1, Lane.LONG, "cloud1", "m1")
    assert queue.take(Lane.LONG, 0) == 1
    queue.hurry(1)  # it has said what it waits for, and is not yet put down
    queue.park(1, due=60)
    assert queue.take(Lane.LONG, 1) == 1
    queue.park(1, due=60)
    assert queue.take(Lane.LONG, 1) is None, "once"
    queue.hurry(1)
    assert queue.take(Lane.LONG, 1) == 1


def test_in_the_queue_a_long_task_gives_its_place_back_for_as_long_as_what_it_waits_for_is_light() -> None:
    queue = Queue(per_cloud=1)
    queue.add(1, Lane.LONG, "cloud1", "m1")
    queue.add(2, Lane.LONG, "cloud1", "m2")
    assert queue.take(Lane.LONG, 0) == 1
    queue.park(1, due=9, light=True)
    assert queue.take(Lane.LONG, 0) == 2
    assert queue.take(Lane.LONG, 9) == 1, "to look once more it needs none"
    queue.park(1, due=9)
    assert queue.take(Lane.LONG, 9) is None, "to act again it does"
    queue.remove(2)
    assert queue.take(Lane.LONG, 9) == 1


def test_who_waits_in_a_light_step_does_not_keep_others_from_being_made(bench: Bench) -> None:
    gate = threading.Event()
    bench.kind(
        "install",
        act=bench.step("act"),
        watch=bench.step("watch", lambda ctx: Done() if gate.is_set() else Later(0.01), light=True),
        start=bench.step("start"),
    )
    bench.kind("make", act=bench.step("make"))
    bench.start(per_cloud=1)
    installs = [bench.submit("install", "act", "watch", "start") for _ in range(3)]
    assert bench.ended(bench.submit("make", "act")).state is TaskState.DONE
    states = {bench.store.tasks.get(task.id).state for task in installs}
    assert states <= {TaskState.RUNNING, TaskState.WAITING}
    gate.set()
    assert {bench.ended(task).state for task in installs} == {TaskState.DONE}


def test_in_the_queue_what_is_light_comes_first_but_not_without_bound() -> None:
    queue = Queue(per_cloud=1)
    queue.add(1, Lane.LONG, "cloud1", "m1")
    queue.add(2, Lane.LONG, "cloud1", "m2")
    queue.add(3, Lane.LONG, "cloud1", "m3", light=True)
    queue.add(4, Lane.LONG, "cloud1", "m4", light=True)
    assert [queue.take(Lane.LONG, 0) for _ in range(3)] == [3, 1, None]
    queue.park(3, due=0)
    assert queue.take(Lane.LONG, 0) == 4
    assert [queue.position(task) for task in (1, 2, 3, 4)] == [None, 1, 2, None]
