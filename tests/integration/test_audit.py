"""Who did what, up to the log of the minion that did it; what others did; and what verify finds."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from demo.cloud import Cloud
from tests.integration.support import ask, eventually, func_call, run_command

CLOUD2 = "cloud2.example.org"


def calls(cloud: Cloud, name: str) -> list[str]:
    log = cloud.root_of(name) / "var/log/func/methods/calls.log"
    return log.read_text().splitlines()


def records(cloud: Cloud, query: str = "") -> list[dict[str, Any]]:
    answer = ask(cloud, "GET", f"/api/v1/audit?limit=200{query}")
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def test_the_id_of_a_request_is_in_the_log_of_the_minion_that_carried_it_out(cloud: Cloud) -> None:
    node = cloud.node(CLOUD2)
    off = next(m for m in node.machines if m.state == "off")
    headers = {
        "X-Request-Id": "start-17",
        "Prefer": "wait=50",
        "X-Audit-Reason": "month end",
        "Idempotency-Key": "k17",
    }
    done = ask(cloud, "POST", f"/api/v1/machines/{off.name}/start", headers=headers, timeout_s=90)
    assert (done.status, done.json["state"], done.json["request_id"]) == (200, "done", "start-17")

    (record,) = records(cloud, "&request_id=start-17")
    assert (record["who"], record["action"], record["reason"]) == ("admin", "startMachine", "month end")
    assert record["detail"] == {"task": done.json["id"]}
    asked = [line for line in calls(cloud, CLOUD2) if line.endswith(" request start-17")]
    assert any("machine.perform" in line and "start" in line for line in asked), asked
    assert any("virt.inventory" in line for line in asked), "the look at what it did belongs to it"

    others = [line for line in calls(cloud, CLOUD2) if "virt.inventory" in line and " request " not in line]
    assert others, "what the poller asks belongs to no request"


def test_a_refresh_that_somebody_asked_for_carries_its_id(cloud: Cloud) -> None:
    assert (
        ask(cloud, "POST", f"/api/v1/clouds/{CLOUD2}/refresh", headers={"X-Request-Id": "look-9"}).status
        == 200
    )
    assert any(line.endswith(" request look-9") for line in calls(cloud, CLOUD2))
    (record,) = records(cloud, "&request_id=look-9")
    assert (record["action"], record["target"]) == ("refreshCloud", f"/api/v1/clouds/{CLOUD2}")


def test_what_others_did_on_a_cloud_instance_is_on_the_record_once(cloud: Cloud) -> None:
    running = next(m for m in cloud.node("cloud1.example.org").machines if m.state == "running")
    func_call(cloud, "cloud1.example.org", "virt", "pause", running.name)
    query = f"&who=cloud1.example.org&target=/api/v1/machines/{running.name}"
    (record,) = eventually(lambda: records(cloud, query), "drift on the record")
    assert (record["means"], record["action"]) == ("observed", "machine.changed")
    assert "state running -> paused" in record["detail"]["changed"]
    func_call(cloud, "cloud1.example.org", "virt", "unpause", running.name)
    eventually(lambda: len(records(cloud, query)) == 2, "and its end")


def test_the_record_is_listed_exported_and_verified_while_all_runs(cloud: Cloud, tmp_path: Path) -> None:
    ask(
        cloud,
        "PATCH",
        f"/api/v1/clouds/{CLOUD2}",
        body=b'{"notes": "audited"}',
        headers={"Content-Type": "application/json"},
    )
    listed = run_command(cloud, "cloudmasterctl", "audit", "list", "--action", "changeCloud")
    assert listed.returncode == 0, listed.stderr
    assert f"/api/v1/clouds/{CLOUD2}" in listed.stdout and "admin" in listed.stdout

    file = tmp_path / "audit.jsonl"
    exported = run_command(cloud, "cloudmasterctl", "audit", "export", "--file", str(file))
    assert exported.returncode == 0, exported.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    items = [json.loads(line) for line in file.read_text().splitlines()]
    assert [item["id"] for item in items] == list(range(1, len(items) + 1))

    verified = run_command(cloud, "cloudmasterctl", "audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    head = verified.stdout.split("head: ")[1].split()[0]
    again = run_command(cloud, "cloudmasterctl", "audit", "verify", "--head", head)
    assert again.returncode == 0, again.stdout
    assert run_command(cloud, "cloudmasterctl", "audit", "verify", "--export", str(file)).returncode == 0


def test_a_record_that_somebody_changed_is_named_and_the_daemon_goes_on(cloud: Cloud) -> None:
    head = ask(cloud, "GET", "/api/v1/audit?limit=1").json["head"]
    (database,) = (cloud.root_of("cloudmasterd") / "var").rglob("cloudmasterd.db")
    with closing(sqlite3.connect(database, timeout=20)) as other:
        other.execute("DROP TRIGGER audit_stays")
        other.execute("UPDATE audit SET who = 'somebody else' WHERE id = 2")
        other.commit()
    found = run_command(cloud, "cloudmasterctl", "audit", "verify", "--head", head)
    assert found.returncode == 1
    assert "record 2 was changed" in found.stdout
    answer = ask(
        cloud,
        "PATCH",
        f"/api/v1/clouds/{CLOUD2}",
        body=b'{"notes": "on"}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status == 200
    assert "The record is not whole" in ask(cloud, "GET", "/audit", "text/html").body.decode()
