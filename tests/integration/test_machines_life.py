"""The life of machine instances over REST, on libvirt's test driver behind real minions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.cloud import Cloud
from demo.nodes import ISO
from tests.integration.machines import (
    OVERHEAD_MB,
    done,
    ended,
    free_mb,
    get,
    latest_event,
    machine,
    refused,
    send,
    spec,
    state_of,
    wait_for_event,
)
from tests.integration.support import func_call, get_cloud, refresh

WHERE = "cloud2.example.org"


@pytest.fixture
def made(cloud: Cloud) -> Iterator[str]:
    """A running machine instance, gone afterwards whatever became of it."""
    name = "life1.example.org"
    done(cloud, "POST", "/machines", spec(name, cloud=WHERE))
    yield name
    for left in (name, "life2.example.org"):
        if state_of(cloud, left) is not None:
            done(cloud, "DELETE", f"/machines/{left}?force=true")


def act(cloud: Cloud, name: str, action: str) -> str:
    """The state of a machine instance after an action that went well."""
    task = done(cloud, "POST", f"/machines/{name}/{action}")
    assert task["kind"] == f"machine.{action}"
    return str(machine(cloud, name)["state"])


def test_an_empty_one_goes_from_nothing_to_running(cloud: Cloud) -> None:
    name, before = "blank1.example.org", free_mb(cloud)
    body = spec(
        name, vcpus=2, networks=["default"], source={"kind": "blank"}, tags={"team": "web"}, notes="new",
        autostart=True,
    )  # fmt: skip
    reply = send(cloud, "POST", "/machines", body, Prefer="wait=50")
    task = reply.json
    assert (reply.status, task["state"]) == (200, "done"), task
    assert reply.headers["location"] == f"/api/v1/tasks/{task['id']}"
    assert [s["name"] for s in task["steps"]] == ["check", "disk:0", "define", "start", "see"]
    assert {s["state"] for s in task["steps"]} == {"done"}
    assert task["steps"][2]["detail"] == "bios", "the test driver has no types of machines"

    found = machine(cloud, name)
    assert (found["state"], found["memory_mb"], found["vcpus"], found["autostart"], found["managed"]) == (
        "running", 512, 2, True, True,
    )  # fmt: skip
    assert (found["tags"], found["notes"], found["cloud"]) == ({"team": "web"}, "new", task["cloud"])
    assert found["cloud"] == max(before, key=lambda n: before[n]), "the one with the most free memory"
    assert free_mb(cloud)[task["cloud"]] == before[task["cloud"]] - 512 - OVERHEAD_MB
    assert name in func_call(cloud, task["cloud"], "virt", "info")

    gone = done(cloud, "DELETE", f"/machines/{name}?force=true")
    assert gone["result"]["disks_deleted"] == [f"default/{name}-{found['uuid'][:8]}-1.qcow2"]
    assert state_of(cloud, name) is None
    assert free_mb(cloud) == before


def test_one_that_begins_with_an_iso_image_may_stay_off(cloud: Cloud) -> None:
    name, before = "iso1.example.org", free_mb(cloud)
    source = {"kind": "iso", "volume": f"default/{ISO}"}
    task = done(cloud, "POST", "/machines", spec(name, source=source, start=False))
    assert "start" not in [s["name"] for s in task["steps"]]
    assert machine(cloud, name)["state"] == "off"
    assert free_mb(cloud) == before, "what is off costs nothing"
    assert act(cloud, name, "start") == "running"
    assert free_mb(cloud)[task["cloud"]] == before[task["cloud"]] - 512 - OVERHEAD_MB
    gone = done(cloud, "DELETE", f"/machines/{name}?force=true")
    assert [kept["disk"] for kept in gone["result"]["disks_kept"]] == [f"default/{ISO}"]
    again = done(cloud, "POST", "/machines", spec(name, source=source, start=False))
    assert again["state"] == "done", "the ISO image outlives those that began with it"
    done(cloud, "DELETE", f"/machines/{name}")


def test_it_does_what_it_is_told(cloud: Cloud, made: str) -> None:
    assert act(cloud, made, "pause") == "paused"
    assert act(cloud, made, "resume") == "running"
    for action in ("reboot", "reset"):
        assert act(cloud, made, action) == "running"
    assert act(cloud, made, "shutdown") == "off"
    assert act(cloud, made, "start") == "running"
    assert act(cloud, made, "poweroff") == "off"


def test_an_action_that_does_not_suit_its_state_is_refused_with_advice(cloud: Cloud, made: str) -> None:
    status, words = refused(cloud, "POST", f"/machines/{made}/start")
    assert status == 409 and words.startswith(f"{made} is running: ")
    act(cloud, made, "poweroff")
    for action in ("pause", "resume", "shutdown", "reset"):
        status, words = refused(cloud, "POST", f"/machines/{made}/{action}")
        assert status == 409 and words.startswith(f"{made} is off: ")


def test_its_memory_changes_now_or_at_the_next_start_and_the_answer_says_which(
    cloud: Cloud, made: str
) -> None:
    less = done(cloud, "PATCH", f"/machines/{made}", {"memory_mb": 384})
    assert less["result"]["memory_mb"] == "now"
    assert machine(cloud, made)["memory_mb"] == 384
    before = free_mb(cloud)[WHERE]
    more = done(cloud, "PATCH", f"/machines/{made}", {"memory_mb": 1024, "vcpus": 2})
    assert more["result"]["memory_mb"] == "next-start"
    assert free_mb(cloud)[WHERE] == before
    act(cloud, made, "poweroff")
    act(cloud, made, "start")
    found = machine(cloud, made)
    assert (found["memory_mb"], found["max_memory_mb"], found["vcpus"]) == (1024, 1024, 2)
    act(cloud, made, "poweroff")
    assert done(cloud, "PATCH", f"/machines/{made}", {"memory_mb": 256})["state"] == "done"
    assert machine(cloud, made)["max_memory_mb"] == 256


def test_it_gets_another_name_while_it_is_off(cloud: Cloud, made: str) -> None:
    status, words = refused(cloud, "PATCH", f"/machines/{made}", {"name": "life2.example.org"})
    assert status == 409 and "it can be renamed while it is off" in words
    act(cloud, made, "poweroff")
    uuid = machine(cloud, made)["uuid"]
    done(cloud, "PATCH", f"/machines/{made}", {"name": "life2.example.org"})
    assert state_of(cloud, made) is None
    assert machine(cloud, "life2.example.org")["uuid"] == uuid


def test_tags_and_notes_change_at_once_for_whoever_read_the_latest(cloud: Cloud, made: str) -> None:
    old = machine(cloud, made)["etag"]
    first = send(cloud, "PATCH", f"/machines/{made}", {"notes": "rack 4", "tags": {"a": "b"}}, If_Match=old)
    assert (first.status, first.json["notes"], first.json["tags"]) == (200, "rack 4", {"a": "b"})
    status, words = refused(cloud, "PATCH", f"/machines/{made}", {"notes": "rack 5"}, If_Match=old)
    assert status == 412 and "read it again" in words
    assert machine(cloud, made)["notes"] == "rack 4"
    fresh = machine(cloud, made)["etag"]
    assert fresh == first.json["etag"] != old
    assert refused(cloud, "POST", f"/machines/{made}/pause", If_Match=old)[0] == 412
    done(cloud, "POST", f"/machines/{made}/pause", If_Match=fresh)


def test_a_running_one_is_deleted_only_with_force(cloud: Cloud, made: str) -> None:
    status, words = refused(cloud, "DELETE", f"/machines/{made}")
    assert status == 409 and f"{made} is running" in words and "force" in words
    assert machine(cloud, made)["state"] == "running"
    done(cloud, "DELETE", f"/machines/{made}?force=true")
    assert state_of(cloud, made) is None


def test_disks_are_kept_on_request(cloud: Cloud, made: str) -> None:
    act(cloud, made, "poweroff")
    volume = f"{made}-{machine(cloud, made)['uuid'][:8]}-1.qcow2"
    task = done(cloud, "DELETE", f"/machines/{made}?keep_disks=true")
    assert [kept["disk"] for kept in task["result"]["disks_kept"]] == [f"default/{volume}"]
    assert task["result"]["disks_deleted"] == []


def test_one_made_by_another_tool_is_managed_and_adopted(cloud: Cloud) -> None:
    other = next(m for m in cloud.node(WHERE).machines if m.state == "off")
    assert machine(cloud, other.name)["managed"] is False
    assert act(cloud, other.name, "start") == "running"
    assert machine(cloud, other.name)["managed"] is False, "managing it does not make it ours"
    done(cloud, "POST", f"/machines/{other.name}/adopt")
    assert machine(cloud, other.name)["managed"] is True
    status, words = refused(cloud, "POST", f"/machines/{other.name}/adopt")
    assert status == 409 and "already" in words
    act(cloud, other.name, "poweroff")


def test_a_cloud_instance_in_maintenance_takes_nothing_and_keeps_what_it_has(cloud: Cloud, made: str) -> None:
    why = {"maintenance": True, "maintenance_reason": "a new disk"}
    assert send(cloud, "PATCH", f"/clouds/{WHERE}", why).status == 200
    try:
        assert get_cloud(cloud, WHERE)["state"] == "maintenance"
        status, words = refused(cloud, "POST", "/machines", spec("m1.example.org", cloud=WHERE))
        assert status == 409 and f"{WHERE} cannot take it: in maintenance since" in words
        assert "(a new disk)" in words
        assert act(cloud, made, "poweroff") == "off"
        elsewhere = ended(cloud, "POST", "/machines", spec("m2.example.org"))
        assert elsewhere["cloud"] != WHERE and elsewhere["state"] == "done"
        done(cloud, "DELETE", "/machines/m2.example.org?force=true")
    finally:
        assert send(cloud, "PATCH", f"/clouds/{WHERE}", {"maintenance": False}).status == 200
    assert get_cloud(cloud, WHERE)["state"] == "up"


def test_what_another_tool_does_is_an_event(cloud: Cloud, made: str) -> None:
    uuid = machine(cloud, made)["uuid"]
    refresh(cloud, WHERE)  # the first look after a task may still see what that did
    after = latest_event(cloud)
    func_call(cloud, WHERE, "virt", "destroy", made)
    event = wait_for_event(cloud, after, "machine.changed", "state running -> off")
    assert (event["machine"], event["cloud"], event["task"]) == (uuid, WHERE, None)

    func_call(cloud, WHERE, "virt", "undefine", made)
    event = wait_for_event(cloud, after, "machine.vanished", made)
    assert (event["machine"], event["task"]) == (uuid, None)
    assert state_of(cloud, made) is None
    status, words = refused(cloud, "POST", f"/machines/{made}/start")
    assert status == 404 and made in words


def test_what_we_do_is_an_event_that_names_its_task(cloud: Cloud, made: str) -> None:
    after = latest_event(cloud)
    task = done(cloud, "POST", f"/machines/{made}/pause")
    event = wait_for_event(cloud, after, "machine.changed", "state running -> paused")
    assert event["task"] == f"/api/v1/tasks/{task['id']}"


def test_somebody_who_waits_for_events_hears_at_once(cloud: Cloud, made: str) -> None:
    after = latest_event(cloud)
    func_call(cloud, WHERE, "virt", "destroy", made)
    page = get(cloud, f"/events?after={after}&wait=30")
    assert "state running -> off" in page["items"][0]["text"]


def test_all_of_it_left_the_cloud_as_it_was(cloud: Cloud) -> None:
    for name in cloud.names:
        refresh(cloud, name)
    there = {m["name"] for m in get(cloud, "/machines?limit=1000")["items"]}
    assert there == {m.name for node in cloud.nodes for m in node.machines}
