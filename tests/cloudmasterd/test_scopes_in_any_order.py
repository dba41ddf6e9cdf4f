"""People bound to tags, in any order: each does what is within theirs, and nothing else is forbidden them."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudmasterd.errors import CloudError, Forbidden
from cloudmasterd.machines import Asker
from cloudmasterd.model import MachineState
from cloudmasterd.rights import covers
from cloudmasterd.spec import Change
from tests.cloudmasterd.works import Works, spec
from tests.fakes import machine

NAMES = ("m0", "m1", "m2")
PEOPLE = {
    "all": Asker("all", "r"),
    "web": Asker("web", "r", scopes=(frozenset({"team=web"}),)),
    "db": Asker("db", "r", scopes=(frozenset({"team=db"}),)),
    "both": Asker("both", "r", scopes=(frozenset({"team=web", "team=db"}),)),
    "little": Asker("little", "r", scopes=(frozenset({"team=web"}), frozenset({"tier=1"}))),
}
WEB, DB = {"team": "web"}, {"team": "db"}
TAGS = st.sampled_from([{}, WEB, DB, {**WEB, "tier": "1"}, {**DB, "tier": "1"}])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(sorted(PEOPLE)),
        st.sampled_from(["tags", "notes", "memory and tags", "start", "delete", "adopt", "create", "cancel"]),
        st.sampled_from(NAMES),
        TAGS,
    ),
    min_size=6,
    max_size=16,
)


def do(works: Works, asker: Asker, what: str, name: str, tags: Any) -> None:
    machines = works.machines
    if what == "tags":
        machines.change(name, Change(tags=tags), asker)
    elif what == "notes":
        machines.change(name, Change(notes=asker.name), asker)
    elif what == "memory and tags":
        machines.change(name, Change(memory_mb=256, tags=tags), asker)
    elif what == "start":
        machines.act(name, "start", asker)
    elif what == "delete":
        machines.delete(name, asker)
    elif what == "adopt":
        machines.adopt(name, asker)
    elif what == "create":
        machines.create(spec(f"{name}-{len(works.store.tasks.list())}", tags=tags), asker)
    else:
        machines.cancel(next(iter(works.store.tasks.list(limit=1))).id, asker)


def state_of(works: Works) -> Any:
    tasks = [(task.id, task.cancel_asked, task.state) for task in works.store.tasks.list()]
    return [(m.name, m.tags, m.notes) for m in works.store.list_machines()], tasks


def touched(works: Works, what: str, name: str, tags: Any) -> list[Any]:
    """The tags that what is to be changed has, and those that it gets."""
    if what == "create":
        return [tags]
    if what == "cancel":
        task = next(iter(works.store.tasks.list(limit=1)))
        made = task.arguments.get("tags", {})
        if task.kind == "machine.create":
            return [made]
        now = works.store.get_machine(task.machine or "").tags
        return [now, task.arguments.get("tags", now)]
    now = works.store.get_machine(name).tags
    return [now, tags] if "tags" in what else [now]


@settings(max_examples=40, deadline=None)
@given(st.lists(TAGS, min_size=3, max_size=3), STEPS)
def test_nobody_ever_changes_what_is_not_within_their_scope(first: Any, steps: Any) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(Works(Path(folder), running=False)) as works:
        works.minion.put(*(machine(name, state=MachineState.OFF) for name in NAMES))
        works.fleet.refresh(["cloud1"])
        for name, tags in zip(NAMES, first):
            works.store.change_machine(works.store.get_machine(name).uuid, tags=tags)
        for who, what, name, tags in steps:
            if what == "cancel" and not works.store.tasks.list():
                continue
            asker, before = PEOPLE[who], state_of(works)
            may = all(covers(asker.scopes, each) for each in touched(works, what, name, tags))
            try:
                do(works, asker, what, name, tags)
                assert may, (who, what, name, tags, before)
            except Forbidden:
                assert not may, (who, what, name, tags, before)
                assert state_of(works) == before
            except CloudError:
                continue  # something else stood against it: a task at work, a state, no room
