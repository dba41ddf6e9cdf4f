"""The usual faults are found, each with its remedy, and a sound machine has none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

import pytest

from certmaster.authority import Authority
from certmaster.config import load_certmaster_config
from cloudmasterd.acting import Deed
from cloudmasterd.cobbler import parse_address
from cloudmasterd.config import Config, load_config
from cloudmasterd.control import check_here
from cloudmasterd.control.check_clouds import check_clouds
from cloudmasterd.control.findings import (
    Finding,
    Level,
    judge_end,
    judge_mode,
    judge_room,
    judge_skew,
    ok,
    skew_s,
    warn,
    worst,
)  # fmt: skip
from cloudmasterd.control.places import Places
from cloudmasterd.errors import CloudRefused, CloudUnreachable, FabricError, RemoteFault
from cloudmasterd.fabric import Answer, Call
from cloudmasterd.func_fabric import obtain, open_own
from cloudmasterd.store import Store
from tests.cloudmasterd.control.conftest import CLOUD, write
from tests.cloudmasterd.store.test_audit_verify import tamper
from tests.fakes import FakeClock

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("theirs", "expected"), [(0.5, 0.0), (1.0, 0.0), (31.0, 30.0), (-9.0, -9.0)],
    ids=["between", "at the answer", "ahead", "behind"],
)  # fmt: skip
def test_a_clock_is_off_by_what_the_way_there_cannot_explain(theirs: float, expected: float) -> None:
    assert skew_s(NOW, NOW.timestamp() + theirs, at(1)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("skew", "level"),
    [(0, Level.OK), (-4, Level.OK), (6, Level.WARN), (-61, Level.FAULT), (1e9, Level.FAULT)],
)
def test_a_clock_is_judged_by_how_far_it_is_off(skew: float, level: Level) -> None:
    found = judge_skew(CLOUD, skew)
    assert found.level is level
    assert bool(found.remedy) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("end", "level"),
    [
        (at(40 * 86400), Level.OK),
        (at(29 * 86400), Level.WARN),
        (at(0), Level.FAULT),
        (at(-1), Level.FAULT),
        (None, Level.FAULT),
    ],
)
def test_a_certificate_is_judged_by_its_end(end: Optional[datetime], level: Level) -> None:
    assert judge_end("certificate", end, NOW, "sign it").level is level


@pytest.mark.parametrize(("free", "level"), [(2**31, Level.OK), (2**29, Level.WARN), (0, Level.FAULT)])
def test_a_disk_is_judged_by_its_room(free: int, level: Level) -> None:
    assert judge_room("disk", Path("/var"), free, 2**40).level is level


@pytest.mark.parametrize(("mode", "right"), [(0o644, "0600"), (0o100660, "0600")])
def test_a_mode_that_lets_others_in_comes_with_the_right_one(mode: int, right: str) -> None:
    found = judge_mode(Path("/x/y"), mode, 0o077, "others read it")
    assert found is not None and found.remedy == f"chmod {right} /x/y"
    assert judge_mode(Path("/x/y"), 0o600, 0o077, "others read it") is None


def test_the_worst_finding_counts() -> None:
    assert worst([]) is Level.OK
    assert worst([ok("a", "b"), warn("a", "b", "c")]) is Level.WARN


# ------------------------------------------------------------------------------------- this machine


@pytest.fixture
def config(master: Places, unused_port: Callable[[], int]) -> Config:
    return replace(load_config(None, master.root), public_url=f"http://127.0.0.1:{unused_port()}/")


def findings(config: Config, master: Places, clock: FakeClock) -> list[Finding]:
    return list(check_here.check_here(config, master, clock))


def about(what: str, found: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.what.startswith(what)]


def test_a_machine_whose_files_are_in_order_has_no_fault_in_them(
    config: Config, master: Places, clock: FakeClock
) -> None:
    found = findings(config, master, clock)
    for what in ("database", "permissions", "certificate /", "disk"):
        assert {one.level for one in about(what, found)} == {Level.OK}, what
    assert {one.level for one in about("status", found)} == {Level.FAULT, Level.WARN}, "nothing runs"
    assert all(one.remedy for one in found if one.level is not Level.OK)


def test_the_cloud_masters_own_certificate_is_looked_at(
    config: Config, master: Places, clock: FakeClock
) -> None:
    (found,) = about("certificate of this", findings(config, master, clock))
    assert found.level is Level.FAULT
    assert "has no certificate of its own yet" in found.seen
    for name in ("tokens/one.json", "replaced/old.cert"):  # no certmaster wrote these
        (master.root / "var/lib/certmaster" / name).unlink()
    authority = Authority(load_certmaster_config(master.root), "master.example.org", clock.now)
    own = open_own(config.func_root, config.pki_dir, clock.now)
    assert own is not None
    obtain(own, lambda csr: (authority.masters.certify(csr.encode()).decode(), authority.prepare().decode()))
    (found,) = about("certificate of this", findings(config, master, clock))
    assert found.level is Level.OK
    authority.revoke("cloudmaster@*")
    (found,) = about("certificate of this", findings(config, master, clock))
    assert found.level is Level.FAULT and "is revoked" in found.seen


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("etc/pki/certmaster/ca/certmaster.key", 0o644),
        ("etc/pki/certmaster/ca/certmaster.key", 0o640),
        ("var/lib/cloudmasterd/pki", 0o770),
        ("var/lib/cloudmasterd/pki/master.key", 0o640),
        ("var/lib/cloudmasterd/first-password", 0o644),
        ("var/lib/certmaster/tokens/one.json", 0o640),
        ("var/lib/cloudmasterd/cloudmasterd.db", 0o644),
        ("etc/pki/certmaster/ca/certmaster.crt", 0o666),
        ("var/lib/certmaster/replaced", 0o777),
    ],
)
def test_a_mode_that_is_too_wide_is_found(
    config: Config, master: Places, clock: FakeClock, name: str, mode: int
) -> None:
    (master.root / name).chmod(mode)
    found = about("permissions", findings(config, master, clock))[0]
    assert found.level is Level.FAULT and name in found.seen and found.remedy.startswith("chmod ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_database_of_another_user_is_found(config: Config, master: Places, clock: FakeClock) -> None:
    os.chown(master.database.parent, 65534, 65534)
    texts = [one.seen for one in about("permissions", findings(config, master, clock))]
    assert any(str(master.database) in text and "user 0's" in text for text in texts)
    assert not any("cannot read" in text for text in texts)
    master.func.ca_cert.chmod(0o640)
    texts = [one.seen for one in about("permissions", findings(config, master, clock))]
    assert any("cannot read" in text and "certmaster.crt" in text for text in texts)


def test_a_damaged_database_is_found(config: Config, master: Places, clock: FakeClock) -> None:
    data = bytearray(master.database.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    master.database.write_bytes(data)
    (found,) = about("database", findings(config, master, clock))
    assert found.level is Level.FAULT and "restore" in found.remedy


def test_a_record_that_somebody_wrote_into_is_found(config: Config, master: Places, clock: FakeClock) -> None:
    with closing(Store(master.database)) as store:
        for number in range(3):
            store.audit.add(Deed("bob", f"do{number}"))
    (found,) = about("audit", findings(config, master, clock))
    assert (found.level, found.seen) == (Level.OK, "3 records, whole from 1 on")
    tamper(master.database, "DELETE FROM audit WHERE id = 2")
    (found,) = about("audit", findings(config, master, clock))
    assert found.level is Level.FAULT
    assert "removed: 2, before record 3" in found.seen and "audit verify" in found.remedy


def test_a_missing_authority_is_found(config: Config, master: Places, clock: FakeClock) -> None:
    master.func.ca_cert.unlink()
    (found,) = about("authority", findings(config, master, clock))
    assert "certmaster" in found.remedy


def test_a_certificate_that_is_none_is_found(config: Config, master: Places, clock: FakeClock) -> None:
    write(master.root / "etc/pki/certmaster/me.cert", "garbage")
    levels = {
        one.what.rpartition("/")[2]: one.level
        for one in about("certificate /", findings(config, master, clock))
    }
    assert levels == {"certmaster.crt": Level.OK, "me.cert": Level.FAULT}


def test_a_name_nobody_knows_is_found(config: Config, master: Places, clock: FakeClock) -> None:
    lost = replace(config, public_url="http://nowhere.invalid/")
    (found,) = about("name nowhere.invalid", findings(lost, master, clock))
    assert found.level is Level.FAULT and "DNS" in found.remedy


def test_a_cobbler_server_that_is_silent_is_found(
    config: Config, master: Places, clock: FakeClock, unused_port: Callable[[], int]
) -> None:
    asked = replace(config, cobbler_server=parse_address(f"http://127.0.0.1:{unused_port()}"))
    (found,) = about("cobbler", findings(asked, master, clock))
    assert found.level is Level.FAULT and "cobbler_server" in found.remedy
    assert about("cobbler", findings(config, master, clock)) == [], "none is configured"


# ---------------------------------------------------------------------------------- cloud instances


@dataclass
class Minions:
    """A Fabric whose cloud instances answer from a table: {(cloud, method): value or error}."""

    clock: FakeClock
    table: dict[tuple[str, str], Any] = field(default_factory=dict)
    clouds: tuple[str, ...] = (CLOUD,)
    expires: Optional[datetime] = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def list_clouds(self) -> list[str]:
        return list(self.clouds)

    def certificate_expires_at(self, cloud: str) -> Optional[datetime]:
        return self.expires or self.clock.now() + timedelta(days=100)

    def call(self, cloud: str, method: str, *args: Any, timeout_s: Optional[float] = None) -> Any:
        raise FabricError("the check asks all at once")

    def ask_all(
        self, calls: Mapping[str, Call], timeout_s: Optional[float] = None
    ) -> Iterator[Sequence[Answer]]:
        for cloud, call in calls.items():
            self.asked.append((cloud, call.method))
            default = (
                self.clock.now().timestamp()
                if call.method == "test.sleep"
                else {"cpus": "4", "phymemory": "8"}
            )
            value = self.table.get((cloud, call.method), default)
            yield [Answer(cloud, error=value) if isinstance(value, FabricError) else Answer(cloud, value)]


def levels(minions: Minions, master: Places) -> dict[str, Level]:
    found = check_clouds(minions, master.func, minions.clock, 5)
    return {finding.what: finding.level for finding in found}


def test_a_cloud_instance_that_is_well_is_well_in_four_lines(master: Places, clock: FakeClock) -> None:
    assert levels(Minions(clock), master) == {
        f"name {CLOUD}": Level.OK,
        f"certificate of {CLOUD}": Level.OK,
        f"clock of {CLOUD}": Level.OK,
        f"libvirt on {CLOUD}": Level.OK,
    }


def test_a_clock_that_is_an_hour_ahead_is_found(master: Places, clock: FakeClock) -> None:
    minions = Minions(clock, {(CLOUD, "test.sleep"): clock.now().timestamp() + 3600})
    assert levels(minions, master)[f"clock of {CLOUD}"] is Level.FAULT


TROUBLE = [
    (CloudUnreachable("no route"), "firewall-cmd"),
    (CloudRefused("not trusted"), "minion.conf"),
    (RemoteFault("ValueError", "odd"), "journalctl -u funcd"),
]


@pytest.mark.parametrize(("error", "remedy"), TROUBLE, ids=lambda value: type(value).__name__)
def test_a_minion_that_does_not_answer_is_found_and_not_asked_again(
    master: Places, clock: FakeClock, error: FabricError, remedy: str
) -> None:
    minions = Minions(clock, {(CLOUD, "test.sleep"): error})
    found = {one.what: one for one in check_clouds(minions, master.func, clock, 5)}
    assert remedy in found[f"minion {CLOUD}"].remedy
    assert minions.asked == [(CLOUD, "test.sleep")]


LIBVIRT = [
    (
        RemoteFault("HostError", "x", reason="libvirt at qemu:///system cannot be opened: no socket"),
        "virtqemud",
    ),
    (RemoteFault("ModuleNotFoundException", "x", reason="no module virt"), "cloudmasterd-minion"),
    (RemoteFault("HostError", "x", reason="binding is not installed"), "cloudmasterd-minion"),
]


@pytest.mark.parametrize(("error", "remedy"), LIBVIRT, ids=["no daemon", "no module", "no binding"])
def test_a_libvirt_out_of_reach_is_found_with_its_own_words(
    master: Places, clock: FakeClock, error: RemoteFault, remedy: str
) -> None:
    minions = Minions(clock, {(CLOUD, "virt.nodeinfo"): error})
    found = {one.what: one for one in check_clouds(minions, master.func, clock, 5)}
    assert found[f"libvirt on {CLOUD}"].seen == error.reason
    assert remedy in found[f"libvirt on {CLOUD}"].remedy


def test_an_answer_nobody_expects_is_found(master: Places, clock: FakeClock) -> None:
    minions = Minions(clock, {(CLOUD, "test.sleep"): "soon", (CLOUD, "virt.nodeinfo"): ["x"]})
    assert levels(minions, master)[f"minion {CLOUD}"] is Level.FAULT


def test_a_name_without_an_address_is_found_and_nobody_is_asked(master: Places, clock: FakeClock) -> None:
    minions = Minions(clock, clouds=("cloud9.invalid",))
    found = levels(minions, master)
    assert found["name cloud9.invalid"] is Level.FAULT
    assert minions.asked == []


def test_a_certificate_that_ends_soon_is_found(master: Places, clock: FakeClock) -> None:
    minions = Minions(clock, expires=clock.now() + timedelta(days=3))
    assert levels(minions, master)[f"certificate of {CLOUD}"] is Level.WARN
