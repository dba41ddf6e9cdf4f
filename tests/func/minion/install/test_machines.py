"""machine.install and machine.cancel_install as a caller meets them, on libvirt's test driver.

koan is one of the test's own here; with the real one the same is in tests/installs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from func.errors import HostError
from func.minion import codes
from func.minion.children import Interrupted
from func.minion.install.koan import Ended
from func.minion.install.order import Order
from func.minion.lane import Unanswered
from func.minion.operations import Entry, Journal
from tests.func.minion.helpers import wait_for
from tests.func.minion.install.test_order import given
from tests.func.minion.machine.support import NEW, OFF, Cloud

OPERATION = "operation-x"
NAME = "new1.example.org"
TOKEN = "T" * 43
WELL = Ended(0, "", True)


class OwnKoan:
    """An Installer that boots the machine, or whatever else the test has it do."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.runs: list[str] = []
        self.has_started: set[str] = set()
        self.swept: list[str] = []
        self.forgotten: list[str] = []
        self.missing = ""
        self.may_end = threading.Event()
        self.may_end.set()
        self.does: Callable[[], Ended] = self.boot

    def boot(self) -> Ended:
        self.cloud.domain(NEW).create()
        return WELL

    def why_not(self, driver: str) -> str:
        return self.missing

    def install(self, operation: str, order: Order, uri: str, stopped: Callable[[float], bool]) -> Ended:
        self.runs.append(operation)
        while not self.may_end.wait(0.01):
            if stopped(0):
                raise Interrupted("told to stop")
        ended = self.does()
        if ended.started:
            self.has_started.add(operation)
        return ended

    def started(self, operation: str) -> bool:
        return operation in self.has_started

    def sweep(self, operation: str) -> None:
        self.swept.append(operation)

    def forget(self, operation: str) -> None:
        self.forgotten.append(operation)
        self.has_started.discard(operation)


class Minion:
    """The module with that koan; it can end and begin anew."""

    def __init__(self, cloud: Cloud, root: Path) -> None:
        self.cloud, self.root = cloud, root
        self.koan = OwnKoan(cloud)
        self.again()

    def again(self) -> None:
        """A new minion on the same host, as after a crash."""
        link = self.cloud.link
        self.module = Cloud(self.root, link.uri, link, installer=self.koan).module

    def install(self, operation: str = OPERATION, **changes: Any) -> dict[str, Any]:
        return dict(json.loads(self.module.install(operation, json.dumps(given(**changes)))))

    def installed(self, operation: str = OPERATION, **changes: Any) -> dict[str, Any]:
        """The answer once it does not run any more; raises what the last call raised."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [self.install(operation, **changes)]
            return found[0]["state"] == "done"

        wait_for(look, "the installation to end")
        return found[0]

    def running(self) -> None:
        """Have it come to koan, and stay there."""
        self.koan.may_end.clear()
        self.install()
        wait_for(lambda: self.koan.runs, "koan to run")

    def cancel(self, operation: str = OPERATION) -> bool:
        return bool(json.loads(self.module.cancel_install(operation))["cancelled"])

    def journal(self) -> Journal:
        return Journal(self.root / "var/lib/func/operations")

    def domain(self) -> Any:
        return self.cloud.domain(NEW)

    def is_there(self) -> bool:
        return NAME in self.cloud.machines()


@pytest.fixture
def minion(cloud: Cloud, tmp_path: Path) -> Iterator[Minion]:
    made = Minion(cloud, tmp_path)
    yield made
    made.koan.may_end.set()
    made.module._background.close(60)


def test_a_machine_is_installed_and_ours(minion: Minion) -> None:
    assert minion.install()["state"] == "running"
    answer = minion.installed()
    assert answer == {
        "state": "done", "uuid": NEW,
        "detail": f"{NAME} runs its installer: profile GenomeCloud-F8-i386 of cobbler.example.org",
    }  # fmt: skip
    domain = minion.domain()
    assert (domain.isActive(), domain.isPersistent(), domain.autostart()) == (1, 1, 1)
    assert f'operation="{OPERATION}"' in domain.XMLDesc().replace("'", '"')
    described = minion.cloud.do("describe", uuid=NEW)
    assert (described["managed"], described["vcpus"], described["max_memory_mb"]) == (True, 2, 512)
    assert minion.install() == answer
    assert minion.koan.runs == [OPERATION]
    assert minion.koan.forgotten == [OPERATION]


def test_it_does_not_start_with_its_host_before_it_is_installed(minion: Minion) -> None:
    minion.running()
    assert minion.domain().autostart() == 0
    minion.koan.may_end.set()
    minion.installed()
    assert minion.domain().autostart() == 1


def test_koan_has_no_say_in_whether_it_starts_with_its_host(minion: Minion) -> None:
    def boot() -> Ended:
        minion.domain().setAutostart(1)
        return minion.koan.boot()

    minion.koan.does = boot
    minion.installed(autostart=False)
    assert minion.domain().autostart() == 0


def test_an_installer_that_was_quicker_than_koan_is_no_failure(minion: Minion) -> None:
    def quick() -> Ended:
        minion.koan.boot()
        minion.domain().destroy()
        return WELL

    minion.koan.does = quick
    assert "has ended its installation" in minion.installed()["detail"]
    assert minion.is_there()


def test_others_are_served_while_koan_runs(minion: Minion) -> None:
    minion.running()
    assert minion.install()["detail"].startswith("koan has the machine boot")
    assert json.loads(minion.module.operation(OPERATION)) == {"state": "running"}
    started = json.loads(minion.module.perform("operation-y", "start", json.dumps({"uuid": OFF})))
    assert started["changed"] is True


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended(1, "No entry", False), "koan ended with 1. The last it said: No entry"),
        (Ended(None, "", False), "koan was not done within 900 s. The last it said: nothing"),
        (Ended(0, "done", False), "koan ended well, but never came to virt-install"),
        (Ended(1, "oh", True), "koan had the machine boot, and then ended with 1"),
    ],
    ids=["failed", "too late", "did nothing", "failed after that"],
)
@pytest.mark.parametrize("boots", [False, True])
def test_a_failure_leaves_no_machine_and_is_told_again(
    minion: Minion, ended: Ended, words: str, boots: bool
) -> None:
    def fail() -> Ended:
        if boots:
            minion.koan.boot()
        return ended

    minion.koan.does = fail
    before = minion.cloud.volumes()
    for _ in range(2):
        with pytest.raises(
            HostError, match="profile GenomeCloud-F8-i386 of cobbler.example.org was not"
        ) as told:
            minion.installed()
        assert words in str(told.value)
    assert not minion.is_there()
    assert minion.cloud.volumes() == before, "its disk is whose made it"
    assert (minion.koan.runs, minion.koan.forgotten) == ([OPERATION], [OPERATION])


def test_a_koan_that_cannot_run_leaves_no_machine(minion: Minion) -> None:
    def fail() -> Ended:
        raise HostError("koan cannot be started: no room")

    minion.koan.does = fail
    with pytest.raises(HostError, match="cannot be started"):
        minion.installed()
    assert not minion.is_there()


def test_a_machine_that_is_not_as_it_was_defined_is_no_success(minion: Minion) -> None:
    def spoil() -> Ended:
        domain = minion.domain()
        xml = domain.XMLDesc().replace("<boot dev='hd'/>", "<kernel>/vmlinuz</kernel>")
        minion.cloud.connection.defineXML(xml)
        return minion.koan.boot()

    minion.koan.does = spoil
    with pytest.raises(HostError, match="other than it was defined"):
        minion.installed()
    assert not minion.is_there()


def test_a_machine_that_koan_lost_is_no_success(minion: Minion) -> None:
    def lose() -> Ended:
        minion.domain().undefine()
        return WELL

    minion.koan.does = lose
    with pytest.raises(HostError, match=f"libvirt has no machine '{NAME}'"):
        minion.installed()


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"name": "off1"}, codes.NameTaken, "has a machine 'off1' already"),
        ({"uuid": OFF}, codes.NameTaken, "is that of machine 'off1'"),
        (
            {"networks": [{"network": "no", "mac": "52:54:00:00:00:09"}]},
            codes.NoSuchNetwork,
            "no network 'no'",
        ),
        ({"disks": [{"pool": "default", "volume": "no"}]}, codes.NoSuchVolume, "no volume 'no'"),
        ({"firmware": "uefi"}, codes.Unsupported, "no UEFI"),
    ],
    ids=["name", "uuid", "network", "volume", "firmware"],
)
def test_what_the_host_cannot_take_is_refused_before_koan_runs(
    minion: Minion, changes: dict[str, Any], kind: type[Exception], words: str
) -> None:
    before = minion.cloud.machines()
    for _ in range(2):
        with pytest.raises(kind, match=words):
            minion.installed(**changes)
    assert minion.cloud.machines() == before
    assert minion.koan.runs == []
    assert not minion.cancel()
    assert minion.cloud.machines() == before, "nor is another's machine removed"


def test_a_host_without_koan_says_so(minion: Minion) -> None:
    assert json.loads(minion.module.resources())["koan"] is True
    minion.koan.missing = "there is no koan"
    assert json.loads(minion.module.resources())["koan"] is False
    with pytest.raises(codes.Unsupported, match="there is no koan"):
        minion.installed()
    assert not minion.is_there()


def test_what_is_wrong_with_the_arguments_is_said_at_once(minion: Minion) -> None:
    with pytest.raises(codes.BadSpec, match="profile is no name"):
        minion.install(profile="$(reboot)")
    with pytest.raises(codes.BadSpec, match="is no operation"):
        minion.install("x")
    assert json.loads(minion.module.operation(OPERATION)) == {"state": "unknown"}


def test_the_same_operation_for_another_machine_is_refused(minion: Minion) -> None:
    minion.running()
    with pytest.raises(codes.OperationMismatch, match="with another profile"):
        minion.install(profile="other")


def test_secrets_are_in_no_error_and_no_journal(minion: Minion) -> None:
    minion.koan.does = lambda: Ended(1, f"genome_token={TOKEN} is no good", False)
    secret = {"kernel_options": {"genome_token": TOKEN, "certmaster": "cloud.example.org"}}
    with pytest.raises(HostError, match=r"genome_token=\*\*\* is no good"):
        minion.installed(**secret)
    kept = "".join(path.read_text() for path in (minion.root / "var/lib/func/operations").iterdir())
    assert "cloud.example.org" in kept and TOKEN not in kept


# ----------------------------------------------------------------------------------------- cancelling


def test_one_that_is_cancelled_leaves_no_machine_and_stays_so(minion: Minion) -> None:
    minion.running()
    assert minion.cancel()
    assert not minion.is_there()
    assert not minion.cancel()
    with pytest.raises(HostError, match="was cancelled"):
        minion.install()
    assert minion.cloud.do("delete_disk", uuid=NEW, pool="default", volume="above.qcow2") == {"deleted": True}


def test_one_that_is_cancelled_after_it_was_done_goes_too(minion: Minion) -> None:
    minion.installed()
    assert minion.cancel()
    assert not minion.is_there()
    with pytest.raises(HostError, match="was cancelled"):
        minion.install()


def test_one_that_is_cancelled_before_it_came_never_begins(minion: Minion) -> None:
    assert not minion.cancel()
    with pytest.raises(codes.OperationMismatch):
        minion.install()
    assert minion.koan.runs == [] and not minion.is_there()


def test_cancelling_spares_what_another_operation_made(minion: Minion) -> None:
    minion.koan.does = lambda: Ended(1, "", False)
    with pytest.raises(HostError):
        minion.installed()
    minion.koan.does = minion.koan.boot
    minion.installed("operation-y")
    assert not minion.cancel()
    assert minion.is_there()


# ------------------------------------------------------------------------------------ after funcd ended


def cut_off(minion: Minion, does: Optional[Callable[[], Any]] = None) -> None:
    """The minion ends while koan is at work; `does` is what koan still did, and the next minion is there."""
    minion.running()
    minion.module._background.close(60)
    if does is not None:
        does()
    minion.koan.may_end.set()
    minion.again()
    assert json.loads(minion.module.operation(OPERATION)) == {"state": "cut-off"}


def test_what_koan_had_not_come_to_is_done_again(minion: Minion) -> None:
    cut_off(minion)
    assert minion.installed()["state"] == "done"
    assert minion.koan.runs == [OPERATION, OPERATION]
    assert minion.koan.swept == [OPERATION], "the koan of before is ended first"
    assert minion.domain().isActive()


def test_a_machine_that_runs_its_installer_is_left_to_it(minion: Minion) -> None:
    cut_off(minion, minion.koan.boot)
    assert "runs its installer" in minion.installed()["detail"]
    assert minion.koan.runs == [OPERATION]
    assert minion.domain().autostart() == 1


def test_a_machine_that_was_installed_meanwhile_is_not_installed_again(minion: Minion) -> None:
    def all_of_it() -> None:
        minion.koan.boot()
        minion.koan.has_started.add(OPERATION)
        minion.domain().destroy()

    cut_off(minion, all_of_it)
    assert "has ended its installation" in minion.installed()["detail"]
    assert minion.koan.runs == [OPERATION]


def test_one_that_had_failed_is_cleaned_up_and_not_tried_again(minion: Minion) -> None:
    cut_off(minion, minion.koan.boot)
    entry = minion.journal().find(OPERATION)
    assert isinstance(entry, Entry)
    minion.journal().write(replace(entry, notes=("failed: koan ended with 1",)))
    with pytest.raises(HostError, match="koan ended with 1"):
        minion.installed()
    assert not minion.is_there() and minion.koan.runs == [OPERATION]


def test_one_that_was_cut_off_can_be_cancelled(minion: Minion) -> None:
    cut_off(minion, minion.koan.boot)
    assert minion.cancel()
    assert minion.koan.swept == [OPERATION]
    assert not minion.is_there()
    with pytest.raises(HostError, match="was cancelled"):
        minion.install()


def test_a_koan_that_is_gone_since_leaves_no_machine(minion: Minion) -> None:
    cut_off(minion)
    minion.koan.missing = "there is no koan"
    with pytest.raises(codes.Unsupported, match="there is no koan"):
        minion.installed()
    assert not minion.is_there()


# --------------------------------------------------------------------------------- when libvirt is away


class Flaky:
    """The calls to libvirt, of which the N-th finds it gone."""

    def __init__(self, calls: Any, fatal: int, begun: bool) -> None:
        self.calls, self.fatal, self.begun = calls, fatal, begun
        self.made = 0

    def act(self, work: Any) -> Any:
        self.made += 1
        if self.made == self.fatal:
            raise Unanswered("libvirt is gone", begun=self.begun)
        return self.calls.act(work)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("fails", [False, True], ids=["well", "in failure"])
@pytest.mark.parametrize("fatal", [1, 2])
def test_a_libvirt_that_comes_back_sees_it_ended(
    minion: Minion, fatal: int, fails: bool, begun: bool
) -> None:
    if fails:
        minion.koan.does = lambda: Ended(1, "no", False)
    module = minion.module
    module._machines = replace(module._machines, calls=Flaky(module._calls, fatal, begun))  # type: ignore[arg-type]
    with pytest.raises(HostError, match="libvirt is gone"):
        minion.installed()
    if fails:
        with pytest.raises(HostError, match="koan ended with 1"):
            minion.installed()
    else:
        minion.installed()
    assert minion.is_there() is not fails
    assert minion.koan.runs == [OPERATION]
