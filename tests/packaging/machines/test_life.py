"""The life of a cloud: a machine joins; its master is upgraded, downgraded, removed and installed again.

Each chapter is a fixture that begins where the one before ended, and writes down what it saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.nodes import make_node, node_xml
from tests.integration.support import eventually
from tests.packaging.machines import support
from tests.packaging.machines.conftest import Boot
from tests.packaging.machines.machine import Machine
from tests.packaging.machines.support import MASTER, MINION

NOTES = "the one of the bookkeepers"
NODE = make_node(1)
INSTANCE = NODE.machines[0].name
CONF = "/etc/cloudmasterd/cloudmasterd.conf"
DATABASE = "/var/lib/cloudmasterd/cloudmasterd.db"
KEPT = (DATABASE, f"{CONF}.rpmsave", "/etc/pki/certmaster/ca/certmaster.key", "/var/lib/certmaster/certs")
BACKUP = "/root/before.tar.gz"


@dataclass(frozen=True)
class Pair:
    """A cloud master and the machine that joined it; `said` is what joining said."""

    master: Machine
    minion: Machine
    said: str


@dataclass(frozen=True)
class Left:
    """What is left of a cloud master where its packages were removed."""

    packages: str
    processes: str
    wanted: str
    files: list[str]


@dataclass(frozen=True)
class Seen:
    """What was to be seen of a cloud master when it had settled, and what its last step said."""

    package: str
    instance: dict[str, Any]
    cloud: dict[str, Any]
    authority: str
    conf: str
    faults: str
    said: str


def look(master: Machine, said: str = "") -> Seen:
    """See it, once it has asked its cloud instance anew."""
    support.wait_until_ready(master)
    before = support.rest(master, f"/clouds/{MINION}")["observed_at"]

    def asked() -> Any:
        cloud = support.rest(master, f"/clouds/{MINION}")
        return cloud if cloud["state"] == "up" and cloud["observed_at"] != before else None

    return Seen(
        master.said("rpm -q cloudmasterd"),
        cloud=eventually(asked, "the cloud instance to answer", 180),
        instance=support.rest(master, f"/machines/{INSTANCE}"),
        authority=master.run("certmaster-ca --fingerprint"),
        conf=master.read(CONF),
        faults="\n".join(support.faults_in_journal(master)),
        said=said,
    )


def let_through(machine: Machine, service: str) -> None:
    """Let others reach a service, where there is a firewall."""
    if machine.said("firewall-cmd --state") == "running":
        # Every upgrade of a package with a service of firewalld makes it forget what is not permanent.
        machine.run(f"firewall-cmd --permanent --add-service={service} && firewall-cmd --reload")


@pytest.fixture(scope="module")
def pair(boot: Boot) -> Pair:
    """Chapter one: a cloud master, whose configuration was edited, and a machine that joins it."""
    master, minion = boot(MASTER), boot(MINION)
    master.connect(minion)
    support.dnf(master, "install cloudmasterd")
    master.run(f"sed -i 's/^#* *poll_interval_s.*/poll_interval_s = 2/' {CONF}")
    let_through(master, "cloudmasterd")
    support.start_master(master)
    support.dnf(minion, "install cloudmasterd-minion")
    let_through(minion, "func")
    minion.write("/etc/libvirt/node.xml", node_xml(NODE, Path("/var/lib/libvirt/images")))
    minion.run("sed -i 's|^#* *uri *=.*|uri = test:////etc/libvirt/node.xml|' /etc/func/modules/Virt.conf")
    support.lend(master, minion)
    token = support.rest(minion, "/enrolment-tokens", method="POST", body={"name": MINION})["metadata"]
    said = minion.run(
        f"cloudmaster-join {MASTER} --token-file - --ca-fingerprint {token['genome_ca']}",
        token["genome_token"],
    )
    return Pair(master, minion, said)


@pytest.fixture(scope="module")
def joined(pair: Pair) -> Seen:
    """Its machine instance appeared, and somebody wrote about it."""
    eventually(
        lambda: support.status_of(pair.master, f"/api/v1/machines/{INSTANCE}") == 200,
        f"{INSTANCE} to appear",
        60,
    )
    support.rest(pair.master, f"/machines/{INSTANCE}", method="PATCH", body={"notes": NOTES})
    return look(pair.master)


@pytest.fixture(scope="module")
def upgraded(pair: Pair, joined: Seen, newer: Path, shared: Path) -> Seen:
    """Chapter two: the master alone gets a second build, with one migration more; funcd crashes meanwhile."""
    pair.master.run(f"cloudmasterctl backup {BACKUP}")
    pair.minion.run("systemctl kill --signal=KILL funcd")
    support.publish(newer, shared)
    return look(pair.master, support.dnf(pair.master, "upgrade"))


@pytest.fixture(scope="module")
def refused(pair: Pair, upgraded: Seen) -> str:
    """Chapter three: back to the first build; what the journal says of it."""
    support.dnf(pair.master, "downgrade cloudmasterd func certmaster")
    pair.master.said("systemctl restart cloudmasterd")

    def told() -> str:
        lines = "\n".join(support.journal(pair.master, "--unit=cloudmasterd"))
        return lines if "schema version" in lines.rpartition("Started")[2] else ""

    return eventually(told, "cloudmasterd to refuse the database", 180)


@pytest.fixture(scope="module")
def restored(pair: Pair, refused: str) -> Seen:
    """Chapter four: the backup from before the upgrade is put back."""
    pair.master.run("systemctl stop cloudmasterd certmaster; systemctl reset-failed")
    said = pair.master.run(f"cloudmasterctl restore --force {BACKUP}")
    # The chapter before was looked at; what it wrote is no fault of this one.
    pair.master.run("journalctl --quiet --rotate && journalctl --quiet --vacuum-time=1us")
    support.start_master(pair.master)
    return look(pair.master, said)


@pytest.fixture(scope="module")
def ahead(pair: Pair, restored: Seen) -> Seen:
    """Chapter five: now the minion gets the second build, and is ahead of its master."""
    return look(pair.master, support.dnf(pair.minion, "upgrade"))


@pytest.fixture(scope="module")
def left(pair: Pair, ahead: Seen) -> Left:
    """Chapter six: dnf removes the cloud master."""
    master = pair.master
    if master.said("firewall-cmd --state") == "running":
        # Else firewalld complains of a service that nobody describes any more.
        master.run("firewall-cmd --permanent --remove-service=cloudmasterd && firewall-cmd --reload")
    support.dnf(master, "remove cloudmasterd")
    return Left(
        packages=master.said("rpm -qa cloudmasterd func certmaster"),
        processes=master.said("ps -o args= -u cloudmasterd,certmaster"),
        wanted=master.said("ls /etc/systemd/system/multi-user.target.wants"),
        files=master.said(f"ls -d {' '.join(KEPT)}").split(),
    )


@pytest.fixture(scope="module")
def reinstalled(pair: Pair, left: Left) -> Seen:
    """Chapter seven: and it comes back, as the newest build, to the configuration that was put aside."""
    said = support.dnf(pair.master, "install cloudmasterd")
    pair.master.run(f"mv {CONF}.rpmsave {CONF}")
    support.start_master(pair.master)
    return look(pair.master, said)


def test_a_machine_joins_with_a_token_and_its_machine_instances_appear(pair: Pair, joined: Seen) -> None:
    assert f"{MINION} is a cloud instance of {MASTER}" in pair.said
    assert joined.cloud["memory_mb"] == NODE.memory_mb
    listed = support.rest(pair.minion, "/machines?limit=100")["items"]
    assert {one["name"] for one in listed} == {one.name for one in NODE.machines}
    assert joined.instance["notes"] == NOTES


def test_nothing_is_amiss_on_a_machine_that_joined(pair: Pair, joined: Seen) -> None:
    assert support.faults_in_journal(pair.minion) == []
    assert pair.minion.said("systemctl is-system-running") == "running"
    changed = pair.minion.said("rpm -V func certmaster cloudmasterd-minion genome-replace-self").splitlines()
    edited = {"/etc/certmaster/minion.conf", "/etc/func/minion.conf", "/etc/func/modules/Virt.conf"}
    assert {line.split()[-1] for line in changed} == edited


def test_an_upgrade_keeps_records_and_edits_and_moves_the_database(
    pair: Pair, joined: Seen, upgraded: Seen
) -> None:
    assert (joined.package, upgraded.package) == (
        "cloudmasterd-2.0.0-1.noarch",
        "cloudmasterd-2.0.0-2.noarch",
    )
    assert upgraded.instance["notes"] == NOTES
    assert upgraded.conf == joined.conf
    assert "poll_interval_s = 2" in upgraded.conf
    assert upgraded.authority == joined.authority
    assert pair.master.does(f"ls {DATABASE}.v*.bak")


def test_a_minion_of_the_build_before_goes_on_working(pair: Pair, upgraded: Seen) -> None:
    assert upgraded.cloud["state"] == "up"
    assert pair.minion.said("rpm -q func") == "func-2.0.0-1.noarch"


def test_an_older_build_refuses_the_database_and_says_what_to_do(refused: str) -> None:
    said = refused.rpartition("Started")[2]
    assert "this cloudmasterd knows versions up to" in said
    assert "put back" in said


def test_the_backup_from_before_gives_a_master_that_the_minions_accept(joined: Seen, restored: Seen) -> None:
    assert restored.package == joined.package
    assert restored.instance["notes"] == NOTES
    assert restored.authority == joined.authority


def test_a_minion_of_the_build_after_works_as_well(pair: Pair, ahead: Seen) -> None:
    assert (ahead.package, pair.minion.said("rpm -q func")) == (
        "cloudmasterd-2.0.0-1.noarch",
        "func-2.0.0-2.noarch",
    )
    assert ahead.cloud["state"] == "up"
    assert "node.xml" in pair.minion.read("/etc/func/modules/Virt.conf")


def test_removal_keeps_the_data_and_nothing_that_runs(left: Left) -> None:
    assert (left.packages, left.processes) == ("", "")
    assert "cloudmasterd" not in left.wanted
    assert sorted(left.files) == sorted(KEPT)


def test_installed_again_it_finds_what_it_had(joined: Seen, reinstalled: Seen) -> None:
    assert reinstalled.package == "cloudmasterd-2.0.0-2.noarch"
    assert reinstalled.instance["notes"] == NOTES
    assert reinstalled.authority == joined.authority


def test_no_chapter_left_a_fault_in_the_journal(
    pair: Pair, joined: Seen, upgraded: Seen, restored: Seen, ahead: Seen, reinstalled: Seen
) -> None:
    for seen in (joined, upgraded, restored, ahead, reinstalled):
        assert seen.faults == "", seen.said
    assert support.faults_in_journal(pair.minion) == []
