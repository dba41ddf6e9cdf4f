"""cloudmasterctl and cloudmaster-join with real processes: faults are found, and a dead master comes back."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.cloud import Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.machines import get, send, spec
from tests.integration.support import eventually, get_cloud, list_machines, run_command

ONE, TWO = "cloud1.example.org", "cloud2.example.org"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Two cloud instances, and a public address that the cloud master answers itself."""
    ports = free_ports()
    made = Cloud(
        tmp_path_factory.mktemp("control"), 2, ports=ports, log=write_log,
        settings={
            "poll_interval_s": 1, "minion_timeout_s": 5, "public_url": f"http://127.0.0.1:{ports.web}/",
        },
    )  # fmt: skip
    try:
        made.start()
        yield made
    finally:
        made.stop()


def ctl(cloud: Cloud, *args: str) -> subprocess.CompletedProcess[str]:
    return run_command(cloud, "cloudmasterctl", *args)


def check(cloud: Cloud) -> dict[str, Any]:
    done = ctl(cloud, "check", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (1 if found["level"] == "FAULT" else 0), done.stderr
    return {finding["what"]: finding for finding in found["findings"]}


def test_a_cloud_that_works_is_ready_and_has_no_fault(cloud: Cloud) -> None:
    done = ctl(cloud, "status")
    assert done.returncode == 0, done.stdout
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "Browser view",
        "First password",
        "Missing",
    ]
    assert json.loads(ctl(cloud, "status", "--json").stdout)["browser_view"] == cloud.url
    found = check(cloud)
    assert [finding for finding in found.values() if finding["level"] == "FAULT"] == []
    for name in cloud.names:
        assert {f"name {name}", f"certificate of {name}", f"clock of {name}", f"libvirt on {name}"} <= set(
            found
        )


def test_the_usual_faults_are_found_with_their_remedies(cloud: Cloud) -> None:
    virt = cloud.root_of(TWO) / "etc/func/modules/Virt.conf"
    before = virt.read_text()
    cloud.end(ONE)
    cloud.end(TWO)
    virt.write_text("[main]\nuri = test:///no/such/host.xml\n")
    cloud.start_minion(TWO)
    try:
        found = check(cloud)
    finally:
        cloud.end(TWO)
        virt.write_text(before)
        cloud.start_minion(ONE)
        cloud.start_minion(TWO)
    assert "systemctl status funcd" in found[f"minion {ONE}"]["remedy"]
    assert "no/such/host.xml" in found[f"libvirt on {TWO}"]["seen"]
    assert "virtqemud.socket" in found[f"libvirt on {TWO}"]["remedy"]
    assert found[f"clock of {TWO}"]["level"] == "ok"
    eventually(lambda: {c["state"] for c in cloud.list_clouds()} == {"up"}, "both up again")


def test_a_stopped_master_is_not_ready(cloud: Cloud) -> None:
    cloud.end("cloudmasterd")
    try:
        done = ctl(cloud, "status")
    finally:
        cloud.start_master()
    assert done.returncode == 1
    assert "cloudmasterd does not run" in done.stdout and len(done.stdout.splitlines()) == 3


def test_backups_while_tasks_run_are_whole_and_each_is_of_one_moment(cloud: Cloud, tmp_path: Path) -> None:
    eventually(lambda: {c["state"] for c in cloud.list_clouds()} == {"up"}, "both up")
    replies = [send(cloud, "POST", "/machines", spec(f"during{number}.example.org")) for number in range(6)]
    assert [reply.status for reply in replies] == [202] * 6, replies
    files = [tmp_path / f"{number}.tar.gz" for number in range(3)]
    for file in files:
        done = ctl(cloud, "backup", str(file))
        assert done.returncode == 0, done.stderr
        assert ctl(cloud, "backup", "--verify", str(file)).returncode == 0
    for reply in replies:
        path = f"/tasks/{reply.json['id']}"
        eventually(lambda path=path: get(cloud, path)["state"] == "done", f"{path} done", 180)  # type: ignore[misc]


def test_a_master_that_is_lost_comes_back_and_no_minion_was_touched(cloud: Cloud, tmp_path: Path) -> None:
    assert send(cloud, "PATCH", f"/clouds/{ONE}", {"notes": "in the cellar"}).status == 200
    machines = {machine["uuid"] for machine in list_machines(cloud)}
    minions = {name: cloud.processes[name].pid for name in cloud.names}
    kept = {name: minion_files(cloud, name) for name in cloud.names}
    ways_in = [cloud.admin.token(), cloud.admin.password(), own_key(cloud)]
    file = tmp_path / "master.tar.gz"

    started = time.monotonic()
    assert ctl(cloud, "backup", str(file)).returncode == 0
    backed_up = time.monotonic()
    refused = ctl(cloud, "restore", str(file), "--force")
    assert refused.returncode == 1 and "systemctl stop" in refused.stderr
    last_seen = {c["name"]: c["observed_at"] for c in cloud.list_clouds()}
    cloud.end("cloudmasterd")
    cloud.end("certmaster")
    cloud.root_of("cloudmasterd").rename(tmp_path / "lost")

    stopped = time.monotonic()
    restored = ctl(cloud, "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    in_place = time.monotonic()
    cloud.start_certmaster()
    cloud.start_master()
    eventually(lambda: all(seen_since(cloud, last_seen)), "both answer the new master", 180)
    ended = time.monotonic()
    write_log(
        "restore drill",
        f"backup {backed_up - started:.2f} s, restore {in_place - stopped:.2f} s,"
        f" from the restore to all cloud instances up {ended - stopped:.2f} s",
    )
    assert get_cloud(cloud, ONE)["notes"] == "in the cellar"
    assert {machine["uuid"] for machine in list_machines(cloud)} == machines
    assert [cloud.admin.token(), cloud.admin.password(), own_key(cloud)] == ways_in
    assert {name: cloud.processes[name].pid for name in cloud.names} == minions, "none was started anew"
    assert {name: minion_files(cloud, name) for name in cloud.names} == kept
    assert [finding for finding in check(cloud).values() if finding["level"] == "FAULT"] == []


def own_key(cloud: Cloud) -> str:
    """The key with which the cloud master calls cloud instances."""
    folder = cloud.root_of("cloudmasterd") / "var/lib/cloudmasterd/pki"
    assert folder.stat().st_mode & 0o777 == 0o700
    return (folder / "cloudmaster.pem").read_text()


def seen_since(cloud: Cloud, last_seen: dict[str, str]) -> list[bool]:
    """Of each cloud instance whether it answered later than that; what a backup remembers is no answer."""
    return [c["state"] == "up" and c["observed_at"] > last_seen[c["name"]] for c in cloud.list_clouds()]


def minion_files(cloud: Cloud, name: str) -> dict[str, bytes]:
    """What a minion is and whom it trusts."""
    folders = [cloud.root_of(name) / "etc/pki/certmaster", cloud.root_of(name) / "etc/certmaster"]
    return {
        str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()
    }


def test_a_machine_joins_and_the_master_shows_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = Cloud(
        tmp_path_factory.mktemp("joining"), 2, ports=free_ports(), log=write_log,
        settings={"poll_interval_s": 1},
    )  # fmt: skip
    try:
        made.prepare()
        conf = made.root_of("certmaster") / "etc/certmaster/certmaster.conf"
        conf.write_text(conf.read_text().replace("autosign = yes", "autosign = no"))
        made.start_certmaster()
        made.start_master()
        told = run_command(made, "certmaster-ca", "--new-token", TWO).stdout
        said = dict(word.split("=", 1) for word in told.splitlines()[0].split())
        minion = made.root_of(TWO)
        (minion / "etc/certmaster/minion.conf").unlink()
        (minion / "token").write_text(said["genome_token"])
        done = run_command(
            made, "cloudmaster-join", "127.0.0.1", "--port", str(made.ports.certmaster),
            "--token-file", str(minion / "token"), "--ca-fingerprint", said["genome_ca"], root=minion,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        made.start_minion(TWO)
        eventually(lambda: get_cloud(made, TWO).get("state") == "up", f"{TWO} up")
    finally:
        made.stop()
