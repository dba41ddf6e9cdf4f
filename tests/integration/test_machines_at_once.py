"""Fifty clients at once: as many machine instances as fit, no more, and nothing twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Callable, TypeVar

import pytest

from demo.cloud import Cloud
from tests.integration.machines import (
    OVERHEAD_MB,
    done,
    free_mb,
    get,
    machine,
    send,
    spec,
    tasks,
)
from tests.integration.support import Reply, eventually, expected_free_mb, list_machines

T = TypeVar("T")
CLIENTS, WANTED = 50, 200
FIT = {"cloud1.example.org": 60, "cloud2.example.org": 55, "cloud3.example.org": 35}
MEMORY_MB = 512
NEED_MB = MEMORY_MB + OVERHEAD_MB


def at_once(act: Callable[[int], T], count: int, clients: int = CLIENTS) -> list[T]:
    """What `act` of 0, 1, 2 ... gave, by clients that begin together."""
    together = threading.Barrier(clients)

    def one(number: int) -> T:
        if number < clients:
            together.wait(120)
        return act(number)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def filled(cloud: Cloud) -> Iterator[Cloud]:
    """The cloud with so much reserved that 150 machine instances of 512 MB fit, to the MB."""
    for node in cloud.nodes:
        active_mb = sum(m.memory_mb + OVERHEAD_MB for m in node.machines if m.state != "off")
        # a little short of one more
        left_mb = FIT[node.name] * NEED_MB + NEED_MB - 1
        reserve = {"reserve_mb": node.memory_mb - active_mb - left_mb}
        assert send(cloud, "PATCH", f"/clouds/{node.name}", reserve).status == 200
    yield cloud
    for node in cloud.nodes:
        assert send(cloud, "PATCH", f"/clouds/{node.name}", {"reserve_mb": None}).status == 200


class Watcher:
    """Reads the free memory over and over while others work; call it in a thread."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.least_mb: list[int] = []

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self.least_mb.append(min(free_mb(self._cloud).values()))


def test_as_many_are_made_as_fit_and_the_free_memory_never_goes_below_zero(filled: Cloud) -> None:
    took: list[float] = []

    def create(number: int) -> Reply:
        begin = time.perf_counter()
        reply = send(filled, "POST", "/machines", spec(f"crowd{number}.example.org"))
        took.append(time.perf_counter() - begin)
        return reply

    with Watcher(filled) as watcher:
        replies = at_once(create, WANTED)
        assert Counter(r.status for r in replies) == {202: 150, 409: 50}
        eventually(lambda: not tasks(filled, "&state=waiting,running"), "every task to end", 400)
    assert len(watcher.least_mb) > 10 and min(watcher.least_mb) >= 0

    for reply in replies:
        if reply.status == 409:
            problem = reply.json
            assert problem["type"].endswith(":no-room")
            assert {e["field"] for e in problem["errors"]} == set(FIT)
            assert all("MB free, 640 MB needed" in e["message"] for e in problem["errors"]), problem
    accepted = {r.json["id"]: r.json["machine_name"] for r in replies if r.status == 202}
    ended = {t["id"]: t for t in tasks(filled) if t["id"] in accepted}
    assert {t["state"] for t in ended.values()} == {"done"}
    made = [m for m in list_machines(filled) if m["name"].startswith("crowd")]
    assert sorted(m["name"] for m in made) == sorted(accepted.values())
    assert Counter(m["cloud"] for m in made) == FIT
    assert set(free_mb(filled).values()) == {NEED_MB - 1}
    _print_times(took, list(ended.values()))

    gone = at_once(lambda n: send(filled, "DELETE", f"/machines/{made[n]['name']}?force=true"), len(made))
    assert {r.status for r in gone} == {202}
    eventually(lambda: not tasks(filled, "&state=waiting,running"), "every task to end", 400)
    assert not [m for m in list_machines(filled) if m["name"].startswith("crowd")]


def _print_times(took: Sequence[float], ended: Sequence[Any]) -> None:
    waits = sorted(seconds(t["started_at"]) - seconds(t["created_at"]) for t in ended)
    typical_ms, slowest_ms = sorted(took)[len(took) // 2] * 1000, max(took) * 1000
    print(
        f"\n{len(took)} submissions by {CLIENTS} clients: median {typical_ms:.0f} ms, at most"
        f" {slowest_ms:.0f} ms; from submission to start: p99 {waits[int(len(waits) * 0.99)]:.2f} s"
    )


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def test_the_memory_is_free_again_afterwards(cloud: Cloud) -> None:
    assert free_mb(cloud) == {node.name: expected_free_mb(node) for node in cloud.nodes}


@pytest.fixture
def one(cloud: Cloud) -> Iterator[str]:
    name = "one1.example.org"
    done(cloud, "POST", "/machines", spec(name))
    yield name
    done(cloud, "DELETE", f"/machines/{name}?force=true")


@pytest.mark.parametrize(
    ("method", "path", "body", "success"),
    [
        ("PATCH", "", lambda n: {"notes": f"by client {n}"}, 200),
        ("PATCH", "", lambda n: {"memory_mb": 256 + n}, 202),
        ("POST", "/pause", lambda n: None, 202),
    ],
    ids=["notes", "memory", "pause"],
)
def test_of_fifty_who_read_the_same_version_one_changes_it(
    cloud: Cloud, one: str, method: str, path: str, body: Callable[[int], Any], success: int
) -> None:
    etag = machine(cloud, one)["etag"]
    replies = at_once(
        lambda n: send(cloud, method, f"/machines/{one}{path}", body(n), If_Match=etag), CLIENTS
    )
    assert Counter(r.status for r in replies) == {success: 1, 412: 49}
    eventually(lambda: not tasks(cloud, "&state=waiting,running"), "the task to end")
    if success == 200:
        (winner,) = (r.json["notes"] for r in replies if r.status == 200)
        assert machine(cloud, one)["notes"] == winner
    assert machine(cloud, one)["etag"] != etag


def test_the_same_key_fifty_times_makes_one_machine_and_fifty_equal_answers(cloud: Cloud) -> None:
    name, before = "once1.example.org", len(tasks(cloud))
    replies = at_once(
        lambda n: send(cloud, "POST", "/machines", spec(name), Idempotency_Key="a-key-of-its-own"), CLIENTS
    )
    assert {r.status for r in replies} == {202}
    assert len({r.headers["location"] for r in replies}) == 1
    assert len({(r.json["id"], r.json["machine"], r.json["target"]) for r in replies}) == 1
    assert Counter("idempotency-replayed" in r.headers for r in replies) == {False: 1, True: 49}
    assert len(tasks(cloud)) == before + 1

    task = send(cloud, "GET", f"/tasks/{replies[0].json['id']}", Prefer="wait=50").json
    assert task["state"] == "done"
    assert [m["name"] for m in list_machines(cloud)].count(name) == 1
    again = send(cloud, "POST", "/machines", spec(name), Idempotency_Key="a-key-of-its-own")
    assert (again.status, again.json["id"], again.json["state"]) == (202, task["id"], "done")
    other = send(cloud, "POST", "/machines", spec(name, vcpus=2), Idempotency_Key="a-key-of-its-own")
    assert other.status == 409 and "key" in other.json["detail"]
    done(cloud, "DELETE", f"/machines/{name}?force=true")
    assert get(cloud, f"/tasks/{task['id']}")["state"] == "done"
