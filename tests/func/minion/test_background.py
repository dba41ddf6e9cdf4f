"""Operations that take minutes: answered at once, done once, told of for good."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from func.errors import HostError
from func.minion import codes
from func.minion.background import Background, Run
from func.minion.lane import Unanswered
from func.minion.operations import Attempt, Entry, Journal, Operations
from tests.func.minion.helpers import wait_for

ID, VERB, GIVEN = "operation-1", "build", {"uuid": "1"}


class Work:
    """What takes its time, until it is let go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.runs = 0
        self.again: list[bool] = []
        self.error: Any = None

    def __call__(self, attempt: Attempt, run: Run) -> Mapping[str, Any]:
        self.runs += 1
        self.again.append(attempt.again)
        run.stage = "half of it"
        while not self.go_on.wait(0.01):
            if run.stop.is_set():
                raise Unanswered("closing", begun=True) if run.closing else HostError("stopped")
        if self.error is not None:
            raise self.error
        return {"value": 42}


class Kept:
    def __init__(self, folder: Path) -> None:
        self.operations = Operations(Journal(folder))
        self.ended: list[str] = []
        self.background = Background(self.operations, self.ended.append)
        self.work = Work()

    def ask(self, **given: Any) -> Any:
        return self.background.ask(ID, VERB, given or GIVEN, self.work)

    def ask_until(self, what: Any) -> Any:
        return wait_for(lambda: self.ask() == what, f"to be {what}")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_the_first_call_begins_it_and_all_others_tell_of_it(kept: Kept) -> None:
    assert kept.ask()[0] is None
    kept.ask_until((None, "half of it"))
    assert kept.operations.state(ID) == "running"
    kept.work.go_on.set()
    kept.ask_until(({"value": 42}, ""))
    assert kept.ask() == ({"value": 42}, "")
    assert (kept.work.runs, kept.ended) == (1, [ID])


def test_another_process_knows_the_end(kept: Kept, tmp_path: Path) -> None:
    kept.work.go_on.set()
    kept.ask()
    kept.ask_until(({"value": 42}, ""))
    other = Kept(tmp_path)
    assert other.ask() == ({"value": 42}, "")
    assert other.work.runs == 0


def test_an_error_is_remembered_with_its_kind(kept: Kept) -> None:
    kept.work.error = codes.DiskFull("no room")
    kept.work.go_on.set()
    kept.ask()
    wait_for(lambda: kept.ended, "the end")
    for _ in range(2):
        with pytest.raises(codes.DiskFull, match="no room"):
            kept.ask()
    assert kept.work.runs == 1


def test_what_was_not_answered_is_told_once_and_then_begun_again(kept: Kept) -> None:
    kept.work.error = Unanswered("libvirt is gone", begun=True)
    kept.work.go_on.set()
    kept.ask()
    run = kept.background._runs[ID]
    assert run.over.wait(60)
    with pytest.raises(Unanswered, match="libvirt is gone"):
        kept.ask()
    kept.work.error = None
    assert kept.ask()[0] is None
    kept.ask_until(({"value": 42}, ""))
    assert (kept.work.again, kept.ended) == ([False, True], [ID])


def test_one_with_other_arguments_is_refused_while_it_runs_and_after(kept: Kept) -> None:
    kept.ask()
    kept.ask_until((None, "half of it"))
    with pytest.raises(codes.OperationMismatch, match="another uuid"):
        kept.ask(uuid="2")
    kept.work.go_on.set()
    kept.ask_until(({"value": 42}, ""))
    with pytest.raises(codes.OperationMismatch, match="another uuid"):
        kept.ask(uuid="2")


def test_one_that_is_stopped_ends_before_stop_returns(kept: Kept) -> None:
    assert not kept.background.stop(ID, 1)
    kept.ask()
    assert kept.background.stop(ID, 60)
    with pytest.raises(HostError, match="stopped"):
        kept.ask()
    assert not kept.background.stop(ID, 1)


def test_the_end_of_the_process_leaves_it_to_the_next_one(kept: Kept, tmp_path: Path) -> None:
    kept.ask()
    kept.background.close(60)
    other = Kept(tmp_path)
    other.work.go_on.set()
    assert other.operations.state(ID) == "cut-off"
    other.ask()
    other.ask_until(({"value": 42}, ""))
    assert other.work.again == [True]


def test_a_bug_does_not_pass_for_an_end(kept: Kept) -> None:
    hook, threading.excepthook = threading.excepthook, lambda args: None
    try:
        kept.work.error = ZeroDivisionError("a bug")
        kept.work.go_on.set()
        kept.ask()
        assert kept.background._runs[ID].over.wait(60)
    finally:
        threading.excepthook = hook
    with pytest.raises(Unanswered, match="broke off; see funcd's log"):
        kept.ask()


def test_one_that_was_revoked_before_it_began_never_begins(kept: Kept) -> None:
    seen: list[Any] = []
    assert (
        kept.operations.revoke(ID, VERB, lambda entry: seen.append(entry) or "undone", "cancelled")
        == "undone"
    )
    assert seen == [None]
    with pytest.raises(codes.OperationMismatch):
        kept.ask()
    assert kept.work.runs == 0


def test_one_that_had_ended_well_answers_an_error_after_it_was_revoked(kept: Kept) -> None:
    kept.work.go_on.set()
    kept.ask()
    kept.ask_until(({"value": 42}, ""))
    entries: list[Any] = []
    kept.operations.revoke(ID, VERB, entries.append, "cancelled")
    assert isinstance(entries[0], Entry) and entries[0].result == {"value": 42}
    with pytest.raises(HostError, match="cancelled"):
        kept.ask()


def test_one_that_failed_keeps_its_error_when_it_is_revoked(kept: Kept) -> None:
    kept.work.error = codes.DiskFull("no room")
    kept.work.go_on.set()
    kept.ask()
    wait_for(lambda: kept.ended, "the end")
    kept.operations.revoke(ID, VERB, lambda entry: None, "cancelled")
    with pytest.raises(codes.DiskFull):
        kept.ask() if kept.background._runs.pop(ID) else None


def test_one_under_way_is_not_revoked_under_its_feet(kept: Kept) -> None:
    kept.ask()
    kept.ask_until((None, "half of it"))
    with pytest.raises(Unanswered, match="is under way"):
        kept.operations.revoke(ID, VERB, lambda entry: None, "cancelled")
    kept.background.close(60)


def test_an_undo_that_fails_leaves_the_operation_as_it_was(kept: Kept) -> None:
    def fail(entry: Any) -> None:
        raise Unanswered("libvirt is gone", begun=True)

    with pytest.raises(Unanswered):
        kept.operations.revoke(ID, VERB, fail, "cancelled")
    assert kept.operations.state(ID) == "unknown"
