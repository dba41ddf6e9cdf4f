"""A cloud instance is installed anew: real processes on both sides, the cloud master killed between."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.cloud import MASTER, free_ports
from tests.integration.apache import apache, why_not
from tests.integration.machines import events_after, get, latest_event, refused, send
from tests.integration.rebuilding import HOST, PROFILE, Rebuildable, cobbler_stand_in
from tests.integration.support import eventually


@pytest.fixture(scope="module")
def cobbler_port() -> Iterator[int]:
    with cobbler_stand_in() as port:
        yield port


@pytest.fixture
def host(tmp_path: Path, cobbler_port: int) -> Iterator[Rebuildable]:
    made = Rebuildable(tmp_path, cobbler_port)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def kill_master(host: Rebuildable) -> None:
    host.cloud.processes[MASTER].send(signal.SIGKILL)
    host.cloud.end(MASTER)
    host.cloud.start_master()


def test_a_cloud_instance_is_installed_anew_from_refusal_to_ready(host: Rebuildable) -> None:
    living = host.living()
    assert living
    status, words = refused(host.cloud, "POST", f"/clouds/{HOST}/rebuild", {"profile": PROFILE})
    assert status == 409 and all(name in words for name in living)
    status, words = refused(
        host.cloud, "POST", f"/clouds/{HOST}/rebuild", {"profile": PROFILE, "lose": living[1:]}
    )
    assert status == 409 and living[0] in words
    status, words = refused(
        host.cloud, "POST", f"/clouds/{HOST}/rebuild", {"profile": "Nope", "lose": living}
    )
    assert status == 400 and "has no profile" in words or "no profile" in words

    before = latest_event(host.cloud)
    number = host.ask(profile=PROFILE, lose=living, reason="new disks")["id"]
    host.go_down()
    token = host.metadata()["genome_report"].rpartition("/")[2]
    audit = (host.root / "var/log/func/methods/calls.log").read_text()
    assert "genome.prepare(" in audit and token not in audit
    assert get(host.cloud, f"/clouds/{HOST}")["state"] == "maintenance"
    host.wait_for(number, "report:booted")
    assert host.report("booted", method="GET") == 204
    assert host.report("packages", "12 of 900") == 204
    eventually(
        lambda: "packages at " in host.step(number, "report:post")["detail"], "the last word of the machine"
    )
    assert "12 of 900" in host.step(number, "report:post")["detail"]
    assert send(host.cloud, "POST", f"/tasks/{number}/cancel").status == 409
    host.install()
    assert host.report("done") == 204
    host.wait_for(number, "enrolled")
    host.come_back()
    task = host.ended(number)
    assert (task["state"], task["error"]) == ("done", None)
    assert {step["state"] for step in task["steps"]} == {"done"}
    assert sorted(task["result"]["lost"]) == sorted(living)
    assert host.report("done") == 404, "the address is gone with the task"
    cloud = get(host.cloud, f"/clouds/{HOST}")
    assert (cloud["state"], cloud["profile"], cloud["machines"]) == ("up", PROFILE, 0)
    assert host.living() == []
    vanished = [e for e in events_after(host.cloud, before) if e["kind"] == "machine.vanished"]
    assert sorted(e["machine_name"] for e in vanished) == sorted(living)
    assert {e["task"] for e in vanished} == {f"/api/v1/tasks/{number}"}
    assert len(host.lines_of("rebooted")) == 1
    kept = [*host.lines, *(str(task) for task in [host.task(number)])]
    secrets = (token, host.metadata()["genome_token"])
    assert not [line for line in kept if any(secret in line for secret in secrets)]


def test_a_cloud_master_killed_at_every_stage_goes_on_where_it_stood(host: Rebuildable) -> None:
    living = host.living()
    (host.bin / "hold").touch()
    number = host.ask(profile=PROFILE, lose=living)["id"]
    eventually(lambda: host.lines_of("asked"), "the preparation to begin")
    kill_master(host)
    (host.bin / "hold").unlink()
    host.go_down()
    kill_master(host)
    host.wait_for(number, "report:booted")
    assert host.report("kickstart") == 204
    kill_master(host)
    host.wait_for(number, "report:packages")
    host.install()
    assert host.report("done") == 204
    host.wait_for(number, "enrolled")
    kill_master(host)
    host.come_back()
    task = host.ended(number)
    assert (task["state"], task["error"]) == ("done", None)
    assert len(host.lines_of("asked")) == 1 and len(host.lines_of("rebooted")) == 1
    assert get(host.cloud, f"/clouds/{HOST}")["state"] == "up"
    assert host.living() == []


def test_reports_come_through_apache(tmp_path: Path, cobbler_port: int) -> None:
    if why_not():
        pytest.skip(why_not())
    port = free_ports().web
    host = Rebuildable(tmp_path, cobbler_port, public_url=f"http://127.0.0.1:{port}/")
    folder = tmp_path / "apache"
    folder.mkdir()
    try:
        host.start()
        with apache(folder, port, host.cloud.ports.web) as errors:
            number = host.ask(profile=PROFILE, lose=host.living())["id"]
            host.go_down()
            assert host.metadata()["genome_report"].startswith(f"http://127.0.0.1:{port}/install/")
            host.wait_for(number, "report:booted")
            assert host.report("booted", method="GET") == 204, errors.read_text()
            assert host.report("packages", "Größe: 12 of 900") == 204
            assert host.report("nonsense") == 400
            eventually(
                lambda: "Größe" in host.step(number, "report:post")["detail"], "the word of the machine"
            )
    finally:
        host.stop()


def test_a_task_cancelled_before_the_reboot_leaves_everything_as_it_was(host: Rebuildable) -> None:
    living = host.living()
    (host.bin / "hold").touch()
    number = host.ask(profile=PROFILE, lose=living)["id"]
    eventually(lambda: host.lines_of("asked"), "the preparation to begin")
    assert get(host.cloud, f"/clouds/{HOST}")["maintenance_reason"] == f"task {number} installs it anew"
    assert send(host.cloud, "POST", f"/tasks/{number}/cancel").status == 202
    task = host.ended(number)
    assert (task["state"], task["error"]) == ("cancelled", None)
    assert [line for line in host.lines_of("asked") if "--cancel" in line]
    assert host.lines_of("rebooted") == [] and host.metadata() == {}
    cloud = get(host.cloud, f"/clouds/{HOST}")
    assert (cloud["state"], cloud["maintenance"]) == ("up", False)
    assert host.living() == living
    tokens = get(host.cloud, "/enrolment-tokens")["items"]
    assert tokens == []


def test_a_preparation_that_fails_leaves_everything_as_it_was(host: Rebuildable) -> None:
    (host.bin / "fail").touch()
    task = host.ended(host.ask(profile=PROFILE, lose=host.living())["id"])
    assert task["state"] == "failed" and "program ended with 4: no such profile" in task["error"]
    assert get(host.cloud, f"/clouds/{HOST}")["state"] == "up"


def test_an_install_that_falls_silent_is_said_to_be_and_stays_in_maintenance(
    tmp_path: Path, cobbler_port: int
) -> None:
    host = Rebuildable(tmp_path, cobbler_port, install_silent_s=2, install_timeout_s=30)
    try:
        host.start()
        number = host.ask(profile=PROFILE, lose=host.living())["id"]
        host.go_down()
        host.wait_for(number, "report:booted")
        assert host.report("packages", "12 of 900") == 204

        def detail() -> Any:
            return host.step(number, "report:post")["detail"]

        eventually(lambda: detail().startswith("silent since its last word, packages at "), "silence is said")
        assert "12 of 900" in detail()
        assert host.task(number)["state"] == "running"
        task = host.ended(number)
        assert task["state"] == "failed"
        assert "stays in maintenance, because nobody knows what is on it now" in task["error"]
        cloud = get(host.cloud, f"/clouds/{HOST}")
        assert cloud["maintenance"] is True
        # it was only slow: what was made for it still lets it in
        host.install()
        host.come_back()
        eventually(lambda: get(host.cloud, f"/clouds/{HOST}")["error"] is None, "it answers")
    finally:
        host.stop()
