"""What goes wrong while a task is under way, on a host that outlives the minion and that others use too."""

from __future__ import annotations

import re
import signal
from typing import Any

from demo.cloud import Cloud
from tests.integration.machines import done, ended, free_mb, get, machine, send, spec, state_of
from tests.integration.support import eventually, refresh

CLOUD = "cloud1.example.org"


def volumes(host: Any) -> list[str]:
    return [v.name() for pool in host.listAllStoragePools() for v in pool.listAllVolumes()]


def disk_step(cloud: Cloud, task: Any) -> tuple[str, str]:
    """State and detail of the first step that needs the cloud instance."""
    found = get(cloud, f"/tasks/{task['id']}")["steps"][1]
    return found["state"], found["detail"]


def begun_without_a_minion(cloud: Cloud, name: str) -> Any:
    """A create whose cloud instance dies before the first step that needs it."""
    refresh(cloud, CLOUD)
    send(cloud, "POST", "/placements", spec(name))  # now is known what it has
    cloud.processes[CLOUD].send(signal.SIGKILL)
    reply = send(cloud, "POST", "/machines", spec(name))
    assert reply.status == 202, reply.body
    cloud.end(CLOUD)
    return reply.json


def test_a_cloud_instance_that_comes_back_in_time_goes_on(lasting_cloud: Cloud, host: Any) -> None:
    name = "late1.example.org"
    task = begun_without_a_minion(lasting_cloud, name)
    eventually(
        lambda: disk_step(lasting_cloud, task)[1].startswith(f"waits for {CLOUD} since"),
        "the step to say that it waits",
    )
    assert volumes(host) == []
    lasting_cloud.start_minion(CLOUD)
    found = send(lasting_cloud, "GET", f"/tasks/{task['id']}", Prefer="wait=50").json
    assert (found["state"], machine(lasting_cloud, name)["state"]) == ("done", "running")
    assert len(volumes(host)) == 1
    done(lasting_cloud, "DELETE", f"/machines/{name}?force=true")
    assert volumes(host) == []


def test_one_that_stays_away_fails_the_task_and_leaves_nothing(lasting_cloud: Cloud, host: Any) -> None:
    name, free = "late2.example.org", free_mb(lasting_cloud)
    task = begun_without_a_minion(lasting_cloud, name)
    eventually(lambda: disk_step(lasting_cloud, task)[0] == "undoing", "the task to lose its patience", 120)
    lasting_cloud.start_minion(CLOUD)
    found = send(lasting_cloud, "GET", f"/tasks/{task['id']}", Prefer="wait=50").json
    assert found["state"] == "failed"
    assert re.match(r"given up after [1-9]\d+ s: ", found["error"]) and CLOUD in found["error"]
    refresh(lasting_cloud, CLOUD)
    assert (state_of(lasting_cloud, name), volumes(host), free_mb(lasting_cloud)) == (None, [], free)


def test_a_disk_that_filled_up_meanwhile_fails_the_task_in_its_words(lasting_cloud: Cloud, host: Any) -> None:
    send(lasting_cloud, "POST", "/placements", spec("x1"))  # looks, and believes it for a minute
    (pool,) = host.listAllStoragePools()
    other = pool.createXML(
        "<volume><name>other.raw</name><capacity unit='GiB'>98</capacity>"
        "<allocation unit='GiB'>98</allocation></volume>"
    )
    try:
        name = "full1.example.org"
        task = ended(lasting_cloud, "POST", "/machines", spec(name, disks=[{"size_gb": 1}, {"size_gb": 10}]))
        assert task["state"] == "failed"
        assert f"storage pool '{pool.name()}' has 2 GB free" in task["error"]
        assert [s["state"] for s in task["steps"]] == [
            "done",
            "undone",
            "failed",
            "skipped",
            "skipped",
            "skipped",
        ]
        assert volumes(host) == ["other.raw"]
        assert state_of(lasting_cloud, name) is None
    finally:
        other.delete()


def test_a_machine_that_somebody_renamed_keeps_what_we_know_of_it(lasting_cloud: Cloud, host: Any) -> None:
    name = "mine1.example.org"
    done(lasting_cloud, "POST", "/machines", spec(name, tags={"a": "b"}, start=False))
    host.lookupByName(name).rename("theirs1.example.org")
    refresh(lasting_cloud, CLOUD)
    found = machine(lasting_cloud, "theirs1.example.org")
    assert (found["tags"], found["managed"]) == ({"a": "b"}, True)
    (event,) = (
        e for e in get(lasting_cloud, "/events?limit=1000")["items"] if f"name {name} -> theirs1" in e["text"]
    )
    assert event["kind"] == "machine.changed"
    done(lasting_cloud, "DELETE", "/machines/theirs1.example.org")
    assert volumes(host) == []
