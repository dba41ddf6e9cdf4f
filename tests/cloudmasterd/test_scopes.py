"""Rights bound to tags: what is refused, in which words, and that no way leads around them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmasterd.errors import Conflict, Forbidden, NotFound
from cloudmasterd.machines import Asker
from cloudmasterd.model import MachineState, Task, TaskState
from cloudmasterd.rights import covers
from cloudmasterd.scopes import refuse_bound, refuse_leaving, refuse_new, refuse_outside
from cloudmasterd.spec import Change
from tests.cloudmasterd.works import ASKER, Works, spec
from tests.fakes import wait_for

WEB, DB = frozenset({"team=web"}), frozenset({"team=db"})
ADA = Asker("ada", "request-ada", scopes=(WEB,))
JBOSS, OTHER = "jboss1.example.org", "db1.example.org"
TEAM_WEB = {"team": "web"}


@pytest.fixture
def both(works: Works) -> Works:
    """A machine instance of web's and one of db's, both off."""
    works.made(JBOSS, start=False, tags=TEAM_WEB)
    works.made(OTHER, start=False, tags={"team": "db"})
    return works


ACTS: dict[str, Callable[[Works, str], Any]] = {
    **{
        verb: lambda works, name, verb=verb: works.machines.act(name, verb, ADA, force=True)
        for verb in ("start", "shutdown", "poweroff", "reboot", "reset", "pause", "resume")
    },
    "change memory": lambda works, name: works.machines.change(name, Change(memory_mb=256), ADA),
    "change vcpus": lambda works, name: works.machines.change(name, Change(vcpus=2), ADA),
    "autostart": lambda works, name: works.machines.change(name, Change(autostart=True), ADA),
    "rename": lambda works, name: works.machines.change(name, Change(name="web9"), ADA),
    "take over": lambda works, name: works.machines.change(name, Change(tags=TEAM_WEB), ADA),
    "rename and take over": lambda works, name: works.machines.change(
        name, Change(name="web9", tags=TEAM_WEB), ADA
    ),
    "notes": lambda works, name: works.machines.change(name, Change(notes="mine"), ADA),
    "nothing": lambda works, name: works.machines.change(name, Change(), ADA),
    "delete": lambda works, name: works.machines.delete(name, ADA),
    "delete with force": lambda works, name: works.machines.delete(name, ADA, force=True, keep_disks=True),
    "adopt": lambda works, name: works.machines.adopt(name, ADA),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_is_anothers_stays_as_it_is(both: Works, act: Callable[[Works, str], Any]) -> None:
    before = both.store.get_machine(OTHER)
    for name in (OTHER, before.uuid):
        with pytest.raises(
            Forbidden, match=f"{OTHER} carries team=db, and your rights are bound to team=web"
        ):
            act(both, name)
    assert both.store.get_machine(OTHER) == before
    assert both.store.tasks.pending() == []


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_carries_no_tags_is_nobodys_in_particular(
    works: Works, act: Callable[[Works, str], Any]
) -> None:
    works.made("bare1", start=False)
    with pytest.raises(Forbidden, match="bare1 carries no tags"):
        act(works, "bare1")


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_is_not_there_is_not_forbidden(works: Works, act: Callable[[Works, str], Any]) -> None:
    with pytest.raises(NotFound):
        act(works, "none")


def test_what_is_ones_own_is_changed_as_ever(both: Works) -> None:
    assert both.ended(both.machines.act(JBOSS, "start", ADA)).state is TaskState.DONE
    assert both.ended(both.machines.act(JBOSS, "poweroff", ADA)).state is TaskState.DONE
    renamed = both.machines.change(JBOSS, Change(name="web9", tags={**TEAM_WEB, "tier": "1"}), ADA)
    assert isinstance(renamed, Task)
    assert both.ended(renamed).state is TaskState.DONE
    assert both.store.get_machine("web9").tags == {**TEAM_WEB, "tier": "1"}
    assert both.ended(both.machines.delete("web9", ADA)).state is TaskState.DONE


LEAVING: dict[str, Change] = {
    "to another team": Change(tags={"team": "db"}),
    "to nobody": Change(tags={}),
    "with a tag that only looks like it": Change(tags={"team": "web=1"}),
    "in other letters": Change(tags={"Team": "web"}),
    "with a rename": Change(tags={"team": "db"}, name="db9"),
    "with memory": Change(tags={}, memory_mb=256),
}


@pytest.mark.parametrize("change", LEAVING.values(), ids=LEAVING)
def test_nobody_gives_away_what_they_could_not_take_back(both: Works, change: Change) -> None:
    with pytest.raises(Forbidden, match="let it keep the tag team=web"):
        both.machines.change(JBOSS, change, ADA)
    assert both.store.get_machine(JBOSS).tags == TEAM_WEB


@pytest.mark.parametrize("tags", [{}, {"team": "db"}, {"tier": "web"}])
def test_a_new_one_carries_a_tag_that_fits(works: Works, tags: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match="give it the tag team=web"):
        works.machines.create(spec(JBOSS, tags=tags), ADA)
    assert works.store.tasks.list() == []
    assert works.ended(works.machines.create(spec(JBOSS, tags=TEAM_WEB), ADA)).state is TaskState.DONE


def test_two_scopes_are_both_meant(works: Works) -> None:
    ada = replace(ADA, scopes=(frozenset({"team=web", "team=db"}), frozenset({"tier=1"})))
    with pytest.raises(Forbidden, match="give it the tags team=db or team=web and tier=1"):
        works.machines.create(spec(JBOSS, tags=TEAM_WEB), ada)
    works.ended(works.machines.create(spec(JBOSS, tags={"team": "db", "tier": "1"}), ada))
    assert works.store.get_machine(JBOSS).tags == {"team": "db", "tier": "1"}


def test_a_shutdown_that_another_waits_for_is_not_given_up(both: Works) -> None:
    both.ended(both.machines.act(OTHER, "start", ASKER))
    both.minion.deaf.add(both.store.get_machine(OTHER).uuid)
    waits = both.machines.act(OTHER, "shutdown", ASKER)
    wait_for(lambda: both.store.tasks.get(waits.id).state is TaskState.RUNNING, "the task")
    for verb in ("poweroff", "reset"):
        with pytest.raises(Forbidden):
            both.machines.act(OTHER, verb, ADA)
    now = both.store.tasks.get(waits.id)
    assert (now.state, now.cancel_asked) == (TaskState.RUNNING, False)
    assert both.store.get_machine(OTHER).state is not MachineState.OFF


def test_only_tasks_of_ones_own_machines_are_cancelled(make: Callable[..., Works]) -> None:
    works = make()
    works.made(OTHER, start=False, tags={"team": "db"})
    works.runner.stop()
    theirs = works.machines.act(OTHER, "start", ASKER)
    made = works.machines.create(spec("db2", tags={"team": "db"}), ASKER)
    mine = works.machines.create(spec(JBOSS, tags=TEAM_WEB), ASKER)
    for task in (theirs, made):
        with pytest.raises(Forbidden, match="carries team=db"):
            works.machines.cancel(task.id, ADA)
        assert not works.store.tasks.get(task.id).cancel_asked
    assert works.machines.cancel(mine.id, ADA).cancel_asked


def test_a_task_that_would_take_a_machine_away_is_anothers_too(both: Works) -> None:
    both.runner.stop()
    moves = both.machines.change(JBOSS, Change(tags={"team": "db"}, memory_mb=256), ASKER)
    assert isinstance(moves, Task)
    with pytest.raises(Forbidden, match="would carry team=db"):
        both.machines.cancel(moves.id, ADA)


def test_tags_stay_while_a_task_is_at_work_that_they_allowed(both: Works) -> None:
    both.runner.stop()
    task = both.machines.change(JBOSS, Change(tags={**TEAM_WEB, "tier": "1"}, memory_mb=256), ADA)
    assert isinstance(task, Task)
    with pytest.raises(Conflict, match=f"task {task.id} is at work on {JBOSS}: its tags can be changed"):
        both.machines.change(JBOSS, Change(tags={"team": "db"}), ASKER)
    both.machines.change(JBOSS, Change(notes="n"), ASKER)  # notes say nothing of rights
    both.machines.change(JBOSS, Change(tags=TEAM_WEB), ASKER)  # and these are those it has
    assert both.store.get_machine(JBOSS).notes == "n"


def test_a_machine_that_was_taken_away_between_the_look_and_the_change_is_not_changed(both: Works) -> None:
    """What decides are the tags at the moment of writing, not those of whoever looked before."""
    change_machine = both.store.change_machine

    class Later:
        """The store, in which somebody is quicker by a moment."""

        def __getattr__(self, name: str) -> Any:
            return getattr(both.store, name)

        def change_machine(self, uuid: str, **values: Any) -> Any:
            change_machine(uuid, tags={"team": "db"})
            return change_machine(uuid, **values)

    both.machines._store = Later()  # type: ignore[assignment]
    with pytest.raises(Forbidden, match="carries team=db"):
        both.machines.change(JBOSS, Change(notes="still mine"), ADA)
    assert both.store.get_machine(JBOSS).notes == ""


def test_another_persons_key_is_another_key(works: Works) -> None:
    key = {"key": "k1", "request_hash": "h1"}
    first = works.machines.create(spec("a"), replace(ASKER, **key))
    assert works.machines.create(spec("a"), replace(ASKER, **key)).id == first.id
    eve = Asker("eve", "request-eve", **key)
    assert works.machines.create(spec("b"), eve).id != first.id
    with pytest.raises(Conflict, match="the Idempotency-Key 'k1' stands for another request"):
        works.machines.create(spec("c"), replace(eve, request_hash="h2"))


def test_a_key_does_not_lead_around_a_scope(works: Works) -> None:
    key = {"key": "k1", "request_hash": "h1"}
    works.machines.create(spec("a", tags={"team": "db"}), replace(ASKER, **key))
    with pytest.raises(Forbidden):
        works.machines.create(spec("a", tags={"team": "db"}), replace(ADA, **key))


def test_what_carries_no_tags_at_all_is_not_for_those_who_are_bound() -> None:
    refuse_bound((), "an image")
    with pytest.raises(Forbidden, match="an image carries no tags, and your rights are bound to team=web"):
        refuse_bound((WEB,), "an image")


def test_very_many_tags_are_not_all_told() -> None:
    with pytest.raises(Forbidden) as caught:
        refuse_outside((WEB,), {f"k{n:02}": "v" * 255 for n in range(64)}, "a")
    assert len(str(caught.value)) < 600


WORDS = st.sampled_from(["team", "tier", "web", "db", "a=b", "", "web=", "1"])
PAIRS = st.tuples(WORDS.filter(lambda word: word and "=" not in word), WORDS)
SCOPES = st.lists(st.frozensets(PAIRS.map("=".join), min_size=1, max_size=3), max_size=3)
TAGS = st.dictionaries(WORDS.filter(lambda word: word and "=" not in word), WORDS, max_size=4)


@given(SCOPES, TAGS, TAGS)
def test_a_chain_of_allowed_changes_never_leaves_the_scope(scopes: Any, before: Any, after: Any) -> None:
    """Whoever may make it and give it other tags may still change it; whoever may not, may neither."""

    def allowed(refuse: Any, tags: Any) -> bool:
        try:
            refuse(scopes, tags, "x")
        except Forbidden:
            return False
        return True

    within = all(any(f"{key}={value}" in scope for key, value in before.items()) for scope in scopes)
    assert allowed(refuse_new, before) is allowed(refuse_outside, before) is within
    if allowed(refuse_outside, before) and allowed(refuse_leaving, after):
        assert covers(scopes, after)


@given(SCOPES, SCOPES, TAGS)
def test_more_scopes_never_allow_more(one: Any, other: Any, tags: Any) -> None:
    assert covers([*one, *other], tags) is (covers(one, tags) and covers(other, tags))
