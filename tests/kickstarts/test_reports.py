"""What the installing machine tells the cloud master, and that it goes on where nobody listens."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from tests.kickstarts.conftest import Reports
from tests.kickstarts.installer import Installer
from tests.kickstarts.rendering import render, scripts
from tests.kickstarts.test_post import installed
from tests.kickstarts.test_pre import MINION, SHELL_OF
from tests.ports import held_port

pytestmark = pytest.mark.slow

Make = Callable[..., Installer]
DEADLINE_S = 60
NO_CURL = "#!/bin/sh\nexit 127\n"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize("version", ["F42", "F8"])
def test_the_phases_come_in_their_order(machine: Make, reports: Reports, version: str) -> None:
    made = machine(SHELL_OF.get(version, "bash"), version)
    made.hasten()
    installed(made, f"{MINION} genome_report={reports.url}", version)
    assert reports.phases == ["booted", "kickstart", "post", "done"]
    assert reports.heard[1] == ("kickstart", "cloud minion on sda")


def test_packages_are_reported_again_and_again_until_post_begins(machine: Make, reports: Reports) -> None:
    made = machine()
    made.hasten()
    made.command_line(f"genome_report={reports.url}")
    found = scripts("F42", render("F42"))
    assert made.run(found["pre"]).returncode == 0
    with made.running(found["pre-install"]):
        wait_for(lambda: reports.phases.count("packages") >= 3)
        (made.root / "tmp/genome-post").touch()
    assert set(reports.phases[2:]) == {"packages"}


def test_old_installers_give_a_sign_of_life_from_pre(machine: Make, reports: Reports) -> None:
    made = machine("busybox", "RHEL5")
    made.hasten()
    log = made.root / "mnt/sysimage/root/install.log"
    log.parent.mkdir(parents=True)
    log.write_text("Installing a\nInstalling glibc-2.5-24.i686\n")
    made.command_line(f"genome_report={reports.url}")
    with made.running(scripts("RHEL5", render("RHEL5"))["pre"]):
        wait_for(lambda: reports.phases.count("packages") >= 2)
        (made.root / "tmp/genome-post").touch()
    assert reports.heard[2] == ("packages", "Installing glibc-2.5-24.i686")


@pytest.mark.parametrize("version", ["F42", "F8"])
def test_a_refusal_is_reported_with_its_reason(machine: Make, reports: Reports, version: str) -> None:
    made = machine(SHELL_OF.get(version, "bash"), version)
    made.command_line(f"certmaster=$(reboot) genome_report={reports.url}")
    assert made.run(scripts(version, render(version))["pre"]).returncode == 1
    assert reports.phases == ["booted", "failed"]
    assert reports.heard[1][1].startswith("certmaster is no host name: write certmaster_cloud.example.org")


def test_the_installers_own_failure_is_reported(machine: Make, reports: Reports) -> None:
    made = machine()
    made.command_line(f"genome_report={reports.url}")
    found = scripts("F42", render("F42"))
    assert made.run(found["pre"]).returncode == 0
    assert made.run(found["onerror"]).returncode == 0
    assert reports.phases[-1] == "failed"


def test_a_refusal_is_not_reported_twice(machine: Make, reports: Reports) -> None:
    made = machine()
    made.command_line(f"certmaster= genome_report={reports.url}")
    found = scripts("F42", render("F42"))
    assert made.run(found["pre"]).returncode == 1
    assert made.run(found["onerror"]).returncode == 0
    assert reports.phases == ["booted", "failed"]


@pytest.mark.parametrize("without", ["curl", "curl and python"])
def test_other_programs_than_curl_report_as_well(machine: Make, reports: Reports, without: str) -> None:
    made = machine("busybox", "F8")  # its PATH has busybox alone: wget
    if without == "curl":
        made.program("python", '#!/usr/bin/bash\nexec /usr/bin/python3 "$@"\n')
        made.program("wget", NO_CURL)
    made.command_line(f"genome_report={reports.url}")
    assert made.run(scripts("F8", render("F8"))["pre"]).returncode == 0
    assert reports.phases == ["booted", "kickstart"]


def test_without_an_address_nothing_is_sent(machine: Make, reports: Reports) -> None:
    made = machine()
    installed(made, MINION)
    assert reports.heard == []


@pytest.mark.parametrize("version", ["F42", "F8"])
def test_a_cloud_master_that_refuses_does_not_stop_the_installation(machine: Make, version: str) -> None:
    with held_port() as port:
        made = machine(SHELL_OF.get(version, "bash"), version)
        made.hasten(reports=True)
        root = installed(made, f"{MINION} genome_report=http://127.0.0.1:{port}/install/WORD", version)
    assert (made.root / root / "etc/certmaster/token").exists()


@pytest.mark.parametrize("version", ["F42", "F8"])
def test_a_cloud_master_that_never_answers_does_not_hold_it_up(machine: Make, version: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = machine(SHELL_OF.get(version, "bash"), version)
        made.hasten(reports=True)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/install/WORD"
        root = installed(made, f"{MINION} genome_report={url}", version)
    assert (made.root / root / "etc/certmaster/token").exists()
