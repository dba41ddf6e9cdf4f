"""The REST interface over real HTTP."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from cloudmasterd.errors import CloudRefused, CloudUnreachable, RemoteFault
from cloudmasterd.times import time_text
from cloudmasterd.web.represent import CLOUD_FIELDS, MACHINE_FIELDS, RESOURCES_FIELDS
from tests.fakes import wait_for

CLOUDS, MACHINES = "/api/v1/clouds", "/api/v1/machines"
CLOUD1 = CLOUDS + "/cloud1.example.org"


def names(answer: Any) -> list[str]:
    return [item["name"] for item in answer.json()["items"]]


def test_a_cloud_instance_has_the_keys_that_scripts_rely_on(small: Any) -> None:
    item = small.get(CLOUD1).json()
    assert tuple(item) == CLOUD_FIELDS
    assert item["state"] == "up"
    assert (item["memory_mb"], item["reserved_memory_mb"]) == (65536, 3276)
    assert item["free_memory_mb"] == 65536 - 3276 - 512 - 128
    assert (item["machines"], item["running"]) == (2, 1)
    assert item["observed_at"] == "2026-11-22T08:00:00.000Z"
    assert item["certificate_expires_at"] == "2027-09-18T08:00:00.000Z"


def test_a_machine_instance_has_the_keys_that_scripts_rely_on(small: Any) -> None:
    answer = small.get(MACHINES + "/jboss1.example.org")
    item = answer.json()
    assert tuple(item) == MACHINE_FIELDS
    assert item["etag"] == answer.headers["etag"]
    assert item["cloud"] == "cloud1.example.org"
    assert small.get(f"{MACHINES}/{item['uuid']}").json() == item


def test_an_unreachable_cloud_instance_stays_with_its_figures_and_the_reason(small: Any) -> None:
    item = small.get(CLOUDS + "/cloud2.example.org").json()
    assert (item["state"], item["error"]) == ("unreachable", "connection refused")
    assert item["memory_mb"] == 65536
    assert item["observed_at"] == "2026-11-22T07:53:00.000Z"


def test_a_cloud_instance_that_never_answered_is_new_and_without_figures(small: Any) -> None:
    item = small.get(CLOUDS + "/cloud3.example.org").json()
    assert item["state"] == "new"
    assert item["memory_mb"] is None and item["observed_at"] is None


def test_lists_are_by_name_and_end_with_null(small: Any) -> None:
    answer = small.get(CLOUDS)
    assert names(answer) == ["cloud1.example.org", "cloud2.example.org", "cloud3.example.org"]
    assert answer.json()["next"] is None
    assert names(small.get(MACHINES)) == ["build1", "jboss1.example.org", "web1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("cloud=cloud2.example.org", ["web1"]),
        ("cloud=cloud1.example.org,cloud2.example.org&state=running", ["jboss1.example.org", "web1"]),
        ("state=off&state=running&cloud=cloud1.example.org", ["build1", "jboss1.example.org"]),
        ("state=crashed", []),
    ],
)
def test_machines_can_be_filtered(small: Any, query: str, found: list[str]) -> None:
    assert names(small.get(f"{MACHINES}?{query}")) == found


def test_clouds_can_be_filtered_by_state(small: Any) -> None:
    assert names(small.get(CLOUDS + "?state=new,unreachable")) == ["cloud2.example.org", "cloud3.example.org"]


def test_fields_leaves_the_chosen_keys_only(small: Any) -> None:
    items = small.get(MACHINES + "?fields=uuid,name&limit=1").json()["items"]
    assert [list(item) for item in items] == [["name", "uuid"]]


def test_next_keeps_filters_limit_and_fields(small: Any) -> None:
    first = small.get(MACHINES + "?limit=1&fields=name&state=running,off&cloud=cloud1.example.org").json()
    assert first["next"].startswith(MACHINES + "?cursor=")
    second = small.get(first["next"]).json()
    assert [first["items"], second["items"]] == [[{"name": "build1"}], [{"name": "jboss1.example.org"}]]
    assert second["next"] is None


def test_pages_neither_lose_nor_repeat_a_machine_while_others_come_and_go(
    world: Any, make_machine: Any
) -> None:
    lasting = [make_machine(f"m{i:03}") for i in range(0, 120, 2)]
    passing = [make_machine(f"m{i:03}") for i in range(1, 120, 2)]
    seen: list[str] = []
    target, step = MACHINES + "?limit=7", 0
    while target:
        world.fill({"cloud1": lasting + passing[step::3]})
        page = world.get(target).json()
        seen += [item["name"] for item in page["items"]]
        target, step = page["next"], step + 1
    assert len(seen) == len(set(seen))
    assert {item.name for item in lasting} <= set(seen)


def test_clouds_page_to_their_end(world: Any) -> None:
    wanted = [f"cloud{i:02}" for i in range(25)]
    world.store.sync_clouds(dict.fromkeys(wanted))
    seen, target = [], CLOUDS + "?limit=4"
    while target:
        answer = world.get(target)
        seen += names(answer)
        target = answer.json()["next"]
    assert seen == wanted


@pytest.mark.parametrize("target", [CLOUDS, MACHINES, CLOUD1, MACHINES + "/web1", "/api/v1/openapi.json"])
def test_what_has_not_changed_is_not_sent_again(small: Any, target: str) -> None:
    tag = small.get(target).headers["etag"]
    for header in (tag, f'"other", {tag}', "*"):
        again = small.get(target, If_None_Match=header)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == tag
    assert small.get(target, If_None_Match='"other"').status == 200


def test_a_poll_that_finds_nothing_new_changes_ages_but_no_tag(small: Any, make_machine: Any) -> None:
    before = small.get(MACHINES), small.get(CLOUD1)
    later = small.clock.time + timedelta(seconds=15)
    small.fill(
        {"cloud1.example.org": [make_machine("jboss1.example.org"), make_machine("build1", "off", 2048)]},
        later,
    )
    after = small.get(MACHINES), small.get(CLOUD1)
    assert [a.headers["etag"] for a in after] == [b.headers["etag"] for b in before]
    assert after[1].json()["observed_at"] == "2026-11-22T08:00:15.000Z"
    assert small.get(MACHINES, If_None_Match=before[0].headers["etag"]).status == 304


def test_a_changed_fact_changes_the_tags(small: Any, make_machine: Any) -> None:
    before = small.get(MACHINES), small.get(MACHINES + "/jboss1.example.org"), small.get(CLOUD1)
    small.fill({"cloud1.example.org": [make_machine("jboss1.example.org", "paused")]})
    for was in before:
        target = {0: MACHINES, 1: MACHINES + "/jboss1.example.org", 2: CLOUD1}[before.index(was)]
        now = small.get(target, If_None_Match=was.headers["etag"])
        assert now.status == 200, target
        assert now.headers["etag"] != was.headers["etag"]
    assert small.get(MACHINES + "/jboss1.example.org").json()["state"] == "paused"


def test_a_kept_response_does_not_outlive_a_write(small: Any, make_machine: Any) -> None:
    assert len(names(small.get(MACHINES))) == 3
    assert len(names(small.get(MACHINES))) == 3
    small.fill({"cloud1.example.org": [make_machine("jboss1.example.org")]})
    assert names(small.get(MACHINES)) == ["jboss1.example.org", "web1"]


@pytest.mark.parametrize(
    ("query", "field", "hint"),
    [
        ("limit=0", "limit", "1 to 1000"),
        ("limit=1001", "limit", "1 to 1000"),
        ("limit=", "limit", "1 to 1000"),
        ("limit=1_0", "limit", "1 to 1000"),
        ("limit=%D9%A3", "limit", "1 to 1000"),
        ("limit=5&limit=6", "limit", "2 times"),
        ("cursor=", "cursor", "'next'"),
        ("cursor=garbage", "cursor", "'next'"),
        ("cursor=WzFd", "cursor", "'next'"),
        ("cursor=%FF", "query", "UTF-8"),
        ("state=runing", "state", "did you mean 'running'?"),
        ("state=running,,off", "state", "empty name"),
        ("cloud=cloud1.exampel.org", "cloud", "did you mean 'cloud1.example.org'?"),
        ("cloud=", "cloud", "empty name"),
        ("fields=nam", "fields", "did you mean 'name'?"),
        ("stat=off", "stat", "did you mean 'state'?"),
        ("&".join(f"a{i}=1" for i in range(60)), "query", "50"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_would_be_right(
    small: Any, query: str, field: str, hint: str
) -> None:
    answer = small.get(f"{MACHINES}?{query}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["errors"][0]["field"] == field
    assert hint in problem["errors"][0]["message"]
    assert hint in problem["detail"]


def test_a_cursor_of_another_list_is_refused(small: Any) -> None:
    cursor = small.get(CLOUDS + "?limit=1").json()["next"].split("cursor=")[1].split("&")[0]
    assert small.get(f"{MACHINES}?cursor={cursor}").status == 400
    assert small.get(f"{CLOUDS}?cursor={cursor}").status == 200


def test_all_wrong_parameters_are_named_at_once(small: Any) -> None:
    problem = small.get(MACHINES + "?limit=x&state=y&nope=1").json()
    assert {error["field"] for error in problem["errors"]} == {"limit", "state", "nope"}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (CLOUDS + "/cloud9.example.org", "cloud9.example.org"),
        (MACHINES + "/jboss9.example.org", "jboss9.example.org"),
        ("/api/v1/machine", "did you mean /api/v1/machines?"),
        ("/api/v1/nothing/at/all", "openapi.json"),
        ("/api/v1/machines/", "/api/v1/machines"),
        ("/api", "openapi.json"),
    ],
)
def test_what_is_not_there_is_named_with_where_to_look(small: Any, target: str, words: str) -> None:
    answer = small.get(target)
    assert answer.status == 404
    assert words in answer.json()["detail"]
    assert answer.json()["errors"] == []


@pytest.mark.parametrize(
    "segment",
    ["..", ".", "%2e%2e", "a%2fb", "a%252f..%252fb", "%00", "a%0d%0aX-Evil:1", "x" * 300, "%e2%80%ae"],
)
def test_names_that_can_be_none_reach_nothing(small: Any, segment: str) -> None:
    for prefix in (CLOUDS, MACHINES, "/clouds", "/machines", "/static"):
        answer = small.get(f"{prefix}/{segment}")
        assert answer.status == 404
        assert "x-evil" not in answer.headers


def test_a_path_that_is_not_utf_8_is_a_bad_request(small: Any) -> None:
    assert small.get(MACHINES + "/%ff").status == 400


def test_names_are_decoded_once(small: Any, make_machine: Any) -> None:
    for name in ("100% Größe", "a+b", "a%20b", "?x=1&y#z"):
        small.fill({"cloud1.example.org": [make_machine(name)]})
        assert small.get(f"{MACHINES}/{quote(name, safe='')}").json()["name"] == name


def test_a_shared_name_is_a_conflict_with_both_uuids(small: Any, make_machine: Any) -> None:
    uids = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"]
    small.fill({"cloud1.example.org": [make_machine("twin", uid=uids[0])]})
    small.fill({"cloud3.example.org": [make_machine("twin", uid=uids[1])]})
    answer = small.get(MACHINES + "/twin")
    assert answer.status == 409
    assert all(uid in answer.json()["detail"] for uid in uids)
    assert small.get(f"{MACHINES}/{uids[1]}").json()["cloud"] == "cloud3.example.org"


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("DELETE", MACHINES, "GET, HEAD, OPTIONS, POST"),
        ("PUT", CLOUD1, "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("GET", CLOUD1 + "/refresh", "OPTIONS, POST"),
        ("HEAD", CLOUD1 + "/refresh", "OPTIONS, POST"),
        ("BREW", "/", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(small: Any, method: str, target: str, allow: str) -> None:
    answer = small.ask(method, target)
    assert (answer.status, answer.headers["allow"]) == (405, allow)


def test_options_tells_the_methods(small: Any) -> None:
    answer = small.ask("OPTIONS", CLOUD1 + "/refresh")
    assert (answer.status, answer.headers["allow"], answer.body) == (204, "OPTIONS, POST", b"")
    assert small.ask("OPTIONS", "/nothing").status == 404


@pytest.mark.parametrize("target", [MACHINES, CLOUD1, "/api/v1/openapi.json", "/", "/healthz"])
def test_head_has_the_headers_of_get_and_no_body(small: Any, target: str) -> None:
    get, head = small.get(target), small.ask("HEAD", target)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("application/*;q=0.1, text/html", 200),
        ("", 200),
        ("text/html", 406),
        ("application/json;q=0, */*", 406),
        ("application/json;q=0", 406),
    ],
)
def test_json_is_for_those_who_accept_it(small: Any, accept: str, status: int) -> None:
    for _ in range(2):  # the second time out of what was kept
        assert small.get(MACHINES, Accept=accept).status == status


def test_a_refresh_answers_with_what_the_cloud_instance_is_now(small: Any) -> None:
    answer = small.ask("POST", CLOUD1 + "/refresh")
    assert (answer.status, answer.json()["name"]) == (200, "cloud1.example.org")
    assert small.fleet.asked == ["cloud1.example.org"]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (CloudUnreachable("no answer within 10 s"), 504, "no answer within 10 s"),
        (CloudRefused("it does not trust our certificate"), 502, "trust"),
        (RemoteFault("HostError", "libvirt is gone", "SECRET TRACEBACK"), 502, "HostError: libvirt is gone"),
    ],
)
def test_a_refresh_that_fails_says_why(small: Any, error: Exception, status: int, words: str) -> None:
    small.fleet.errors["cloud1.example.org"] = error
    answer = small.ask("POST", CLOUD1 + "/refresh")
    assert answer.status == status
    assert words in answer.json()["detail"]
    assert b"SECRET" not in answer.body


def test_a_refresh_of_what_is_not_there_is_404(small: Any) -> None:
    assert small.ask("POST", CLOUDS + "/cloud9/refresh").status == 404


def test_another_site_cannot_make_a_browser_refresh(small: Any) -> None:
    for target in (CLOUD1 + "/refresh", "/clouds/cloud1.example.org/refresh"):
        assert small.ask("POST", target, {"Sec-Fetch-Site": "cross-site"}).status == 403
    assert small.fleet.asked == []
    assert small.ask("POST", CLOUD1 + "/refresh", {"Sec-Fetch-Site": "same-origin"}).status == 200


def test_slow_refreshes_leave_room_for_everything_else(small: Any) -> None:
    small.fleet.hold = threading.Event()
    askers = [threading.Thread(target=small.ask, args=("POST", CLOUD1 + "/refresh")) for _ in range(12)]
    for asker in askers:
        asker.start()
    wait_for(lambda: len(small.fleet.asked) == 12, "as many as may")
    answer = small.ask("POST", CLOUD1 + "/refresh")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert small.get(MACHINES).status == 200
    small.fleet.hold.set()
    for asker in askers:
        asker.join(60)
    assert small.ask("POST", CLOUD1 + "/refresh").status == 200


def test_a_bug_is_told_by_an_id_and_nothing_else(small: Any, caplog: pytest.LogCaptureFixture) -> None:
    small.fleet.errors["cloud1.example.org"] = ZeroDivisionError("SECRET")
    answer = small.ask("POST", CLOUD1 + "/refresh")
    assert answer.status == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"SECRET" not in answer.body and b"Traceback" not in answer.body
    error_id = answer.json()["detail"].rsplit(" ", 1)[1]
    logged = [record for record in caplog.records if error_id in record.getMessage()]
    assert len(logged) == 1 and logged[0].exc_info


def test_health_and_readiness(small: Any) -> None:
    assert small.get("/healthz", Accept="text/plain").json() == {"status": "ok"}
    assert small.get("/readyz").json() == {"ready": True, "reasons": []}
    small.problems.append("the poller does not run")
    answer = small.get("/readyz")
    assert (answer.status, answer.json()) == (503, {"ready": False, "reasons": ["the poller does not run"]})


def test_a_name_with_line_ends_adds_no_header(small: Any, make_machine: Any) -> None:
    evil = "a\r\nX-Evil: 1\r\n\r\n<html>"
    small.fill({"cloud1.example.org": [make_machine(evil), make_machine("b")]})
    for target in (MACHINES + "?limit=1", "/machines", "/clouds/cloud1.example.org"):
        answer = small.get(target)
        assert answer.status == 200 and "x-evil" not in answer.headers
    following = small.get(MACHINES + "?limit=1").json()["next"]
    assert names(small.get(following)) == ["b"]


def test_what_a_cloud_instance_has_to_give_is_told_as_last_heard(small: Any) -> None:
    path = "/api/v1/clouds/cloud1.example.org"
    never = small.get(path + "/resources")
    assert never.status == 200 and never.headers["cache-control"] == "no-store"
    assert tuple(never.json()) == RESOURCES_FIELDS
    assert {key for key, value in never.json().items() if value is not None} == {"cloud"}
    assert small.send("POST", path + "/refresh").status == 200
    heard = small.get(path + "/resources").json()
    assert (heard["networks"], heard["isos"], heard["koan"]) == (["default"], ["default/boot.iso"], True)
    assert heard["pools"] == [{"name": "default", "capacity_gb": 900, "free_gb": 800, "default": True}]
    assert (heard["age_s"], heard["observed_at"]) == (0, time_text(small.clock.now()))
    assert small.get("/api/v1/clouds/none.example.org/resources").status == 404
