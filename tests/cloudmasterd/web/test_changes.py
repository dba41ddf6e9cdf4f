"""Changes of machine instances and cloud instances over real HTTP: the use cases and the runner are real."""

from __future__ import annotations

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from cloudmasterd.errors import RemoteFault
from tests.fakes import wait_for

CLOUDS, MACHINES, TASKS = "/api/v1/clouds", "/api/v1/machines", "/api/v1/tasks"
CLOUD1 = CLOUDS + "/cloud1.example.org"
JBOSS, BUILD = MACHINES + "/jboss1.example.org", MACHINES + "/build1"

NEW = {
    "name": "new1.example.org",
    "memory_mb": 512,
    "vcpus": 1,
    "disks": [{"size_gb": 4}],
    "networks": ["default"],
    "source": {"kind": "blank"},
    "cloud": None,
    "tags": {"team": "web"},
    "start": True,
}


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def refused(answer: Any) -> dict[str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


def test_a_create_is_accepted_with_the_place_of_its_task(small: Any) -> None:
    answer = small.send("POST", MACHINES, NEW)
    task = answer.json()
    assert (answer.status, answer.headers["location"]) == (202, f"{TASKS}/{task['id']}")
    assert (task["kind"], task["target"]) == ("machine.create", MACHINES + "/new1.example.org")
    assert task["state"] in ("waiting", "running")
    assert (task["cloud"], task["machine_name"]) == ("cloud1.example.org", "new1.example.org")
    assert [step["state"] for step in task["steps"]].count("done") == 0
    assert task["asked_by"] == "admin"
    assert small.get(answer.headers["location"]).json()["id"] == task["id"]


def test_what_a_create_holds_is_gone_from_every_figure_at_once(small: Any) -> None:
    def free() -> Any:
        return [small.get(target).json() for target in (CLOUD1, CLOUDS + "?fields=name,free_memory_mb")]

    before, tags = free(), [small.get(t).headers["etag"] for t in (CLOUD1, CLOUDS, MACHINES)]
    assert small.send("POST", MACHINES, NEW).status == 202
    after = free()
    assert after[0]["free_memory_mb"] == before[0]["free_memory_mb"] - 512 - 128
    assert after[1]["items"][0]["free_memory_mb"] == after[0]["free_memory_mb"]
    assert small.get(CLOUD1, If_None_Match=tags[0]).status == 200
    assert small.get(CLOUDS, If_None_Match=tags[1]).status == 200


def test_a_create_that_fits_nowhere_names_every_cloud_instance(small: Any) -> None:
    answer = small.send("POST", MACHINES, {**NEW, "memory_mb": 1024 * 1024})
    assert answer.status == 409
    problem = answer.json()
    assert problem["type"] == "urn:cloudmasterd:problem:no-room"
    reasons = refused(answer)
    assert sorted(reasons) == ["cloud1.example.org", "cloud2.example.org", "cloud3.example.org"]
    assert all(reasons.values())
    assert small.get(TASKS).json()["items"] == []


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": None}, "name", "host name"),
        ({"name": ""}, "name", "host name"),
        ({"name": "Web_1"}, "name", "host name"),
        ({"name": "a" * 64}, "name", "64 characters"),
        ({"name": "../etc"}, "name", "host name"),
        ({"memory_mb": 0}, "memory_mb", "too small"),
        ({"memory_mb": -512}, "memory_mb", "too small"),
        ({"memory_mb": "512"}, "memory_mb", "without quotes: 512"),
        ({"memory_mb": 512.5}, "memory_mb", "whole number"),
        ({"memory_mb": True}, "memory_mb", "whole number"),
        ({"memory_mb": 10**30}, "memory_mb", "too large"),
        ({"vcpus": 0}, "vcpus", "too small"),
        ({"disks": [{"size_gb": 0}]}, "disks[0].size_gb", "too small"),
        ({"disks": [{"size_gb": 4, "pol": "x"}]}, "disks[0].pol", "did you mean 'pool'?"),
        ({"networks": "default"}, "networks", "a list"),
        ({"source": {"kind": "floppy"}}, "source.kind", "blank"),
        ({"flavor": "smal"}, "flavor", "did you mean 'small'?"),
        ({"flavor": "small"}, "memory_mb", "the flavor says it"),
        ({"memroy_mb": 1}, "memroy_mb", "did you mean 'memory_mb'?"),
        ({"cloud": "cloud9.example.org"}, "cloud", "cloud9.example.org"),
        ({"tags": {"": "x"}}, "tags", "key"),
        ({"start": "yes"}, "start", "true or false"),
    ],
)
def test_a_wrong_field_of_a_create_is_named_with_what_would_be_right(
    small: Any, change: dict[str, Any], field: str, words: str
) -> None:
    answer = small.send("POST", MACHINES, {**NEW, **change})
    assert answer.status == 400
    found = refused(answer)
    assert any(name.startswith(field) and words in text for name, text in found.items()), found
    assert small.get(TASKS).json()["items"] == []


def test_all_wrong_fields_are_named_at_once(small: Any) -> None:
    answer = small.send("POST", MACHINES, {"name": "UPPER", "memory_mb": 0, "nmae": 1, "vcpus": "2"})
    assert answer.status == 400
    assert set(refused(answer)) == {"name", "memory_mb", "nmae", "vcpus"}


def test_an_unknown_network_is_a_reason_of_each_cloud_instance(small: Any) -> None:
    answer = small.send("POST", MACHINES, {**NEW, "networks": ["dmz"]})
    assert answer.status == 409
    assert "dmz" in refused(answer)["cloud1.example.org"]


def test_a_name_that_is_taken_is_a_conflict(small: Any) -> None:
    for name in ("jboss1.example.org", "new1.example.org"):
        answer = small.send("POST", MACHINES, {**NEW, "name": name})
        if name == "new1.example.org":
            assert answer.status == 202
            answer = small.send("POST", MACHINES, {**NEW, "name": name})
        assert (answer.status, answer.json()["type"]) == (409, "urn:cloudmasterd:problem:machine-exists")
        assert name in answer.json()["detail"]


@pytest.mark.parametrize(
    ("action", "machine", "kind"),
    [
        ("start", BUILD, "machine.start"),
        ("shutdown", JBOSS, "machine.shutdown"),
        ("poweroff", JBOSS, "machine.poweroff"),
        ("reboot", JBOSS, "machine.reboot"),
        ("reset", JBOSS, "machine.reset"),
        ("pause", JBOSS, "machine.pause"),
        ("resume", JBOSS, "machine.resume"),
        ("adopt", JBOSS, "machine.adopt"),
    ],
)
def test_every_action_becomes_a_task(
    small: Any, make_machine: Any, action: str, machine: str, kind: str
) -> None:
    if action == "resume":
        small.fill({"cloud1.example.org": [make_machine("jboss1.example.org", "paused")]})
    answer = small.send("POST", f"{machine}/{action}")
    assert (answer.status, answer.json()["kind"]) == (202, kind)
    assert answer.headers["location"] == f"{TASKS}/{answer.json()['id']}"


@pytest.mark.parametrize(
    ("action", "machine", "words"),
    [("start", JBOSS, "nothing to start"), ("shutdown", BUILD, "nothing to shut down")],
)
def test_an_action_that_makes_no_sense_is_a_conflict(
    small: Any, action: str, machine: str, words: str
) -> None:
    answer = small.send("POST", f"{machine}/{action}")
    assert answer.status == 409
    assert words in answer.json()["detail"]
    assert small.send("POST", f"{machine}/{action}?force=true").status == 202


def test_an_action_on_what_is_not_there_is_404(small: Any) -> None:
    for method, target in (
        ("POST", MACHINES + "/none/start"),
        ("DELETE", MACHINES + "/none"),
        ("POST", MACHINES + "/none/adopt"),
        ("POST", JBOSS + "/explode"),
    ):
        assert small.send(method, target).status == 404, target
    assert small.send("PATCH", MACHINES + "/none", {"notes": "x"}).status == 404


def test_an_action_on_a_cloud_instance_that_cannot_be_reached_says_so(small: Any) -> None:
    answer = small.send("POST", MACHINES + "/web1/reboot")
    assert answer.status == 504
    assert "cloud2.example.org" in answer.json()["detail"]


def test_one_task_at_a_time_works_on_a_machine_instance(small: Any) -> None:
    first = small.send("POST", JBOSS + "/reboot").json()
    answer = small.send("POST", JBOSS + "/pause")
    assert answer.status == 409
    assert f"task {first['id']} " in answer.json()["detail"]


def test_a_running_machine_instance_is_deleted_by_force_alone(small: Any) -> None:
    answer = small.send("DELETE", JBOSS)
    assert answer.status == 409
    assert "force" in answer.json()["detail"]
    answer = small.send("DELETE", JBOSS + "?force&keep_disks=1")
    assert (answer.status, answer.json()["kind"]) == (202, "machine.delete")
    task = small.store.tasks.get(answer.json()["id"])
    assert task.arguments == {"force": True, "keep_disks": True}


@pytest.mark.parametrize("query", ["force=yes", "force=1&force=0", "keep_disk=1"])
def test_a_wrong_parameter_of_a_delete_is_named(small: Any, query: str) -> None:
    answer = small.send("DELETE", f"{BUILD}?{query}")
    assert answer.status == 400
    assert set(refused(answer)) == {query.split("=")[0]}


def test_a_body_where_there_is_none_is_not_passed_over(small: Any) -> None:
    for method, target in (("POST", BUILD + "/start"), ("DELETE", BUILD)):
        answer = small.send(method, target, {"force": True})
        assert answer.status == 400
        assert "query" in refused(answer)["body"]
    assert small.send("POST", BUILD + "/start", {}).status == 202


def test_tags_and_notes_change_at_once_and_change_the_tag(small: Any) -> None:
    before = small.get(JBOSS)
    answer = small.send("PATCH", JBOSS, {"tags": {"team": "web"}, "notes": "one\ntwo"})
    assert answer.status == 200
    item = answer.json()
    assert (item["tags"], item["notes"]) == ({"team": "web"}, "one\ntwo")
    assert answer.headers["etag"] == item["etag"] != before.headers["etag"]
    assert small.get(JBOSS).json() == item
    assert next(m for m in small.get(MACHINES).json()["items"] if m["uuid"] == item["uuid"]) == item


def test_another_size_is_a_task(small: Any) -> None:
    answer = small.send("PATCH", JBOSS, {"memory_mb": 1024, "tags": {"team": "db"}})
    assert (answer.status, answer.json()["kind"]) == (202, "machine.change")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "body"),
        ([], "body"),
        ({"memory_mb": 0}, "memory_mb"),
        ({"memory_mb": None}, "memory_mb"),
        ({"memory_mb": 2**24}, "memory_mb"),
        ({"cloud": "cloud1.example.org"}, "cloud"),
        ({"tags": {"a": 1}}, "tags.a"),
    ],
)
def test_a_wrong_change_is_named(small: Any, change: Any, field: str) -> None:
    answer = small.send("PATCH", JBOSS, change)
    assert answer.status == 400
    assert field in refused(answer)


def test_if_match_lets_the_present_version_through_alone(small: Any) -> None:
    tag = small.get(JBOSS).headers["etag"]
    for given in ('"m00000000-1"', '"other", "another"', f"W/{tag}"):
        answer = small.send("PATCH", JBOSS, {"notes": "a"}, If_Match=given)
        assert (answer.status, answer.json()["type"]) == (412, "urn:cloudmasterd:problem:stale-version"), (
            given
        )
        assert tag in answer.json()["detail"]
        assert small.send("POST", JBOSS + "/reboot", If_Match=given).status == 412
        assert small.send("POST", JBOSS + "/adopt", If_Match=given).status == 412
        assert small.send("DELETE", JBOSS + "?force", If_Match=given).status == 412
    assert small.send("PATCH", JBOSS, {"notes": "a"}, If_Match=f'"other", {tag}').status == 200
    assert small.send("PATCH", JBOSS, {"notes": "b"}, If_Match=tag).status == 412
    assert small.send("PATCH", JBOSS, {"notes": "b"}, If_Match="*").status == 200
    assert small.send("PATCH", JBOSS, {"notes": "c"}).status == 200
    assert small.get(JBOSS).json()["notes"] == "c"


@pytest.mark.parametrize("given", ["", "abc", '"a', 'x "a"', '"a" "b"'])
def test_an_if_match_that_holds_no_tags_is_named(small: Any, given: str) -> None:
    answer = small.send("PATCH", JBOSS, {"notes": "a"}, If_Match=given)
    assert answer.status == 400
    assert small.get(JBOSS).headers["etag"] in refused(answer)["If-Match"]


@pytest.mark.parametrize("field", ["notes", "tags"])
def test_fifty_clients_with_the_same_tag_and_one_succeeds(small: Any, field: str) -> None:
    tag = small.get(JBOSS).headers["etag"]

    def change(number: int) -> Any:
        value: Any = f"by {number}" if field == "notes" else {"by": str(number)}
        return small.send("PATCH", JBOSS, {field: value}, If_Match=tag)

    answers = at_once(50, change)
    assert Counter(answer.status for answer in answers) == {200: 1, 412: 49}
    winner = next(answer for answer in answers if answer.status == 200)
    assert small.get(JBOSS).json()[field] == winner.json()[field]


def test_the_same_key_fifty_times_at_once_makes_one_machine_instance(small: Any) -> None:
    key = str(uuid.uuid4())
    answers = at_once(50, lambda _: small.send("POST", MACHINES, NEW, Idempotency_Key=key))
    assert {(answer.status, answer.headers["location"]) for answer in answers} == {
        (202, answers[0].headers["location"])
    }
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len(small.get(TASKS).json()["items"]) == 1


def test_a_replay_shows_even_when_the_request_id_is_the_same(small: Any) -> None:
    named = {"Idempotency_Key": "k-1", "X_Request_Id": "retry-7"}
    first = small.send("POST", MACHINES, NEW, **named)
    second = small.send("POST", MACHINES, dict(reversed(list(NEW.items()))), **named)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert first.json()["request_id"] == second.json()["request_id"] == "retry-7"


def test_a_key_of_another_request_is_a_conflict(small: Any) -> None:
    assert small.send("POST", MACHINES, NEW, Idempotency_Key="k-1").status == 202
    for method, target, value in (
        ("POST", MACHINES, {**NEW, "memory_mb": 1024}),
        ("POST", BUILD + "/start", None),
        ("DELETE", BUILD, None),
    ):
        answer = small.send(method, target, value, Idempotency_Key="k-1")
        assert answer.status == 409, target
        assert "k-1" in answer.json()["detail"]


def test_a_delete_is_replayed_when_the_machine_instance_is_gone(small: Any, make_machine: Any) -> None:
    tag = small.get(BUILD).headers["etag"]
    named = {"Idempotency_Key": "gone-1", "If_Match": tag}
    small.gate.open.set()
    first = small.send("DELETE", BUILD, Prefer="wait=20", **named)
    assert (first.status, first.json()["state"]) == (200, "done")
    small.fill({"cloud1.example.org": [make_machine("jboss1.example.org")]})
    assert small.get(BUILD).status == 404
    again = small.send("DELETE", BUILD, **named)
    assert (again.status, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json() == first.json()
    assert small.send("DELETE", BUILD, Idempotency_Key="gone-2", If_Match=tag).status == 404


def test_a_stale_tag_under_a_new_key_is_still_stale(small: Any) -> None:
    for target in (JBOSS + "/reboot", JBOSS + "/adopt"):
        answer = small.send("POST", target, Idempotency_Key="fresh", If_Match='"m00000000-1"')
        assert answer.status == 412, target


def test_a_refusal_is_not_remembered_under_its_key(small: Any) -> None:
    too_large = {**NEW, "memory_mb": 65536}
    assert small.send("POST", MACHINES, too_large, Idempotency_Key="k-2").status == 409
    assert small.send("POST", MACHINES, NEW, Idempotency_Key="k-2").status == 202


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "k" * 129, 'a"b', "one, two"])
def test_a_key_that_is_none_is_named(small: Any, key: str) -> None:
    answer = small.ask("POST", BUILD + "/start", {"Idempotency-Key": key.encode("utf-8").decode("latin-1")})
    assert answer.status == 400
    assert "Idempotency-Key" in refused(answer)


def test_a_key_may_be_written_in_quotes(small: Any) -> None:
    plain = small.send("POST", BUILD + "/start", Idempotency_Key="abc")
    quoted = small.send("POST", BUILD + "/start", Idempotency_Key='"abc"')
    assert quoted.headers["idempotency-replayed"] == "true"
    assert quoted.json()["id"] == plain.json()["id"]


def test_prefer_wait_answers_with_the_task_that_has_ended(small: Any) -> None:
    small.gate.open.set()
    answer = small.send("POST", BUILD + "/start", Prefer="respond-async, wait=20")
    assert (answer.status, answer.json()["state"]) == (200, "done")
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.headers["location"] == f"{TASKS}/{answer.json()['id']}"
    assert answer.json()["log"] == small.get(answer.headers["location"]).json()["log"]


def test_prefer_wait_answers_with_the_task_that_failed(small: Any) -> None:
    small.gate.error = RemoteFault("HostError", "libvirt is gone", "SECRET")
    small.gate.open.set()
    answer = small.send("POST", BUILD + "/start", Prefer="wait=20")
    assert (answer.status, answer.json()["state"]) == (200, "failed")
    assert "libvirt is gone" in answer.json()["error"] and b"SECRET" not in answer.body


def test_prefer_wait_answers_202_when_the_time_is_over(small: Any) -> None:
    answer = small.send("POST", BUILD + "/start", Prefer="wait=1")
    assert (answer.status, answer.headers["preference-applied"]) == (202, "wait=1")
    assert answer.json()["state"] in ("waiting", "running")


@pytest.mark.parametrize("prefer", ["", "wait", "wait=", "wait=x", "wait=-1", "return=minimal", "waits=5"])
def test_what_is_no_preference_is_passed_over(small: Any, prefer: str) -> None:
    answer = small.send("POST", BUILD + "/start", Prefer=prefer)
    assert answer.status == 202
    assert "preference-applied" not in answer.headers


def test_waiting_is_a_preference_and_gives_way_when_too_many_wait(small: Any) -> None:
    def create(number: int) -> Any:
        return small.send("POST", MACHINES, {**NEW, "name": f"n{number}"}, Prefer="wait=60")

    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(create, number) for number in range(2)]
        wait_for(lambda: small.waits._for_tasks._value == 0, "two that wait")
        answer = create(2)
        assert answer.status == 202 and "preference-applied" not in answer.headers
        small.gate.open.set()
        assert [one.result(50).headers["preference-applied"] for one in held] == ["wait=60"] * 2


def test_those_who_wait_go_when_the_server_stops(small: Any) -> None:
    with ThreadPoolExecutor(2) as pool:
        task = pool.submit(small.send, "POST", BUILD + "/start", Prefer="wait=60")
        events = pool.submit(small.get, f"/api/v1/events?after={small.store.events.latest + 1000}&wait=60")
        wait_for(small.store.tasks.pending, "the task")
        small.waits.stop()
        assert task.result(50).status == 202
        assert events.result(50).json()["items"] == []


def test_a_request_id_is_taken_or_made_and_always_told(small: Any) -> None:
    answer = small.send("POST", BUILD + "/start", X_Request_Id="abc-1")
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc-1"
    for target in (MACHINES, MACHINES + "/none", "/", "/nothing", "/healthz", MACHINES + "?limit=x"):
        assert small.get(target, X_Request_Id="abc-2").headers["x-request-id"] == "abc-2"
    made = {small.get(MACHINES, X_Request_Id=bad).headers["x-request-id"] for bad in ("", "a.b", "x" * 65)}
    assert len(made) == 3 and not made & {"", "a.b", "x" * 65}


def test_maintenance_and_reserve_of_a_cloud_instance(small: Any) -> None:
    before = small.get(CLOUD1)
    answer = small.send("PATCH", CLOUD1, {"maintenance": True, "maintenance_reason": "a new disk"})
    assert answer.status == 200
    item = answer.json()
    assert (item["state"], item["maintenance"]) == ("maintenance", True)
    assert item["maintenance_reason"] == "a new disk"
    assert answer.headers["etag"] != before.headers["etag"]
    assert small.get(CLOUD1).json() == item
    refusal = small.send("POST", MACHINES, NEW)
    assert refusal.status == 409
    assert "a new disk" in refused(refusal)["cloud1.example.org"]
    changed = small.send("PATCH", CLOUD1, {"maintenance": False, "reserve_mb": 8192, "notes": "n"}).json()
    assert (changed["state"], changed["reserve_mb"], changed["reserved_memory_mb"]) == ("up", 8192, 8192)
    back = small.send("PATCH", CLOUD1, {"reserve_mb": None}).json()
    assert (back["reserve_mb"], back["reserved_memory_mb"], back["notes"]) == (None, 3276, "n")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "body"),
        ({"maintenence": True}, "maintenence"),
        ({"maintenance": "yes"}, "maintenance"),
        ({"reserve_mb": -1}, "reserve_mb"),
        ({"name": "cloud7"}, "name"),
        ({"maintenance": False, "maintenance_reason": "x"}, "maintenance_reason"),
    ],
)
def test_a_wrong_change_of_a_cloud_instance_is_named(small: Any, change: Any, field: str) -> None:
    answer = small.send("PATCH", CLOUD1, change)
    assert answer.status == 400
    assert field in refused(answer)


def test_a_cloud_instance_is_changed_at_the_version_that_was_read(small: Any) -> None:
    tag = small.get(CLOUD1).headers["etag"]
    answers = at_once(20, lambda n: small.send("PATCH", CLOUD1, {"notes": f"by {n}"}, If_Match=tag))
    assert Counter(answer.status for answer in answers) == {200: 1, 412: 19}
    assert small.send("PATCH", CLOUDS + "/none", {"notes": "x"}).status == 404
    assert small.send("PATCH", CLOUD1, {"notes": "x"}, If_Match="abc").status == 400


def test_another_site_cannot_make_a_browser_change_anything(small: Any) -> None:
    for method, target, value in (
        ("POST", MACHINES, NEW),
        ("PATCH", JBOSS, {"notes": "x"}),
        ("PATCH", CLOUD1, {"notes": "x"}),
        ("DELETE", BUILD, None),
        ("POST", BUILD + "/start", None),
    ):
        assert small.send(method, target, value, Sec_Fetch_Site="cross-site").status == 403
    assert small.get(TASKS).json()["items"] == []
