"""Master and minion are killed with -9 at any moment of creates and deletes; nothing is lost or doubled."""

from __future__ import annotations

import http.client
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from demo.cloud import MASTER, Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.machines import get, send, spec, tasks
from tests.integration.support import Reply, eventually, list_machines, refresh

MINION = "cloud1.example.org"
NAMES = [f"hardy{number}.example.org" for number in range(1, 11)]
WITHIN_S = 200
LATEST_KILL_S = 1.5  # the ten of them take about that long


@pytest.fixture(scope="module")
def hardy(tmp_path_factory: pytest.TempPathFactory, libvirt_uri: str, host: Any) -> Iterator[Cloud]:
    made = Cloud(
        tmp_path_factory.mktemp("hardy"), 1, ports=free_ports(), log=write_log, libvirt_uri=libvirt_uri,
        settings={"poll_interval_s": 1, "minion_timeout_s": 5},
    )  # fmt: skip
    try:
        made.start()
        yield made
    finally:
        made.stop()


def insist(cloud: Cloud, method: str, path: str, body: Any = None) -> Reply:
    """Ask until there is an answer, as a script would: with the same key, so that it is done once."""
    key, deadline = str(uuid4()), time.monotonic() + WITHIN_S
    while True:
        try:
            reply = send(cloud, method, path, body, timeout_s=30, Idempotency_Key=key)
            if reply.status == 202 or (reply.status not in (409, 503, 504)):
                return reply
        except (OSError, http.client.HTTPException):
            reply = None
        assert time.monotonic() < deadline, f"{method} {path}: {reply and reply.body!r}"
        time.sleep(0.2)


def kill(cloud: Cloud, victims: Sequence[str], after_s: float) -> float:
    """Kill them at that moment and start them again; returns when all are back."""
    time.sleep(after_s)
    for name in victims:
        cloud.processes[name].send(signal.SIGKILL)
    for name in victims:
        cloud.end(name)
    for name in victims:
        if name == MASTER:
            cloud.start_master()
        else:
            cloud.start_minion(name)
    return time.monotonic()


def volumes(host: Any) -> list[str]:
    return [v.name() for pool in host.listAllStoragePools() for v in pool.listAllVolumes()]


@pytest.mark.parametrize("victims", [(MASTER,), (MINION,), (MASTER, MINION)], ids="+".join)
@pytest.mark.parametrize("round_number", range(2))
def test_every_task_ends_and_every_machine_is_there_once(
    hardy: Cloud, host: Any, victims: Sequence[str], round_number: int
) -> None:
    chance = random.Random(f"{victims} {round_number}")
    moments = [chance.uniform(0, LATEST_KILL_S) for _ in range(2)]
    begin = int(tasks(hardy)[0]["id"]) if tasks(hardy) else 0
    with ThreadPoolExecutor(len(NAMES)) as pool:
        asked = [pool.submit(insist, hardy, "POST", "/machines", spec(name, memory_mb=64)) for name in NAMES]
        back = kill(hardy, victims, moments[0])
        replies = [each.result() for each in asked]
    assert Counter(r.status for r in replies) == {202: len(NAMES)}
    settled(hardy, back)
    assert sorted(d.name() for d in host.listAllDomains() if d.isActive()) == sorted(NAMES)
    assert len(volumes(host)) == len(NAMES)
    refresh(hardy, MINION)
    assert sorted(m["name"] for m in list_machines(hardy) if m["state"] == "running") == sorted(NAMES)

    with ThreadPoolExecutor(len(NAMES)) as pool:
        asked = [pool.submit(insist, hardy, "DELETE", f"/machines/{name}?force=true") for name in NAMES]
        back = kill(hardy, victims, moments[1])
        replies = [each.result() for each in asked]
    assert Counter(r.status for r in replies) == {202: len(NAMES)}
    settled(hardy, back)
    assert (host.listAllDomains(), volumes(host)) == ([], [])
    refresh(hardy, MINION)
    assert list_machines(hardy) == []
    made = [t for t in tasks(hardy) if t["id"] > begin]
    assert Counter((t["kind"], t["state"]) for t in made) == {
        ("machine.create", "done"): len(NAMES), ("machine.delete", "done"): len(NAMES),
    }, [t["error"] for t in made]  # fmt: skip


def settled(cloud: Cloud, back: float) -> None:
    """Every task has ended, in time, and no memory is held any more."""
    eventually(lambda: not tasks(cloud, "&state=waiting,running"), "every task to end", WITHIN_S)
    print(f"all tasks ended {time.monotonic() - back:.1f} s after everything was back")
    assert get(cloud, f"/clouds/{MINION}")["free_memory_mb"] >= 0
