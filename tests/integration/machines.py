"""What the tests of machine instances share: asking for changes over REST, and following their tasks."""

from __future__ import annotations

import json
from typing import Any, Optional

from demo.cloud import Cloud
from tests.integration.support import Reply, ask, eventually

API = "/api/v1"
OVERHEAD_MB = 128
WAIT_S = 50


def send(
    cloud: Cloud, method: str, path: str, body: Any = None, timeout_s: float = 70.0, **headers: str
) -> Reply:
    """A request with a JSON body; `If_Match="..."` becomes the header If-Match."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = None
    if body is not None:
        raw = json.dumps(body).encode()
        given["Content-Type"] = "application/json"
    return ask(cloud, method, API + path, body=raw, headers=given, timeout_s=timeout_s)


def spec(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "memory_mb": 512, "disks": [{"size_gb": 1}], **changes}


def done(cloud: Cloud, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The task that a change made, which went well."""
    task = ended(cloud, method, path, body, **headers)
    assert (task["state"], task["error"]) == ("done", None), task
    return task


def ended(cloud: Cloud, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The task that a change made, once it has ended."""
    reply = send(cloud, method, path, body, Prefer=f"wait={WAIT_S}", **headers)
    assert reply.status == 200, reply.body
    return reply.json


def refused(cloud: Cloud, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """Status and words of a refusal, those of its fields included."""
    reply = send(cloud, method, path, body, **headers)
    assert reply.headers["content-type"] == "application/problem+json", reply.body
    problem = reply.json
    assert problem["detail"] and problem["title"]
    fields = [f"{error['field']}: {error['message']}" for error in problem.get("errors", ())]
    return reply.status, "\n".join([problem["detail"], *fields])


def get(cloud: Cloud, path: str) -> Any:
    reply = send(cloud, "GET", path)
    assert reply.status == 200, reply.body
    return reply.json


def machine(cloud: Cloud, name: str) -> Any:
    return get(cloud, f"/machines/{name}")


def state_of(cloud: Cloud, name: str) -> Optional[str]:
    """None where there is no such machine instance."""
    reply = send(cloud, "GET", f"/machines/{name}")
    return reply.json["state"] if reply.status == 200 else None


def free_mb(cloud: Cloud) -> dict[str, int]:
    return {c["name"]: c["free_memory_mb"] for c in get(cloud, "/clouds")["items"]}


def tasks(cloud: Cloud, query: str = "") -> list[Any]:
    """All tasks, newest first."""
    items: list[Any] = []
    path: Optional[str] = f"{API}/tasks?limit=1000{query}"
    while path:
        page = ask(cloud, "GET", path).json
        items += page["items"]
        path = page["next"]
    return items


def events_after(cloud: Cloud, after: int) -> list[Any]:
    return list(get(cloud, f"/events?after={after}&limit=1000")["items"])


def latest_event(cloud: Cloud) -> int:
    return int(get(cloud, "/events?after=latest")["after"])


def wait_for_event(cloud: Cloud, after: int, kind: str, words: str = "") -> Any:
    return eventually(
        lambda: next(
            (e for e in events_after(cloud, after) if e["kind"] == kind and words in e["text"]), None
        ),
        f"an event {kind} {words}",
    )
