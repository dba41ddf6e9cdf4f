"""What installing machines report: who may, what is kept of it, and the steps that follow it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional

import pytest

from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import Conflict, FabricError, Invalid, NotFound
from cloudmasterd.installs import LONGEST_TEXT, InstallRules, Installs, heard, is_news, plain
from cloudmasterd.model import Install, NewTask, Phase, StepState, Task, TaskState
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.recipes import progress
from cloudmasterd.recipes.tools import Tools
from cloudmasterd.store import Store
from cloudmasterd.tasks import Done, Later, Recipe, StepContext, TaskRunner
from tests.blank import blank
from tests.fakes import START, FakeClock, FakeFabric, wait_for

RULES = InstallRules("http://cloud.example.org/", silent_s=900, timeout_s=7200)


class Bench:
    """A store, the reports, and one task that is an installation."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "db"
        self.clock = FakeClock()
        self.store = Store(blank(self.file), clock=self.clock)
        self.installs = Installs(self.store, self.clock)
        fabric = FakeFabric()
        operations = Operations(fabric)
        resources = ResourceCache(operations, self.clock)
        self.tools = Tools(self.store, None, operations, resources, installing=RULES)  # type: ignore[arg-type]
        self.token = self.clock.new_token()
        self.task = self.submit(self.token)

    def submit(self, token: str) -> Task:
        new = NewTask(
            kind="x", target="/x", cloud="cloud1", machine=None, machine_name=None, arguments={},
            steps=progress.phase_steps("web1"), asked_by="ada", request_id="r",
            secret=progress.secret_of(token), report_token=token,
        )  # fmt: skip
        return self.store.tasks.submit(lambda room: new)

    def say(self, phase: str, text: str = "") -> Install:
        self.installs.report(self.token, phase, text)
        return self.store.installs.get(self.task.id)

    def step(self, name: str, begun: bool = True, over: progress.Over = progress.never) -> Any:
        """What the step answers now; with `begun` the first one began when the clock started."""
        steps = tuple(replace(s, started_at=START if begun else None) for s in self.task.steps)
        kind = progress.phase_kinds(self.tools, over=over)["report"]
        step = next(s for s in steps if s.name == f"report:{name}")
        return kind.do(StepContext(replace(self.task, steps=steps), step, "op", self.clock.now()))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.store.close()


def test_a_token_is_43_characters_of_a_url_and_never_the_same() -> None:
    tokens = {SystemClock().new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(t) == 43 and t.replace("-", "a").replace("_", "a").isalnum() for t in tokens)


def test_the_token_is_nowhere_but_among_the_secrets_of_its_task(bench: Bench) -> None:
    raw = sqlite3.connect(bench.file)
    dump = [line for line in raw.iterdump() if bench.token in line]
    assert len(dump) == 1 and "task_secret" in dump[0]
    assert raw.execute("SELECT token_hash FROM install").fetchall() == [
        (hashlib.sha256(bench.token.encode()).hexdigest(),)
    ]
    raw.close()
    assert bench.token not in repr(bench.store.tasks.get(bench.task.id))


@pytest.mark.parametrize("state", [TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED])
def test_once_the_task_has_ended_nobody_reports_to_it_any_more(bench: Bench, state: TaskState) -> None:
    bench.say("booted")
    bench.store.tasks.end(bench.task.id, state, None, None, START)
    with pytest.raises(NotFound):
        bench.say("done")
    raw = sqlite3.connect(bench.file)
    assert not [line for line in raw.iterdump() if bench.token in line]
    assert raw.execute("SELECT count(*) FROM install").fetchone() == (0,)
    raw.close()


@pytest.mark.parametrize("token", ["", "x", "0" * 43, "é", "../..", "' OR 1=1 --"])
@pytest.mark.parametrize("phase", ["booted", "no-phase"])
def test_a_wrong_token_is_told_nothing_of_phases(bench: Bench, token: str, phase: str) -> None:
    with pytest.raises(NotFound, match="no installation reports here"):
        bench.installs.report(token, phase)


def test_an_unknown_phase_is_told_the_known_ones(bench: Bench) -> None:
    with pytest.raises(Invalid, match="booted, kickstart, packages, post, done, failed"):
        bench.say("rebooted")


def test_two_tasks_cannot_have_one_token(bench: Bench) -> None:
    with pytest.raises(Exception, match="token_hash"):
        bench.submit(bench.token)


def test_each_machine_reports_to_its_own_task(bench: Bench) -> None:
    other = bench.submit("b" * 43)
    bench.installs.report("b" * 43, "post")
    assert bench.store.installs.get(other.id).reached is Phase.POST
    assert bench.store.installs.get(bench.task.id) == Install(bench.task.id)


@pytest.mark.parametrize(
    ("said", "reached"),
    [
        ("booted", "booted"),
        ("booted kickstart", "kickstart"),
        ("packages", "packages"),
        ("post kickstart booted", "post"),
        ("done packages", "done"),
        ("failed", None),
        ("packages failed", "packages"),
    ],
)
def test_phases_may_be_missed_repeated_or_out_of_order(
    bench: Bench, said: str, reached: Optional[str]
) -> None:
    for phase in said.split():
        bench.say(phase, f"now {phase}")
        bench.clock.advance(2)
    install = bench.store.installs.get(bench.task.id)
    assert install.reached == reached
    assert (install.said, install.text) == (said.split()[-1], f"now {said.split()[-1]}")
    assert install.heard_at == START + timedelta(seconds=2 * (len(said.split()) - 1))
    assert install.failure == ("now failed" if "failed" in said else None)


def test_a_machine_that_failed_stays_failed_and_keeps_its_reason(bench: Bench) -> None:
    bench.say("failed", "no disk")
    bench.clock.advance(60)
    install = bench.say("failed", "again")
    assert (install.failure, install.text) == ("no disk", "again")
    bench.clock.advance(60)
    assert bench.say("booted").failure == "no disk"


def test_signs_of_life_that_come_too_fast_are_not_written(bench: Bench) -> None:
    bench.say("packages", "1 of 9")
    writes = bench.store.write_count
    for number in range(500):
        bench.say("packages", f"{number} of 9")
        bench.say("booted")
    assert bench.store.installs.get(bench.task.id).text == "1 of 9"
    assert bench.store.write_count == writes
    assert bench.say("post").reached is Phase.POST  # what is new waits for nothing
    bench.clock.advance(1)
    assert bench.say("packages", "9 of 9").text == "9 of 9"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("installing glibc", "installing glibc"),
        ("a\r\nb\tc", "a b c"),
        ("\x1b[2Jboo\x07\x00", "[2Jboo"),
        ("x\u202egnp.exe\u2028y", "x gnp.exe y"),
        ("  much   room  ", "much room"),
        ("é" * 600, "é" * LONGEST_TEXT),
        ("\ud800", ""),
    ],
)
def test_text_is_one_short_line_that_can_be_shown(given: str, kept: str) -> None:
    assert plain(given) == kept


def test_what_is_heard_changes_only_what_it_says() -> None:
    before = Install(7, Phase.POST, Phase.POST, "old", START)
    later = START + timedelta(seconds=5)
    assert heard(before, Phase.BOOTED, "again", later) == Install(7, Phase.POST, Phase.BOOTED, "again", later)
    assert is_news(before, Phase.DONE, START) and not is_news(before, Phase.POST, START)


# The steps


def test_a_step_waits_until_its_phase_is_reported(bench: Bench) -> None:
    assert bench.step("booted") == Later(progress.LOOK_EVERY_S, "")
    bench.say("booted", "from the network")
    assert bench.step("booted") == Done({}, "booted at 03:04 UTC: from the network")
    assert bench.step("kickstart") == Later(
        progress.LOOK_EVERY_S, "last word booted at 03:04 UTC: from the network"
    )


def test_a_later_phase_implies_the_earlier_ones(bench: Bench) -> None:
    bench.say("post")
    assert [type(bench.step(p)) for p in ("booted", "kickstart", "packages", "post", "done")] == [
        Done, Done, Done, Done, Later,
    ]  # fmt: skip


def test_a_silent_installation_is_said_to_be_silent_since_when(bench: Bench) -> None:
    bench.clock.advance(899)
    assert bench.step("booted").detail == ""
    bench.clock.advance(1)
    assert bench.step("booted").detail == "silent since 03:04 UTC: it has not reported anything yet"
    bench.say("packages", "12 of 900")
    assert bench.step("post").detail == "last word packages at 03:19 UTC: 12 of 900"
    bench.clock.advance(900)
    assert bench.step("post").detail == "silent since its last word, packages at 03:19 UTC: 12 of 900"


def test_silence_is_no_failure_until_the_time_is_over(bench: Bench) -> None:
    bench.say("packages")
    bench.clock.advance(7199)
    assert isinstance(bench.step("post"), Later)
    bench.clock.advance(1)
    with pytest.raises(FabricError) as caught:
        bench.step("post")
    assert str(caught.value) == (
        "the installation has not ended within 120 min (last word packages at 03:04 UTC): look at its"
        " console, and whether it can reach http://cloud.example.org/"
    )


def test_the_time_of_an_installation_counts_from_its_first_step(bench: Bench) -> None:
    bench.clock.advance(10_000)
    assert bench.step("booted", begun=False) == Later(progress.LOOK_EVERY_S, "")


def test_a_machine_that_reports_its_failure_fails_the_step_in_its_own_words(bench: Bench) -> None:
    bench.say("packages")
    bench.say("failed", "no such group: @web")
    with pytest.raises(FabricError, match="it failed after packages: no such group: @web$"):
        bench.step("post")


def test_a_failure_without_a_word_says_that(bench: Bench) -> None:
    bench.say("failed")
    with pytest.raises(FabricError, match="it failed: it does not say why$"):
        bench.step("booted")


def test_an_installation_that_reports_nothing_is_over_when_somebody_else_knows(bench: Bench) -> None:
    assert bench.step("done", over=lambda ctx: "it is off") == Done({}, "it is off")
    bench.clock.advance(10_000)  # also after its time
    assert bench.step("done", over=lambda ctx: "it is off") == Done({}, "it is off")


def test_whoever_knows_more_may_fail_the_step(bench: Bench) -> None:
    def over(ctx: StepContext) -> Optional[str]:
        raise Conflict("it crashed")

    with pytest.raises(Conflict, match="it crashed"):
        bench.step("booted", over=over)


def test_the_address_is_made_of_the_secret_alone(bench: Bench) -> None:
    ctx = StepContext(bench.task, bench.task.steps[0], "op", START)
    assert progress.report_url(bench.tools, ctx) == f"http://cloud.example.org/install/{bench.token}"
    assert InstallRules("http://c/x").report_url("t") == "http://c/x/install/t"


@pytest.mark.slow
def test_the_whole_way_through_the_runner_and_a_new_process(bench: Bench) -> None:
    def recipes() -> Mapping[str, Recipe]:
        return {"x": Recipe(progress.phase_kinds(bench.tools))}

    def state_of(number: int) -> StepState:
        return bench.store.tasks.get(bench.task.id).steps[number].state

    first = TaskRunner(bench.store, recipes(), SystemClock())
    first.start()
    bench.say("kickstart", "fetched")
    wait_for(lambda: state_of(2) is StepState.RUNNING)
    first.stop()
    second = TaskRunner(bench.store, recipes(), SystemClock())
    second.start()
    bench.say("done")
    ended = second.wait(bench.task.id, 60)
    second.stop()
    assert ended.state is TaskState.DONE
    assert [step.state for step in ended.steps] == [StepState.DONE] * 5
