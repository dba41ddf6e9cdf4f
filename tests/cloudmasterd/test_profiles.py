"""The catalogue: remembered, looked up without waiting, and never promised when the server is silent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloudmasterd.clock import SystemClock
from cloudmasterd.cobbler import Address
from cloudmasterd.errors import (
    CobblerError,
    CobblerUnreachable,
    Conflict,
    Invalid,
    NotFound,
)
from cloudmasterd.profiles import MAX_WAITING, Profiles, arch_of
from cloudmasterd.spec import MachineSpec, Source
from cloudmasterd.store import Store
from tests.blank import blank
from tests.cloudmasterd.works import spec
from tests.fakes import FakeClock, FakeCobbler, profile, wait_for

F8, RHEL5 = "GenomeCloud-F8-i386", "GenomeCloud-RHEL5U2-x86_64"
DOWN = CobblerUnreachable("the cobbler server http://cobbler.example.org does not answer: refused")


class Shelf:
    """A store, a cobbler server with two profiles, and the catalogue between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.cobbler = FakeCobbler()
        self.cobbler.put(profile(RHEL5), profile(F8, arch="i386"))
        self.open()

    def open(self, **more: Any) -> None:
        self.store = Store(blank(self.folder / "db"), clock=self.clock)
        self.profiles = Profiles(self.store, self.cobbler, self.clock, **{"wait_s": 60.0, **more})

    def restart(self, **more: Any) -> None:
        self.store.close()
        self.open(**more)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.close()


def wanted(name: str, **more: Any) -> MachineSpec:
    return spec("m1", source=Source("profile", profile=name), **more)


def names(shelf: Shelf) -> list[str]:
    return [found.name for found in shelf.profiles.list()]


def test_before_the_first_answer_nothing_is_known(shelf: Shelf) -> None:
    about = shelf.profiles.about()
    assert (about.server, about.fetched_at, about.error) == ("http://cobbler.example.org", None, None)
    assert names(shelf) == []
    assert shelf.cobbler.asked == []


def test_what_the_server_has_is_in_the_store_once_it_was_asked(shelf: Shelf) -> None:
    assert shelf.profiles.refresh().fetched_at == shelf.clock.now()
    assert names(shelf) == [F8, RHEL5]
    assert shelf.profiles.get(F8).arch == "i386"
    assert [found.name for found in shelf.profiles.list(arches=["i386"])] == [F8]
    assert [found.name for found in shelf.profiles.list(after=F8, limit=1)] == [RHEL5]
    assert shelf.profiles.catalogue().profiles == tuple(shelf.profiles.list())


def test_while_its_mark_stands_still_the_profiles_are_not_fetched_again(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    before = shelf.store.change_count
    shelf.clock.advance(60)
    assert shelf.profiles.refresh().fetched_at == shelf.clock.now()
    assert shelf.cobbler.asked == ["modified", "profiles", "modified"]
    assert shelf.store.change_count == before


def test_a_server_that_keeps_no_mark_is_read_each_time(shelf: Shelf) -> None:
    shelf.cobbler.mark = 0.0
    shelf.profiles.refresh()
    shelf.profiles.refresh()
    assert shelf.cobbler.asked == ["modified", "profiles"] * 2


def test_a_mark_that_goes_back_is_a_change_as_well(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    shelf.cobbler.found, shelf.cobbler.mark = [profile("new")], 0.5
    shelf.profiles.refresh()
    assert names(shelf) == ["new"]


def test_only_what_became_different_is_a_change_of_a_fact(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    before, revision = shelf.store.change_count, shelf.profiles.get(F8).revision
    shelf.cobbler.mark += 1
    shelf.profiles.refresh()
    assert shelf.store.change_count == before
    shelf.cobbler.found[0] = replace(shelf.cobbler.found[0], comment="for the web team")
    shelf.cobbler.mark += 1
    shelf.profiles.refresh()
    assert shelf.store.change_count == before + 1
    assert shelf.profiles.get(F8).revision == revision
    assert shelf.profiles.get(RHEL5).revision == before + 1
    assert shelf.profiles.get(RHEL5).comment == "for the web team"


def test_a_profile_that_is_gone_there_is_gone_here(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    del shelf.cobbler.found[0]
    shelf.cobbler.mark += 1
    shelf.profiles.refresh()
    assert names(shelf) == [F8]


def test_a_silent_server_leaves_the_last_catalogue_with_its_age_and_the_reason(shelf: Shelf) -> None:
    fetched_at = shelf.profiles.refresh().fetched_at
    shelf.clock.advance(3600)
    shelf.cobbler.error = DOWN
    failing_since = shelf.clock.now()
    for _ in range(2):
        with pytest.raises(CobblerUnreachable):
            shelf.profiles.refresh()
        shelf.clock.advance(60)
    about = shelf.profiles.about()
    assert (about.fetched_at, about.error, about.failing_since) == (fetched_at, str(DOWN), failing_since)
    assert names(shelf) == [F8, RHEL5]
    shelf.cobbler.error = None
    about = shelf.profiles.refresh()
    assert (about.fetched_at, about.error, about.failing_since) == (shelf.clock.now(), None, None)


def test_the_catalogue_outlives_a_restart_of_both(shelf: Shelf) -> None:
    fetched_at = shelf.profiles.refresh().fetched_at
    shelf.cobbler.error = DOWN
    shelf.restart()
    assert names(shelf) == [F8, RHEL5]
    assert shelf.profiles.about().fetched_at == fetched_at
    assert shelf.profiles.find(wanted(RHEL5)).name == RHEL5
    shelf.cobbler.error = None
    shelf.cobbler.asked.clear()
    shelf.profiles.refresh()
    assert shelf.cobbler.asked == ["modified"]


def test_the_catalogue_of_another_server_is_forgotten(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    shelf.cobbler.address = Address("other.example.org", 443, True)
    shelf.restart()
    assert names(shelf) == []
    assert shelf.profiles.about().server == "https://other.example.org"
    assert shelf.profiles.about().fetched_at is None


def test_an_answer_of_a_server_that_is_no_longer_the_one_is_dropped(shelf: Shelf) -> None:
    shelf.store.profiles.adopt("http://other.example.org")
    shelf.store.profiles.put("http://cobbler.example.org", [profile()], 1.0, shelf.clock.now())
    shelf.store.profiles.confirm("http://cobbler.example.org", shelf.clock.now())
    shelf.store.profiles.fail("http://cobbler.example.org", "silent", shelf.clock.now())
    about = shelf.profiles.catalogue()
    assert (about.server, about.profiles, about.fetched_at, about.error) == (
        "http://other.example.org", (), None, None,
    )  # fmt: skip


def test_without_a_server_there_are_no_profiles_and_that_is_what_is_said(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    bare = Profiles(shelf.store, None, shelf.clock)
    bare.look()
    assert (bare.list(), bare.about().server) == ([], "")
    for find in (bare.find, bare.find_now):
        with pytest.raises(Invalid, match="no cobbler server is set here: set cobbler_server") as caught:
            find(wanted(RHEL5))
        assert caught.value.fields[0][0] == "source.profile"
    with pytest.raises(Conflict, match="cobbler_server = HOST"):
        bare.refresh()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("GenomeCloud-RHEL5U2-x86-64", f"did you mean '{RHEL5}'"),
        ("genomecloud-f8-i386", f"did you mean '{F8}'"),
        ("zzz", f"there are: {F8}, {RHEL5}"),
    ],
)
def test_an_unknown_profile_is_refused_with_the_nearest(shelf: Shelf, name: str, says: str) -> None:
    shelf.profiles.refresh()
    with pytest.raises(NotFound, match=says):
        shelf.profiles.get(name)
    for find in (shelf.profiles.find, shelf.profiles.find_now):
        with pytest.raises(Invalid, match=says) as caught:
            find(wanted(name))
        assert caught.value.fields[0][0] == "source.profile"


def test_who_creates_asks_the_server_and_finds_what_was_registered_just_now(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    shelf.cobbler.put(profile("fresh"))  # within the second in which an answer is as good as a new one
    with pytest.raises(Invalid, match="has no profile 'fresh'"):
        shelf.profiles.find(wanted("fresh"))
    assert shelf.profiles.find_now(wanted("fresh")).name == "fresh"


def test_creates_that_come_close_together_ask_once(shelf: Shelf) -> None:
    for _ in range(5):
        assert shelf.profiles.find_now(wanted(RHEL5)).name == RHEL5
    assert shelf.cobbler.asked == ["modified", "profiles"]
    shelf.clock.advance(2)
    shelf.profiles.find_now(wanted(RHEL5))
    assert shelf.cobbler.asked == ["modified", "profiles", "modified"]


def test_a_crowd_does_not_wait_for_a_server_that_hangs(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    shelf.clock.advance(60)
    shelf.cobbler.hold = threading.Event()
    callers = [
        threading.Thread(target=shelf.profiles.find_now, args=(wanted(RHEL5),)) for _ in range(MAX_WAITING)
    ]
    for caller in callers:
        caller.start()
    try:
        wait_for(lambda: shelf.profiles._waiting._value == 0, "as many to wait as may")
        assert shelf.profiles.find_now(wanted(RHEL5)).name == RHEL5, "by what was heard last"
        shelf.store.profiles.fail(shelf.profiles.about().server, str(DOWN), shelf.clock.now())
        with pytest.raises(CobblerUnreachable, match="Try again when it answers"):
            shelf.profiles.find_now(wanted(RHEL5))
    finally:
        shelf.cobbler.hold.set()
        for caller in callers:
            caller.join(60)


def test_a_silent_server_refuses_a_create_with_what_to_do(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    shelf.clock.advance(7200)
    shelf.cobbler.error = DOWN
    with pytest.raises(
        CobblerUnreachable, match=r"from the profile .* does not answer.*last heard of 2 h ago.*Try again"
    ):
        shelf.profiles.find_now(wanted(RHEL5))
    assert shelf.profiles.find(wanted(RHEL5)).name == RHEL5, "a look where it would go needs no server"


@pytest.mark.parametrize(
    ("arch", "runs_on"), [("i386", "x86_64"), ("x86_64", "x86_64"), ("ppc64el", "ppc64le"), (None, None)]
)
def test_a_profile_says_where_it_runs(arch: Any, runs_on: Any) -> None:
    assert arch_of(profile(arch=arch)) == runs_on


def test_an_architecture_that_is_not_the_profiles_is_refused(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    assert shelf.profiles.find(wanted(F8, arch="x86_64")).name == F8
    with pytest.raises(Invalid, match=f"the profile {F8} is for i386: leave arch out, or give x86_64"):
        shelf.profiles.find(wanted(F8, arch="aarch64"))


def test_nobody_who_reads_waits_for_the_server(shelf: Shelf) -> None:
    shelf.profiles.refresh()
    shelf.cobbler.hold = threading.Event()
    shelf.profiles.look()
    try:
        assert names(shelf) == [F8, RHEL5]
        assert shelf.profiles.find(wanted(F8)).name == F8
        assert shelf.profiles.about().error is None
    finally:
        shelf.cobbler.hold.set()
    shelf.profiles.refresh()


def test_many_who_ask_at_once_share_a_question(shelf: Shelf) -> None:
    shelf.cobbler.hold = threading.Event()
    shelf.profiles.look()
    callers = [threading.Thread(target=shelf.profiles.refresh) for _ in range(12)]
    for caller in callers:
        caller.start()
    shelf.cobbler.hold.set()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
    assert shelf.cobbler.most_at_once == 1
    assert names(shelf) == [F8, RHEL5]


def test_who_asks_is_not_kept_longer_than_the_limit(shelf: Shelf) -> None:
    shelf.store.close()
    shelf.store = Store(shelf.folder / "db")
    shelf.cobbler.hold = threading.Event()
    profiles = Profiles(shelf.store, shelf.cobbler, SystemClock(), wait_s=0.1)
    try:
        with pytest.raises(CobblerUnreachable, match="has not answered within"):
            profiles.refresh()
    finally:
        shelf.cobbler.hold.set()
    Profiles(shelf.store, shelf.cobbler, SystemClock()).refresh()


def test_an_answer_that_is_no_catalogue_is_told_as_such(shelf: Shelf) -> None:
    shelf.cobbler.error = CobblerError("that is no cobbler server")
    with pytest.raises(CobblerError, match="that is no cobbler server"):
        shelf.profiles.refresh()
    assert shelf.profiles.about().error == "that is no cobbler server"


def test_a_name_that_no_database_could_keep_costs_nothing(shelf: Shelf) -> None:
    shelf.cobbler.put(profile("a\0b", comment="\ud800"))
    shelf.profiles.refresh()
    assert names(shelf) == [F8, RHEL5, "a\ufffdb"]
