"""What goes on the audit record, and how it is read: over REST and on its page."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any, Optional

import pytest

from cloudmasterd import acting
from cloudmasterd.acting import Deed
from cloudmasterd.errors import Forbidden, TooManyAttempts, Unauthenticated
from cloudmasterd.record import entry_object
from cloudmasterd.rights import ANONYMOUS, Identity, Means, Role
from cloudmasterd.web.actions import BROWSERS, FORMS, NOT_RECORDED, action_of, is_recorded
from cloudmasterd.web.front import Front, Incoming
from cloudmasterd.web.openapi import PATHS
from cloudmasterd.web.pages.audit import _page_of
from cloudmasterd.web.recording import Sender
from cloudmasterd.web.refusals import RECORDED, WINDOW_S, Refusals
from cloudmasterd.web.site import Site
from cloudmasterd.web.waiting import Waits
from tests.cloudmasterd.web.reading import post, read
from tests.cloudmasterd.web.test_front_door import Says
from tests.cloudmasterd.web.test_openapi import DOCUMENT, misfit, routes
from tests.fakes import FakeClock

AUDIT = "/api/v1/audit"
BUILD = "/api/v1/machines/build1"
CLOUD1 = "/api/v1/clouds/cloud1.example.org"
ADMIN = {"who": "admin", "means": "token", "credential": "0123456789ab", "address": "127.0.0.1"}


def records(world: Any) -> list[dict[str, Any]]:
    """All of them, oldest first."""
    return [entry_object(entry) for entry in reversed(world.store.audit.list(limit=1000))]


def last(world: Any) -> dict[str, Any]:
    return records(world)[-1]


def fits(record: dict[str, Any], **wanted: Any) -> None:
    assert {name: record[name] for name in wanted} == wanted


def test_a_change_is_recorded_with_who_whence_and_what(small: Any) -> None:
    answer = small.send(
        "PATCH", CLOUD1, {"maintenance": True}, X_Request_Id="req-1", X_Audit_Reason="a new disk"
    )
    assert answer.status == 200
    (record,) = records(small)
    fits(
        record, **ADMIN, action="changeCloud", target=CLOUD1, result="done", status=None, request_id="req-1",
        reason="a new disk", detail={"changed": "admin changed cloud1.example.org: maintenance off -> on"},
    )  # fmt: skip


def test_a_task_is_recorded_with_its_number_and_the_machine_it_makes(small: Any) -> None:
    body = {"name": "new1", "memory_mb": 64, "vcpus": 1, "disks": [{"size_gb": 1}]}
    task = small.send("POST", "/api/v1/machines", body, X_Request_Id="make-1").json()
    (record,) = records(small)
    fits(record, action="createMachine", target="/api/v1/machines/new1", request_id="make-1")
    assert record["detail"] == {"task": task["id"]}
    assert task["request_id"] == "make-1"


def test_a_request_is_one_record_however_it_ends(small: Any) -> None:
    for method, target, body, status, result, detail in [
        ("POST", BUILD + "/start", None, 202, "done", {"task": 1}),
        ("POST", BUILD + "/start", None, 409, "failed", {"error": re.compile("task 1 is at work")}),
        ("PATCH", BUILD, {"vcpus": "many"}, 400, "failed", {"wrong": "vcpus"}),
        ("DELETE", "/api/v1/machines/none", None, 404, "failed", {"error": re.compile("none")}),
        ("POST", CLOUD1 + "/refresh", None, 200, "done", {}),
    ]:
        before = len(records(small))
        assert small.send(method, target, body).status == status
        (record,) = records(small)[before:]
        fits(record, result=result, status=None if status == 202 else status)
        for name, wanted in detail.items():
            found = record["detail"][name]
            assert wanted.search(found) if isinstance(wanted, re.Pattern) else wanted == found
        assert set(record["detail"]) == set(detail)


def test_what_was_sent_is_never_in_the_record(small: Any) -> None:
    """Bodies hold passwords: a request that fails is known by its fields, not by their values."""
    body = {
        "name": "new1", "memory_mb": "hunter2", "vcpus": 1, "disks": [{"size_gb": 1}],
        "source": {"kind": "image", "image": "img", "cloud_init": {"user_data": "password: hunter2"}},
    }  # fmt: skip
    assert small.send("POST", "/api/v1/machines", body).status == 400
    assert (
        small.ask("POST", "/api/v1/machines", {"Content-Type": "application/json"}, b'{"hunter2').status
        == 400
    )
    assert "hunter2" not in json.dumps(records(small))
    assert last(small)["detail"] == {"wrong": "body"}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"vcpus": "many", "my secret": 1}, "a field there is not, vcpus"),
        ({"my secret": {"notes": 1}}, "a field there is not"),
        ({"tags": {"my secret of more than this": 7}}, "tags"),
    ],
)
def test_what_was_sent_as_the_name_of_a_field_is_not_on_it(small: Any, body: Any, wrong: str) -> None:
    assert small.send("PATCH", BUILD, body).status == 400
    assert set(last(small)["detail"]["wrong"].split(", ")) == set(wrong.split(", "))


def test_reading_is_not_recorded_nor_is_asking_where_something_would_go(small: Any) -> None:
    for target in ("/", AUDIT, "/api/v1/machines", "/audit", "/healthz", "/api/v1/machines/none"):
        small.get(target)
    small.send("POST", "/api/v1/placements", {"name": "a", "memory_mb": 64, "vcpus": 1})
    small.send("POST", "/install/" + "x" * 43 + "/booted")
    small.send("OPTIONS", CLOUD1)
    assert records(small) == []


def test_the_same_request_asked_again_is_recorded_as_that(small: Any) -> None:
    for _ in range(2):
        assert small.send("POST", BUILD + "/start", Idempotency_Key="once").status == 202
    first, second = records(small)
    assert (first["detail"], second["detail"]) == ({"task": 1}, {"task": 1, "again": True})


def test_a_form_is_recorded_as_the_request_it_stands_for(small: Any) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    small.ask("POST", "/clouds/cloud1.example.org/maintenance", form, b"maintenance=begin")
    fits(last(small), action="changeCloud", target=CLOUD1, who="admin")
    small.ask("POST", "/machines/build1/start", form, b"")
    fits(last(small), action="startMachine", target=BUILD, detail={"task": 1})
    small.ask("POST", "/tasks/1/cancel", form, b"")
    fits(last(small), action="cancelTask", target="/api/v1/tasks/1", detail={"task": 1})
    small.ask("POST", "/machines/web1/delete", form, b"name=other")
    fits(last(small), action="deleteMachine", target="/api/v1/machines/web1", result="failed", status=400)


def test_a_form_that_only_asks_again_is_not_recorded(small: Any) -> None:
    path = "/machines/jboss1.example.org/poweroff"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert small.ask("POST", path, form, b"").status == 200
    assert records(small) == []


def test_an_upload_is_recorded_where_it_begins_and_ends(small: Any) -> None:
    data = bytes(512) * 3
    body = {
        "name": "img",
        "format": "raw",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
    }
    assert small.send("POST", "/api/v1/images", body).status == 201
    kind = {"Content-Type": "application/octet-stream"}
    for offset in (0, 512, 1024):
        target = f"/api/v1/images/img/data?offset={offset}"
        assert small.ask("PUT", target, kind, data[offset : offset + 512]).status == 200
    assert [record["action"] for record in records(small)] == [
        "createImage",
        "sendImageData",
        "sendImageData",
    ]
    assert small.send("DELETE", "/api/v1/images/img").status == 204
    fits(last(small), action="deleteImage", target="/api/v1/images/img", result="done")


def test_pulling_the_plug_of_what_shuts_down_records_both(small: Any) -> None:
    jboss = "/api/v1/machines/jboss1.example.org"
    assert small.send("POST", jboss + "/shutdown").status == 202
    assert small.send("POST", jboss + "/poweroff").status == 202
    assert [(record["action"], record["target"], record["detail"]) for record in records(small)] == [
        ("shutdownMachine", jboss, {"task": 1}),
        ("cancelTask", "/api/v1/tasks/1", {"task": 1}),
        ("poweroffMachine", jboss, {"task": 2}),
    ]


# Refusals


@pytest.fixture
def front(small: Any) -> Any:
    def make(door: Any) -> Front:
        return Front(Site(small.store, small.fleet, small.clock, "x", 15, list, door=door), Waits())

    return make


def ask(front: Front, method: str, target: str, accept: str = "application/json", **more: Any) -> Any:
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    return front.answer(
        Incoming(method, target, accept, headers=headers, request_id="r-1", client="192.0.2.7")
    )


VIEWER = Identity("eve", Role.VIEWER, Means.SESSION, "abcdef012345")


@pytest.mark.parametrize(
    ("door", "method", "target", "status", "action", "who"),
    [
        (Says(), "POST", BUILD + "/start", 401, "startMachine", ""),
        (Says(), "GET", "/api/v1/machines", 401, "listMachines", ""),
        (Says(), "GET", "/api/v1/nothing", 401, "GET", ""),
        (Says(error=Unauthenticated("this token was revoked")), "DELETE", BUILD, 401, "deleteMachine", ""),
        (Says(error=Forbidden("forged")), "GET", "/", 403, "GET /", ""),
        (Says(error=TooManyAttempts("later", 30)), "GET", "/", 429, "GET /", ""),
        (Says(VIEWER), "DELETE", BUILD, 403, "deleteMachine", "eve"),
        (Says(VIEWER), "GET", AUDIT, 403, "listAudit", "eve"),
        (Says(VIEWER), "POST", "/machines/build1/start", 403, "startMachine", "eve"),
    ],
)  # fmt: skip
def test_every_refused_attempt_is_recorded(
    small: Any, front: Any, door: Any, method: str, target: str, status: int, action: str, who: str
) -> None:
    assert ask(front(door), method, target).status == status
    (record,) = records(small)
    fits(
        record, who=who, action=action, result="refused", status=status, address="192.0.2.7", request_id="r-1"
    )
    assert record["detail"]["error"]


def test_another_site_that_sends_a_form_is_on_the_record(small: Any) -> None:
    answer = small.send("POST", BUILD + "/start", Sec_Fetch_Site="cross-site")
    assert answer.status == 403
    fits(
        last(small), **ADMIN, action="startMachine", target=BUILD + "/start"[:0], result="refused", status=403
    )


def test_to_be_led_to_the_login_is_no_refusal_but_of_who_wants_something_done(small: Any, front: Any) -> None:
    assert ask(front(Says()), "GET", "/machines", "text/html").status == 303
    assert records(small) == []
    assert ask(front(Says()), "POST", "/machines/build1/delete", "text/html").status == 303
    fits(last(small), action="deleteMachine", target=BUILD, result="refused", status=401)


def test_the_token_of_an_installing_machine_is_never_on_the_record(small: Any, front: Any) -> None:
    token = "t" * 43
    ask(front(Says()), "PUT", f"/install/{token}/booted")
    ask(front(Says()), "GET", f"/install/{token}/booted/more")
    recorder = front(Says())._recorder
    sender = Sender(ANONYMOUS, "192.0.2.7", "r-1")
    recorder.turn_away(Forbidden("forged"), "POST", f"/install/{token}/booted", sender)
    assert len(records(small)) == 3
    assert token not in json.dumps(records(small))


def test_a_flood_of_refused_requests_is_counted_not_recorded(small: Any, front: Any) -> None:
    made = front(Says())
    for _ in range(RECORDED + 70):
        assert ask(made, "GET", "/api/v1/machines").status == 401
    assert len(records(small)) == RECORDED
    assert last(small)["detail"]["from_now_on"] == f"counted only, for {WINDOW_S:.0f} s at most"
    small.clock.time += timedelta(seconds=WINDOW_S)
    ask(made, "GET", "/api/v1/machines")
    assert last(small)["detail"]["left_out"] == 70


def test_refusals_are_counted_for_each_network_alone() -> None:
    clock = FakeClock()
    refusals = Refusals(clock)
    for number in range(RECORDED):
        assert refusals.admit(f"2001:db8::{number:x}") is not None
    assert refusals.admit("2001:db8::ffff") is None
    assert refusals.admit("2001:db8:0:1::1") is not None
    assert refusals.admit("192.0.2.1") == {}
    assert refusals.admit("no address") == {}
    clock.advance(WINDOW_S)
    assert refusals.admit("2001:db8::1") == {"left_out": 1}


def test_addresses_without_end_are_not_remembered_without_end() -> None:
    refusals = Refusals(FakeClock())
    for _ in range(RECORDED + 5):
        refusals.admit("192.0.2.1")
    for number in range(3000):
        told = refusals.admit(f"10.0.{number // 256}.{number % 256}")
        if told:
            assert told == {"left_out": 5}  # of one that was forgotten
    assert len(refusals._seen) <= 1001


def test_a_bug_is_on_the_record_as_a_failure(small: Any) -> None:
    class Broken(Exception):
        pass

    small.fleet.errors["cloud1.example.org"] = Broken()
    assert small.send("POST", CLOUD1 + "/refresh").status == 500
    fits(last(small), action="refreshCloud", result="failed", status=500, detail={})


def test_a_change_that_fails_afterwards_is_on_the_record_twice(small: Any) -> None:
    """A record is never changed: what was done stands, and that the request failed stands behind it."""
    with acting.acting(Deed("bob", "x")) as doing:
        small.store.change_cloud("cloud1.example.org", notes="n")
        assert doing.recorded
    answer = small.send("PATCH", CLOUD1, {"notes": "m"}, If_Match='"wrong"')
    assert answer.status == 412
    assert [record["result"] for record in records(small)] == ["done", "failed"]


# Names of actions


def test_every_request_that_may_change_something_has_a_name_of_the_contract() -> None:
    ids = {
        operation["operationId"]
        for item in PATHS.values()
        for operation in item.values()
        if isinstance(operation, dict)
    }
    for route in routes():
        if route.method == "GET":
            continue
        names = dict.fromkeys(re.findall(r"{(\w+)}", route.path), "a b")
        name, target = action_of(route, names, "a b")
        if route.path in NOT_RECORDED or name in NOT_RECORDED:
            assert not is_recorded(route, name)
            continue
        assert name in ids or name in BROWSERS.values(), (route.method, route.path)
        assert "{" not in target and " " not in target
    for path, (method, api) in FORMS.items():
        assert method.lower() in PATHS["/api/v1" + api], path


@pytest.mark.parametrize(
    ("target", "page"),
    [
        ("/api/v1/machines/a%20b", "/machines/a%20b"),
        ("/api/v1/machines/a/start", "/machines/a"),
        ("/api/v1/machines", None),
        ("/api/v1/tasks/7/cancel", "/tasks/7"),
        ("/login", None),
        ("//evil.example.org/", None),
    ],
)
def test_what_was_done_leads_to_its_page(target: str, page: Optional[str]) -> None:
    assert _page_of(target) == page


# Reading it


@pytest.fixture
def told(small: Any) -> Any:
    """Five records: 1 and 2 of bob, 3 refused, 4 and 5 of others."""
    for deed in (
        Deed(
            "bob",
            "createMachine",
            "/api/v1/machines/a",
            "token",
            "c1",
            "192.0.2.1",
            "r-1",
            detail={"task": 1},
        ),
        Deed("bob", "deleteMachine", "/api/v1/machines/b", reason="=1+1"),
        Deed("", "login", "/login", "none", result="refused", status=401),
        Deed("cloud1.example.org", "machine.changed", "/api/v1/machines/c", "observed"),
        Deed("eve", "changeCloud", CLOUD1, "session"),
    ):
        small.store.audit.add(deed)
    return small


def test_the_list_has_the_shape_of_the_contract(told: Any) -> None:
    answer = told.get(AUDIT + "?limit=2")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert misfit(answer.json(), DOCUMENT["components"]["schemas"]["AuditList"]) is None
    assert [item["id"] for item in answer.json()["items"]] == [5, 4]
    assert set(answer.json()["items"][0]) == set(
        DOCUMENT["components"]["schemas"]["AuditEntry"]["properties"]
    )
    assert answer.json()["head"] == str(told.store.audit.head())


def test_pages_of_the_list_hang_together(told: Any) -> None:
    for start, expected in (
        (AUDIT + "?limit=2", [5, 4, 3, 2, 1]),
        (AUDIT + "?limit=2&after=1", [2, 3, 4, 5]),
    ):
        seen, target = [], start
        while target:
            page = told.get(target).json()
            seen += [item["id"] for item in page["items"]]
            target = page["next"]
        assert seen == expected


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("who=bob", [2, 1]), ("result=refused", [3]), ("action=changeCloud", [5]), ("request_id=r-1", [1]),
        ("target=/api/v1/machines", [4, 2, 1]), ("since=2126-01-01", []),
        ("until=2126-01-01T00:00:00Z", [5, 4, 3, 2, 1]),
        ("who=bob&target=/api/v1/machines/b", [2]),
    ],
)  # fmt: skip
def test_filters(told: Any, query: str, found: list[int]) -> None:
    assert [item["id"] for item in told.get(f"{AUDIT}?{query}").json()["items"]] == found


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "since=2026-13-01", "result=good", "result=done,failed", "format=xml", "cursor=x",
     "after=-1", "fields=secret", "limit=0", "since=2026-11-22T25:00Z"],
)  # fmt: skip
def test_a_wrong_parameter_is_named(told: Any, query: str) -> None:
    answer = told.get(f"{AUDIT}?{query}")
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_fields_on_request(told: Any) -> None:
    assert told.get(AUDIT + "?fields=id,who&limit=1").json()["items"] == [{"id": 5, "who": "eve"}]


@pytest.mark.parametrize("chosen", [{"Accept": "text/csv"}, {}])
def test_as_csv_for_spreadsheets_that_run_nothing_of_it(told: Any, chosen: dict[str, str]) -> None:
    answer = told.ask("GET", AUDIT + ("" if chosen else "?format=csv"), chosen)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == ["5", "4", "3", "2", "1"]
    assert (rows[3]["reason"], rows[2]["status"], rows[4]["detail"]) == ("'=1+1", "401", '{"task":1}')


def test_as_json_lines_from_which_the_chain_can_be_reckoned(told: Any) -> None:
    first = told.ask("GET", AUDIT + "?after=0&limit=3", {"Accept": "application/x-ndjson"})
    assert first.headers["content-type"] == "application/x-ndjson"
    (following,) = re.findall(r'<([^>]+)>; rel="next"', first.headers["link"])
    second = told.ask("GET", following, {"Accept": "application/x-ndjson"})
    assert "link" not in second.headers
    items = [json.loads(line) for line in (first.text + second.text).splitlines()]
    assert [item["id"] for item in items] == [1, 2, 3, 4, 5]
    assert all(after["previous"] == before["hash"] for before, after in zip(items, items[1:]))


def test_who_accepts_none_of_its_forms_is_told_which_there_are(told: Any) -> None:
    answer = told.ask("GET", AUDIT, {"Accept": "image/png"})
    assert (answer.status, "text/csv" in answer.text) == (406, True)


def test_json_where_everything_is_accepted_alike(told: Any) -> None:
    for accept in ("*/*", "text/csv, application/json", "application/*"):
        assert told.ask("GET", AUDIT, {"Accept": accept}).headers["content-type"] == "application/json"


def test_the_page_shows_who_did_what_and_that_it_is_whole(told: Any) -> None:
    shown = read(told, "/audit")
    for words in (
        "bob",
        "deleteMachine",
        "=1+1",
        "nobody known",
        "refused",
        "401",
        "seen on the cloud instance",
    ):
        assert words in shown.text, words
    assert "All of them are whole" in shown.text
    assert str(told.store.audit.head()) in shown.text
    assert "/machines/b" in shown.links


def test_the_page_filters_and_goes_on(told: Any) -> None:
    assert "deleteMachine" not in read(told, "/audit?who=eve&result=&since=").text
    assert "No record fits this filter." in read(told, "/audit?who=nobody").text
    for number in range(150):
        told.store.audit.add(Deed("bob", f"do{number}"))
    shown = read(told, "/audit?who=bob")
    (older,) = [link for link in shown.links if "before=" in link]
    assert "createMachine" in read(told, older).text
    assert "/audit?who=bob" in read(told, older).links


def test_the_page_warns_when_the_record_is_not_whole(told: Any) -> None:
    raw = told.store._writer.connection.raw
    raw.execute("DROP TRIGGER audit_stays")
    raw.execute("UPDATE audit SET who = 'carol' WHERE id = 2")
    shown = read(told, "/audit")
    assert "The record is not whole" in shown.text
    assert "record 2 was changed" in shown.text


def test_only_an_admin_reads_it(small: Any, front: Any) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        made = front(Says(replace(VIEWER, role=role)))
        assert ask(made, "GET", AUDIT).status == ask(made, "GET", "/audit").status == 403
    assert ask(front(Says(ANONYMOUS)), "GET", AUDIT).status == 401


def test_a_form_that_asks_why_has_the_answer_on_the_record(small: Any) -> None:
    form = read(small, "/machines/build1/delete").form("/machines/build1/delete")
    assert post(small, form, name="build1", reason="replaced by build2").status == 303
    fits(last(small), action="deleteMachine", reason="replaced by build2")


def test_a_rebuild_says_in_its_body_why(small: Any) -> None:
    body = {"profile": "none", "lose": [], "reason": "a new disk"}
    small.send("POST", CLOUD1 + "/rebuild", body)
    fits(last(small), action="rebuildCloud", target=CLOUD1, result="failed", reason="a new disk")
