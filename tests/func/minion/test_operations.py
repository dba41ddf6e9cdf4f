"""The journal of operations: once, and what happens after a crash."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import pytest

from func.errors import HostError
from func.minion.codes import REFUSALS, BadSpec, NameTaken, OperationMismatch
from func.minion.lane import Unanswered
from func.minion.operations import KEEP_S, Attempt, Entry, Journal, Operations
from tests.func.minion.helpers import wait_for

OPERATION = "op-00000001"


class Clock:
    now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Journal:
    return Journal(tmp_path / "operations", clock)


@pytest.fixture
def operations(journal: Journal) -> Operations:
    return Operations(journal)


class Acting:
    """Something to do that counts how often it was done."""

    def __init__(self, *outcomes: Any) -> None:
        self.attempts: list[Attempt] = []
        self._outcomes = list(outcomes)

    def __call__(self, attempt: Attempt) -> Mapping[str, Any]:
        self.attempts.append(attempt)
        outcome = self._outcomes.pop(0) if self._outcomes else {"done": len(self.attempts)}
        if isinstance(outcome, BaseException):
            raise outcome
        return dict(outcome)


def test_the_same_operation_acts_once_and_answers_the_same_again(
    operations: Operations, journal: Journal
) -> None:
    act = Acting()
    first = operations.perform(OPERATION, "start", {"uuid": "u"}, act)
    assert operations.perform(OPERATION, "start", {"uuid": "u"}, act) == first == {"done": 1}
    assert Operations(journal).perform(OPERATION, "start", {"uuid": "u"}, act) == first
    assert len(act.attempts) == 1
    assert not act.attempts[0].again


@pytest.mark.parametrize("kind", sorted(REFUSALS))
def test_an_error_is_remembered_with_its_kind(operations: Operations, journal: Journal, kind: str) -> None:
    act = Acting(REFUSALS[kind]("so it is"))
    for asked in (operations, operations, Operations(journal)):
        with pytest.raises(REFUSALS[kind], match="^so it is$"):
            asked.perform(OPERATION, "define", {}, act)
    assert len(act.attempts) == 1
    assert operations.state(OPERATION) == "ended"


def test_what_libvirt_refused_is_remembered_as_such(operations: Operations) -> None:
    act = Acting(HostError("libvirt: no"))
    for _ in range(2):
        with pytest.raises(HostError, match="^libvirt: no$"):
            operations.perform(OPERATION, "start", {}, act)
    assert len(act.attempts) == 1


def test_an_operation_is_on_the_disk_before_it_acts(operations: Operations, journal: Journal) -> None:
    def act(attempt: Attempt) -> Mapping[str, Any]:
        assert Journal(journal._directory).find(OPERATION) == Entry(OPERATION, "start", {"uuid": "u"})
        assert operations.state(OPERATION) == "running"
        assert Operations(journal).state(OPERATION) == "cut-off"  # as the next minion would see it
        return {}

    assert operations.state(OPERATION) == "unknown"
    operations.perform(OPERATION, "start", {"uuid": "u"}, act)
    assert operations.state(OPERATION) == "ended"


def test_one_that_was_cut_off_is_acted_again_and_knows_it(operations: Operations, journal: Journal) -> None:
    journal.begin(Entry(OPERATION, "create_disk", {"size_gb": 4}, notes=("absent",)))
    act = Acting()
    assert operations.state(OPERATION) == "cut-off"
    assert operations.perform(OPERATION, "create_disk", {"size_gb": 4}, act) == {"done": 1}
    assert act.attempts[0].again
    assert act.attempts[0].noted("absent")


def test_a_note_outlives_the_run_that_wrote_it(operations: Operations, journal: Journal) -> None:
    def die(attempt: Attempt) -> Mapping[str, Any]:
        assert not attempt.noted("absent")
        attempt.note("absent")
        attempt.note("absent")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operations.perform(OPERATION, "create_disk", {}, die)
    seen = []
    Operations(journal).perform(OPERATION, "create_disk", {}, lambda a: seen.append(a.noted("absent")) or {})
    assert seen == [True]


def test_without_an_answer_the_operation_stays_open(operations: Operations) -> None:
    act = Acting(Unanswered("libvirt is silent", begun=True))
    with pytest.raises(Unanswered, match="libvirt is silent"):
        operations.perform(OPERATION, "start", {}, act)
    assert operations.state(OPERATION) == "cut-off"
    assert operations.perform(OPERATION, "start", {}, act) == {"done": 2}
    assert act.attempts[1].again


def test_what_never_began_leaves_no_trace(operations: Operations) -> None:
    act = Acting(Unanswered("libvirt is silent; nothing was done", begun=False))
    with pytest.raises(HostError) as caught:
        operations.perform(OPERATION, "reset", {}, act)
    assert type(caught.value) is HostError
    assert operations.state(OPERATION) == "unknown"
    operations.perform(OPERATION, "reset", {}, act)
    assert not act.attempts[1].again


def test_a_second_run_that_never_began_does_not_hide_the_first(operations: Operations) -> None:
    act = Acting(Unanswered("silent", begun=True), Unanswered("silent still", begun=False))
    for text in ("^silent$", "^silent still$"):
        with pytest.raises(Unanswered, match=text):
            operations.perform(OPERATION, "reset", {}, act)
    assert operations.state(OPERATION) == "cut-off"


@pytest.mark.parametrize(
    ("verb", "arguments", "text"),
    [
        ("define", {"uuid": "u"}, "was start, not define"),
        ("start", {"uuid": "v"}, "was start with another uuid"),
        ("start", {"uuid": "u", "force": True}, "was start with another force"),
        ("start", {}, "was start with another uuid"),
    ],
)
@pytest.mark.parametrize("state", ["begun", "ended"])
def test_an_id_that_was_given_out_for_something_else_is_refused(
    operations: Operations, journal: Journal, state: str, verb: str, arguments: dict[str, Any], text: str
) -> None:
    journal.begin(Entry(OPERATION, "start", {"uuid": "u"}, state, result={} if state == "ended" else None))
    act = Acting()
    with pytest.raises(OperationMismatch, match=text):
        operations.perform(OPERATION, verb, arguments, act)
    assert act.attempts == []
    assert operations.state(OPERATION) == ("ended" if state == "ended" else "cut-off")


def together(count: int, work: Callable[[], Any]) -> list[Any]:
    """What each of so many threads got of `work`, all under way at once."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except HostError as exc:
            found.append(exc)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.parametrize("outcome", [{"done": 1}, NameTaken("it is taken")])
def test_those_who_ask_at_once_are_joined(operations: Operations, outcome: Any) -> None:
    release = threading.Event()
    act = Acting(outcome)

    def slowly(attempt: Attempt) -> Mapping[str, Any]:
        assert release.wait(60)
        return act(attempt)

    timer = threading.Timer(0.2, release.set)
    timer.start()
    answers = together(20, lambda: operations.perform(OPERATION, "define", {}, slowly))
    timer.join()
    assert len(act.attempts) == 1
    assert [str(answer) for answer in answers] == [str(outcome)] * 20


def test_joining_with_other_arguments_is_refused_at_once(operations: Operations) -> None:
    release = threading.Event()
    first = threading.Thread(
        target=lambda: operations.perform(OPERATION, "start", {}, lambda a: {"x": release.wait(60)})
    )
    first.start()
    wait_for(lambda: operations.state(OPERATION) == "running", "it runs")
    with pytest.raises(OperationMismatch):
        operations.perform(OPERATION, "start", {"uuid": "v"}, Acting())
    release.set()
    first.join(60)


def test_those_who_joined_a_run_that_broke_are_told(operations: Operations) -> None:
    entered, release = threading.Event(), threading.Event()

    def broken(attempt: Attempt) -> Mapping[str, Any]:
        entered.set()
        release.wait(60)
        raise KeyError("a bug")

    caught: list[BaseException] = []

    def first() -> None:
        try:
            operations.perform(OPERATION, "start", {}, broken)
        except KeyError as exc:
            caught.append(exc)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(60)

    def release_once_joined() -> None:
        future = operations._running[OPERATION].future
        wait_for(lambda: future._condition._waiters, "somebody to join it")  # type: ignore[attr-defined]
        release.set()

    releasing = threading.Thread(target=release_once_joined)
    releasing.start()
    with pytest.raises(Unanswered, match="broke off"):
        operations.perform(OPERATION, "start", {}, Acting())
    thread.join(60)
    releasing.join(60)
    assert len(caught) == 1
    assert operations.state(OPERATION) == "cut-off"


@pytest.mark.parametrize(
    "operation",
    ["", "short-7", "x" * 65, "../../etc/passwd", "a/b/c/d/e/f", "operation 1", "operation\n", None],
)
def test_an_id_that_is_none_is_refused(operations: Operations, tmp_path: Path, operation: Any) -> None:
    with pytest.raises(BadSpec, match="8 to 64 letters"):
        operations.perform(operation, "start", {}, Acting())
    with pytest.raises(BadSpec):
        operations.state(operation)
    assert list(tmp_path.iterdir()) == []


def test_old_operations_are_dropped(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    small = Journal(tmp_path / "operations", clock, keep_count=100)
    small.begin(Entry("op-old-old", "start", {}))
    clock.now += KEEP_S - 1
    small.begin(Entry("op-new-new", "start", {}))
    assert small.find("op-old-old") is not None
    clock.now += 2
    small.begin(Entry("op-newer-1", "start", {}))
    assert small.find("op-old-old") is None
    assert small.find("op-new-new") is not None


def test_only_so_many_operations_are_kept_and_those_are_the_newest(tmp_path: Path, clock: Clock) -> None:
    journal = Journal(tmp_path, clock, keep_count=60)
    for number in range(200):
        clock.now += 1
        journal.begin(Entry(f"op-{number:08}", "start", {}))
        assert len(list(tmp_path.iterdir())) <= 60
    assert journal.find("op-00000199") is not None
    assert journal.find("op-00000150") is not None
    assert journal.find("op-00000130") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"operation": "x"}', b'{"notes": [], "more": 1}'])
def test_a_damaged_file_is_named_and_nothing_is_done(
    operations: Operations, journal: Journal, content: bytes
) -> None:
    journal.begin(Entry(OPERATION, "start", {}))
    (journal._directory / f"{OPERATION}.json").write_bytes(content)
    act = Acting()
    with pytest.raises(HostError, match=rf"{OPERATION}\.json is damaged"):
        operations.perform(OPERATION, "start", {}, act)
    assert act.attempts == []


def test_a_file_that_another_operation_puts_in_place_meanwhile_hinders_nobody(
    operations: Operations, tmp_path: Path
) -> None:
    (tmp_path / "operations").mkdir()
    # found by name and gone when looked at, as a file is that is being renamed
    (tmp_path / "operations" / "op-00000002.new").symlink_to(tmp_path / "nothing")
    assert operations.perform(OPERATION, "start", {}, Acting()) == {"done": 1}


def test_a_write_that_was_cut_off_leaves_the_old_entry(operations: Operations, journal: Journal) -> None:
    operations.perform(OPERATION, "start", {}, Acting())
    (journal._directory / f"{OPERATION}.new").write_text('{"state": "beg')
    assert operations.perform(OPERATION, "start", {}, Acting()) == {"done": 1}


def test_a_journal_that_cannot_be_written_lets_nothing_happen(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    act = Acting()
    with pytest.raises(HostError, match="journal of operations cannot be"):
        Operations(Journal(tmp_path / "file" / "operations", clock)).perform(OPERATION, "start", {}, act)
    assert act.attempts == []


def test_what_was_done_but_could_not_be_written_down_is_acted_again(
    operations: Operations, journal: Journal
) -> None:
    obstacle = journal._directory / f"{OPERATION}.new"
    act = Acting()

    def blocked(attempt: Attempt) -> Mapping[str, Any]:
        obstacle.mkdir()
        return act(attempt)

    with pytest.raises(Unanswered, match="start was done, but the journal of operations cannot be written"):
        operations.perform(OPERATION, "start", {}, blocked)
    obstacle.rmdir()
    assert operations.perform(OPERATION, "start", {}, act) == {"done": 2}


def test_an_entry_can_be_read_by_people(operations: Operations, journal: Journal) -> None:
    operations.perform(OPERATION, "start", {"uuid": "u"}, Acting())
    text = (journal._directory / f"{OPERATION}.json").read_text()
    assert json.loads(text) == {
        "operation": OPERATION, "verb": "start", "arguments": {"uuid": "u"}, "state": "ended", "notes": [],
        "result": {"done": 1}, "kind": "", "text": "",
    }  # fmt: skip
