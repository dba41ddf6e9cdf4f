"""Tasks, events, flavors, capacity and placements over real HTTP."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cloudmasterd.web.front import Front
from cloudmasterd.web.represent import EVENT_FIELDS, TASK_FIELDS
from cloudmasterd.web.site import Site
from cloudmasterd.web.waiting import Waits
from tests.fakes import wait_for

MACHINES, TASKS, EVENTS = "/api/v1/machines", "/api/v1/tasks", "/api/v1/events"
SIZE = {"memory_mb": 512, "disks": []}


@pytest.fixture
def busy(small: Any) -> Any:
    """Three tasks: two creates on cloud1.example.org, then a start of build1; none gets on."""
    for name in ("a1", "a2"):
        assert small.send("POST", MACHINES, {"name": name, **SIZE}).status == 202
    assert small.send("POST", MACHINES + "/build1/start").status == 202
    return small


def ids(answer: Any) -> list[int]:
    assert answer.status == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_tasks_are_listed_newest_first_and_lean(busy: Any) -> None:
    answer = busy.get(TASKS)
    assert ids(answer) == [3, 2, 1]
    assert answer.json()["next"] is None
    item = answer.json()["items"][0]
    assert tuple(item) == tuple(name for name in TASK_FIELDS if name not in ("steps", "log"))


def test_a_task_has_the_keys_that_scripts_rely_on(busy: Any) -> None:
    item = busy.get(TASKS + "/3").json()
    assert tuple(item) == TASK_FIELDS
    assert (item["kind"], item["target"]) == ("machine.start", MACHINES + "/build1")
    assert item["machine"] == busy.get(MACHINES + "/build1").json()["uuid"]
    assert item["steps"] and all(step["title"] for step in item["steps"])


def test_steps_are_in_the_list_when_asked_for_and_the_log_is_not(busy: Any) -> None:
    item = busy.get(TASKS + "?fields=steps,id&limit=1").json()["items"][0]
    assert list(item) == ["id", "steps"] and item["steps"]
    answer = busy.get(TASKS + "?fields=log")
    assert answer.status == 400


def test_tasks_can_be_filtered(busy: Any) -> None:
    uuid = busy.get(MACHINES + "/build1").json()["uuid"]
    assert ids(busy.get(f"{TASKS}?machine=build1")) == [3]
    assert ids(busy.get(f"{TASKS}?machine={uuid.upper()}")) == [3]
    assert ids(busy.get(f"{TASKS}?machine=a2&state=running,waiting")) == [2]
    assert ids(busy.get(f"{TASKS}?machine=none")) == []
    assert ids(busy.get(f"{TASKS}?cloud=cloud1.example.org")) == [3, 2, 1]
    assert ids(busy.get(f"{TASKS}?cloud=cloud2.example.org")) == []
    assert ids(busy.get(f"{TASKS}?state=done")) == []


@pytest.mark.parametrize(
    ("query", "field", "hint"),
    [
        ("cloud=cloud1.exampel.org", "cloud", "did you mean 'cloud1.example.org'?"),
        ("state=runing", "state", "did you mean 'running'?"),
        ("fields=stpes", "fields", "did you mean 'steps'?"),
        ("cursor=garbage", "cursor", "'next'"),
        ("cursor=WyJ0YXNrcyIsImEiXQ", "cursor", "'next'"),
        ("limit=0", "limit", "1 to 1000"),
        ("kind=x", "kind", "known:"),
    ],
)
def test_a_wrong_filter_is_named(small: Any, query: str, field: str, hint: str) -> None:
    answer = small.get(f"{TASKS}?{query}")
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == field
    assert hint in answer.json()["errors"][0]["message"]


def test_tasks_page_to_their_end_while_new_ones_come(busy: Any) -> None:
    seen, target = [], TASKS + "?limit=1&fields=id&cloud=cloud1.example.org"
    while target:
        answer = busy.get(target)
        seen += ids(answer)
        target = answer.json()["next"]
        busy.send("POST", MACHINES, {"name": f"later{len(seen)}", **SIZE})
    assert seen == [3, 2, 1]


@pytest.mark.parametrize("name", ["0", "x", "-1", "1.0", "007", "9" * 30, "99"])
def test_a_task_that_is_not_there_is_404(small: Any, name: str) -> None:
    for method, target in (("GET", f"{TASKS}/{name}"), ("POST", f"{TASKS}/{name}/cancel")):
        answer = small.send(method, target)
        assert answer.status == 404
        assert name[:20] in answer.json()["detail"]


def test_a_task_that_has_not_changed_is_not_sent_again(busy: Any) -> None:
    wait_for(lambda: busy.get(TASKS + "/3").json()["steps"][0]["detail"] == "waits for the test")
    tags = {target: busy.get(target).headers["etag"] for target in (TASKS, TASKS + "/3")}
    for target, tag in tags.items():
        assert busy.get(target, If_None_Match=tag).status == 304
    busy.gate.open.set()
    wait_for(lambda: busy.get(TASKS + "/3").json()["state"] == "done")
    for target, tag in tags.items():
        assert busy.get(target, If_None_Match=tag).status == 200


def test_one_waits_at_a_task_until_it_has_ended(busy: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(busy.get, TASKS + "/3", Prefer="wait=30")
        wait_for(lambda: busy.get(TASKS + "/3").json()["state"] == "running")
        wait_for(lambda: busy.waits._for_tasks._value == 1, "the request that waits")
        assert not waiting.done()
        busy.gate.open.set()
        answer = waiting.result(60)
    assert (answer.status, answer.json()["state"]) == (200, "done")
    assert answer.headers["preference-applied"] == "wait=30"
    assert busy.get(TASKS + "/3", Prefer="wait=30").json() == answer.json()


def test_a_task_is_cancelled_and_cannot_be_twice(busy: Any) -> None:
    wait_for(lambda: busy.get(TASKS + "/2").json()["state"] == "running")
    answer = busy.send("POST", TASKS + "/2/cancel")
    assert answer.status in (200, 202)
    assert answer.json()["cancel_asked"] is True
    ended = busy.get(TASKS + "/2", Prefer="wait=20").json()
    assert ended["state"] == "cancelled"
    again = busy.send("POST", TASKS + "/2/cancel")
    assert again.status == 409
    assert "2" in again.json()["detail"]


def events_of(answer: Any) -> list[str]:
    assert answer.status == 200, answer.text
    return [item["text"] for item in answer.json()["items"]]


def add(world: Any, text: str, **about: Any) -> int:
    event = world.store.events.add("test.said", text, world.clock.time, **about)
    return int(event.id)


def test_an_event_has_the_keys_that_scripts_rely_on(small: Any) -> None:
    number = add(small, "it rains", cloud="cloud1.example.org", machine="u", machine_name="m", task=7)
    item = small.get(f"{EVENTS}?after={number - 1}").json()["items"][0]
    assert tuple(item) == EVENT_FIELDS
    assert item == {
        "id": number, "at": "2026-11-22T08:00:00.000Z", "kind": "test.said", "text": "it rains",
        "cloud": "cloud1.example.org", "machine": "u", "machine_name": "m", "task": "/api/v1/tasks/7",
    }  # fmt: skip


def test_events_are_oldest_first_and_page_to_their_end(small: Any) -> None:
    start = small.store.events.latest
    wanted = [f"event {i}" for i in range(7)]
    for text in wanted:
        add(small, text)
    seen, target = [], f"{EVENTS}?after={start}&limit=3&fields=text,id"
    while target:
        answer = small.get(target)
        seen += events_of(answer)
        target = answer.json()["next"]
    assert seen == wanted
    assert answer.json()["after"] == small.store.events.latest
    assert events_of(small.get(f"{EVENTS}?after={answer.json()['after']}")) == []


def test_events_can_be_filtered(small: Any) -> None:
    start = small.store.events.latest
    add(small, "one", cloud="cloud1.example.org", machine="11111111-1111-4111-8111-111111111111")
    add(small, "two", cloud="cloud2.example.org", machine_name="web1")
    query = f"{EVENTS}?after={start}"
    assert events_of(small.get(query + "&cloud=cloud1.example.org")) == ["one"]
    assert events_of(small.get(query + "&machine=web1")) == ["two"]
    assert events_of(small.get(query + "&machine=11111111-1111-4111-8111-111111111111")) == ["one"]
    # where a filter hides the last ones, the client still goes on behind them
    assert small.get(query + "&cloud=cloud1.example.org").json()["after"] == small.store.events.latest


@pytest.mark.parametrize(
    ("query", "field", "hint"),
    [
        ("after=-1", "after", "'latest'"),
        ("after=newest", "after", "'latest'"),
        ("wait=61", "wait", "0 to 60"),
        ("wait=1.5", "wait", "0 to 60"),
        ("cloud=nowhere", "cloud", "known:"),
        ("fields=txt", "fields", "did you mean 'text'?"),
    ],
)
def test_a_wrong_question_for_events_is_named(small: Any, query: str, field: str, hint: str) -> None:
    answer = small.get(f"{EVENTS}?{query}")
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == field
    assert hint in answer.json()["errors"][0]["message"]


def waiting(small: Any, query: str, happen: Callable[[], Any]) -> tuple[Any, float]:
    """The answer to a request that waits, and how long after the last event it came."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(small.get, f"{EVENTS}?{query}")
        wait_for(lambda: small.waits._for_events._value < 2, "the request that waits")
        happen()
        happened = time.monotonic()
        return asked.result(60), time.monotonic() - happened


def test_who_waits_is_woken_at_once(small: Any) -> None:
    lates = []
    for _ in range(5):
        answer, late = waiting(small, "after=latest&wait=60", lambda: add(small, "it rains"))
        assert events_of(answer) == ["it rains"]
        lates.append(late)
    assert statistics.median(lates) < 0.5, "a machine that stands still for a moment spoils one or two"


def test_drift_wakes_who_waits(small: Any, make_machine: Any) -> None:
    answer, _ = waiting(
        small,
        "after=latest&wait=60&machine=build1",
        lambda: small.fill({"cloud1.example.org": [make_machine("jboss1.example.org")]}),
    )
    assert "build1" in events_of(answer)[0]


def test_an_event_that_no_filter_lets_through_is_no_end_of_the_wait(small: Any) -> None:
    def happen() -> None:
        add(small, "of another", cloud="cloud2.example.org")
        add(small, "of this one", cloud="cloud1.example.org")

    answer, _ = waiting(small, "after=latest&wait=60&cloud=cloud1.example.org", happen)
    assert events_of(answer) == ["of this one"]


def test_who_waits_in_vain_is_told_where_to_go_on(small: Any) -> None:
    started = time.monotonic()
    answer = small.get(f"{EVENTS}?after=latest&wait=1")
    assert time.monotonic() - started >= 1
    assert (answer.status, answer.json()["items"]) == (200, [])
    assert answer.json()["after"] == small.store.events.latest
    assert answer.headers["cache-control"] == "no-store"


def test_there_are_so_many_places_to_wait_and_no_more(small: Any) -> None:
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(small.get, f"{EVENTS}?after=latest&wait=60") for _ in range(2)]
        wait_for(lambda: small.waits._for_events._value == 0, "two that wait")
        answer = small.get(f"{EVENTS}?after=latest&wait=60")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert small.get(f"{EVENTS}?after=latest").status == 200
        add(small, "go")
        assert [events_of(one.result(60)) for one in held] == [["go"], ["go"]]


def test_flavors_are_those_of_the_configuration(small: Any) -> None:
    answer = small.get("/api/v1/flavors")
    assert [item["name"] for item in answer.json()["items"]] == ["tiny", "small", "medium", "large"]
    assert answer.json()["items"][0] == {"name": "tiny", "memory_mb": 512, "vcpus": 1, "disk_gb": 4}
    assert small.get("/api/v1/flavors", If_None_Match=answer.headers["etag"]).status == 304


def test_capacity_shrinks_with_what_is_held(small: Any) -> None:
    before = small.get("/api/v1/capacity").json()
    large = {room["name"]: room for room in before["flavors"]}["large"]
    assert large["fit"] == large["per_cloud"]["cloud1.example.org"] > 0
    assert set(before["uncounted"]) == {"cloud2.example.org", "cloud3.example.org"}
    assert small.send("POST", MACHINES, {"name": "big", "memory_mb": 30000}).status == 202
    after = small.get("/api/v1/capacity").json()
    assert {room["name"]: room for room in after["flavors"]}["large"]["fit"] < large["fit"]


def test_a_placement_judges_every_cloud_instance_and_makes_nothing(small: Any) -> None:
    for body in ({"flavor": "small"}, {"name": "jboss1.example.org", "flavor": "small"}):
        answer = small.send("POST", "/api/v1/placements", body)
        assert answer.status == 200
        assert answer.json()["chosen"] == "cloud1.example.org"
        verdicts = {verdict["cloud"]: verdict for verdict in answer.json()["clouds"]}
        assert sorted(verdicts) == [f"cloud{i}.example.org" for i in (1, 2, 3)]
        best = verdicts["cloud1.example.org"]
        assert best["left_memory_mb"] == best["free_memory_mb"] - best["needed_memory_mb"]
        assert all(verdict["reason"] for verdict in verdicts.values())
    assert ids(small.get(TASKS)) == []


def test_a_placement_that_finds_no_room_is_an_answer_and_no_error(small: Any) -> None:
    answer = small.send("POST", "/api/v1/placements", {"memory_mb": 1024 * 1024})
    assert (answer.status, answer.json()["chosen"]) == (200, None)
    assert not any(verdict["accepted"] for verdict in answer.json()["clouds"])


def test_a_wrong_placement_is_named(small: Any) -> None:
    answer = small.send("POST", "/api/v1/placements", {"memory_mb": 0, "name": "UPPER"})
    assert answer.status == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"memory_mb", "name"}


def test_nothing_that_depends_on_time_or_tasks_is_kept(busy: Any) -> None:
    # what is kept between writes of the store may depend on the store alone
    front = Front(Site(busy.store, busy.fleet, busy.clock, "x", 15, list), Waits())
    kept = {route.path for route in front.routes if route.kept}
    assert kept == {
        "/api/v1/clouds", "/api/v1/clouds/{cloud}", "/api/v1/machines", "/api/v1/machines/{machine}",
    }  # fmt: skip


def test_a_kept_list_does_not_outlive_a_change_of_a_machine_or_cloud_instance(small: Any) -> None:
    for _ in range(2):
        assert small.get(MACHINES).json()["items"][0]["notes"] == ""
        assert small.get("/api/v1/clouds").json()["items"][0]["notes"] == ""
    small.send("PATCH", MACHINES + "/build1", {"notes": "m"})
    assert small.get(MACHINES).json()["items"][0]["notes"] == "m"
    assert small.get(MACHINES + "/build1").json()["notes"] == "m"
    small.send("PATCH", "/api/v1/clouds/cloud1.example.org", {"notes": "c"})
    assert small.get("/api/v1/clouds").json()["items"][0]["notes"] == "c"
    assert small.get("/api/v1/clouds/cloud1.example.org").json()["notes"] == "c"
