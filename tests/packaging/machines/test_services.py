"""Services under a real systemd: one that hangs is started anew and says where; the form of their logs."""

from __future__ import annotations

import json

import pytest

from tests.packaging.machines import support
from tests.packaging.machines.conftest import Boot
from tests.packaging.machines.machine import Machine
from tests.packaging.machines.support import MASTER

WATCHED = ("certmaster", "cloudmasterd")


@pytest.fixture(scope="module")
def master(boot: Boot) -> Machine:
    """A cloud master whose services are to say that they are alive within twenty seconds."""
    machine = boot(MASTER)
    support.dnf(machine, "install cloudmasterd")
    for service in WATCHED:
        machine.run(f"mkdir -p /etc/systemd/system/{service}.service.d")
        machine.write(f"/etc/systemd/system/{service}.service.d/soon.conf", "[Service]\nWatchdogSec=20s\n")
    machine.run("systemctl daemon-reload")
    support.start_master(machine)
    return machine


def shown(machine: Machine, service: str, what: str) -> str:
    return machine.said(f"systemctl show --property={what} --value {service}")


def test_systemd_is_told_at_what_they_are(master: Machine) -> None:
    assert shown(master, "cloudmasterd", "StatusText") == "http://127.0.0.1:8107/"
    assert shown(master, "certmaster", "StatusText").startswith("http://0.0.0.0:51235/")


def test_their_lines_have_a_priority_and_no_time_of_their_own(master: Machine) -> None:
    lines = master.run("journalctl --unit=cloudmasterd --output=json").splitlines()
    ours = [entry for entry in map(json.loads, lines) if entry.get("_TRANSPORT") == "stdout"]
    (ready,) = [entry for entry in ours if "cloudmasterd is ready" in entry["MESSAGE"]]
    assert ready["MESSAGE"] == "cloudmasterd.app: cloudmasterd is ready: http://127.0.0.1:8107/"
    assert ready["PRIORITY"] == "6"
    assert not [entry for entry in ours if entry["MESSAGE"].startswith(("<", "20"))]


@pytest.mark.parametrize("service", WATCHED)
def test_one_that_hangs_is_started_anew_and_says_where_it_hung(master: Machine, service: str) -> None:
    before = support.main_pid(master, service)
    master.run(f"kill -STOP {before}")
    support.wait_for_another_process(master, service, before)
    support.wait_until_ready(master)
    said = master.run(f"journalctl --unit={service} --output=cat")
    assert "Watchdog timeout" in said
    assert "Fatal Python error: Aborted" in said
    assert shown(master, service, "NRestarts") == "1"
