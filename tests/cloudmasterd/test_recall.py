"""What was found a moment ago is not looked up again, unless something changed."""

from __future__ import annotations

from typing import Optional

import pytest

from cloudmasterd.recall import KNOWN_FOR_S, MOST_KEPT, Recall
from tests.fakes import FakeClock


class Place:
    """Secrets and what they stand for; counts how often it was asked."""

    def __init__(self) -> None:
        self.things = {"a": "ann", "b": "bob"}
        self.changes = 0
        self.asked = 0

    def find(self, secret: str) -> Optional[str]:
        self.asked += 1
        return self.things.get(secret)


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recall(place: Place, clock: FakeClock) -> Recall[str]:
    return Recall(place.find, lambda: place.changes, clock)


def test_it_is_asked_once_in_a_moment(recall: Recall[str], place: Place, clock: FakeClock) -> None:
    assert [recall.find("a"), recall.find("a"), recall.find("b"), recall.find("a")] == [
        "ann", "ann", "bob", "ann",
    ]  # fmt: skip
    assert place.asked == 2


def test_what_another_process_changed_is_seen_a_moment_later(
    recall: Recall[str], place: Place, clock: FakeClock
) -> None:
    recall.find("a")
    del place.things["a"]
    clock.advance(KNOWN_FOR_S - 0.01)
    assert recall.find("a") == "ann"
    clock.advance(0.01)
    assert recall.find("a") is None
    assert KNOWN_FOR_S <= 1, "a right that was taken away is gone within a second"


def test_what_this_process_changed_is_seen_at_once(recall: Recall[str], place: Place) -> None:
    recall.find("a")
    place.things["a"] = "andy"
    place.changes += 1
    assert recall.find("a") == "andy"


def test_a_change_while_it_looks_is_not_missed(place: Place, clock: FakeClock) -> None:
    def slow(secret: str) -> Optional[str]:
        found = place.find(secret)
        place.things["a"] = "andy"
        place.changes += 1
        return found

    recall = Recall(slow, lambda: place.changes, clock)
    assert [recall.find("a"), recall.find("a")] == ["ann", "andy"]


def test_what_is_not_there_is_asked_for_each_time(recall: Recall[str], place: Place) -> None:
    assert [recall.find("z"), recall.find("z")] == [None, None]
    assert place.asked == 2


def test_it_keeps_no_secrets_and_not_without_end(place: Place, clock: FakeClock) -> None:
    recall = Recall(lambda secret: secret, lambda: 0, clock)
    for number in range(MOST_KEPT + 10):
        recall.find(f"secret{number}")
    assert len(recall._known) <= MOST_KEPT
    assert not any("secret" in key for key in recall._known)
