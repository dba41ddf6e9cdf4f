"""What joining takes, what speaks against it, and what becomes of the configuration's text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from func.errors import HostError
from func.minion.join.errors import JoinRefused
from func.minion.join.files import Undoable
from func.minion.join.ini import says, set_main
from func.minion.join.plan import OVERRIDES, Plan, Present, Wanted, make_plan
from func.minion.join.services import Services

A, B = "a" * 64, "b" * 64
NEW = Present("localhost", 51235, "", "", Path("/d/ca.cert"), Path("/d/me.cert"), False)
JOINED = replace(NEW, master="cloud.example.org", authority=A, has_certificate=True)
FILES = (Path("/d/ca.cert"), Path("/d/me.cert"))


def test_a_new_machine_gets_what_was_said() -> None:
    wanted = Wanted("cloud.example.org", 51236, A)
    assert make_plan(wanted, NEW) == Plan(
        {"certmaster": "cloud.example.org", "certmaster_port": "51236", "ca_fingerprint": A},
        of_func={OVERRIDES: "no"},
    )


def test_what_was_not_said_stays_as_it_is() -> None:
    plan = make_plan(Wanted("cloud.example.org"), replace(NEW, says_overrides=True))
    assert plan == Plan({"certmaster": "cloud.example.org"})


@pytest.mark.parametrize(
    ("present", "set_to"),
    [
        (NEW, "no"),
        (replace(NEW, says_overrides=True), None),
        (JOINED, None),
        (replace(NEW, authority=A), None),
        (replace(NEW, has_certificate=True), None),
    ],
    ids=["new", "somebody said", "joined", "knows an authority", "has a certificate"],
)
def test_who_was_commanded_by_an_overlord_before_goes_on_as_it_says(
    present: Present, set_to: Optional[str]
) -> None:
    assert make_plan(Wanted("cloud.example.org"), present).of_func.get(OVERRIDES) == set_to


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", False),
        ("[main]\n#certmaster_overrides_acls = yes\n", False),
        ("[main]\ncertmaster_overrides_acls = yes\n", True),
        ("[main]\nCertmaster_Overrides_ACLs: 1\n", True),
        ("[other]\ncertmaster_overrides_acls = yes\n", False),
    ],
)
def test_what_somebody_said_is_found(text: str, said: bool) -> None:
    assert says(text, OVERRIDES) is said


def test_the_same_master_again_is_no_second_one() -> None:
    assert make_plan(Wanted("Cloud.example.org", 0, A), JOINED).aside == ()


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted("other.example.org"), "belongs to cloud.example.org"),
        (Wanted("cloud.example.org", 51236), "belongs to cloud.example.org"),
        (Wanted("cloud.example.org", 0, B), "trusts the authority a"),
    ],
    ids=["another master", "another port", "another authority"],
)
def test_a_second_master_is_refused_and_by_force_replaces_the_first(wanted: Wanted, told: str) -> None:
    with pytest.raises(JoinRefused, match=told):
        make_plan(wanted, JOINED)
    assert make_plan(replace(wanted, force=True), JOINED).aside == FILES


def test_the_old_pin_goes_with_the_old_master() -> None:
    wanted = Wanted("other.example.org", force=True)
    assert make_plan(wanted, replace(JOINED, ca_fingerprint=A)).settings["ca_fingerprint"] == ""


def test_a_restored_master_under_a_new_name_needs_no_new_certificate() -> None:
    assert make_plan(Wanted("other.example.org", 0, A, force=True), JOINED).aside == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[main]\na = 1\n"),
        ("[main]\n", "[main]\na = 1\n"),
        ("# mine\n[main]\n;a = 0\nb = 2\n", "# mine\n[main]\na = 1\n;a = 0\nb = 2\n"),
        ("[main]\nA : 0\nb = 2\n", "[main]\na = 1\nb = 2\n"),
        ("[main]\na = 0\na = 5\n", "[main]\na = 1\n"),
        ("[main]\naa = 0\n", "[main]\na = 1\naa = 0\n"),
        ("[other]\na = 0\n[main]\nb = 2\n", "[other]\na = 0\n[main]\na = 1\nb = 2\n"),
        ("a = 0\n", "[main]\na = 1\na = 0\n"),
        ("[main]\na=0", "[main]\na = 1\n"),
    ],
)
def test_a_setting_is_changed_and_every_other_line_stays(before: str, after: str) -> None:
    assert set_main(before, {"a": "1"}) == after
    if not before.startswith("a ="):
        assert set_main(after, {"a": "1"}) == after, "twice is once"


def test_an_empty_value_takes_a_setting_out() -> None:
    assert set_main("[main]\na = 0\nb = 2\n", {"a": ""}) == "[main]\nb = 2\n"
    assert set_main("[main]\nb = 2\n", {"a": ""}) == "[main]\nb = 2\n"


def test_files_that_are_not_kept_are_as_they_were(tmp_path: Path) -> None:
    old, new, moved = tmp_path / "old", tmp_path / "new", tmp_path / "moved"
    old.write_text("before")
    old.chmod(0o640)
    moved.write_text("m")
    with Undoable() as files:
        files.write(old, "after", 0o644)
        files.write(new, "secret", 0o600)
        files.put_aside(moved, ".aside")
        assert (old.read_text(), old.stat().st_mode & 0o777) == ("after", 0o640)
        assert new.stat().st_mode & 0o777 == 0o600
    assert (old.read_text(), old.stat().st_mode & 0o777) == ("before", 0o640)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["moved", "old"]


def test_a_secret_in_a_file_that_everybody_could_read_is_not_for_everybody(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("")
    file.chmod(0o644)
    with Undoable() as files:
        files.write(file, "secret", 0o600)
        files.keep()
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("secret", 0o600)


SYSTEMCTL = """#!/bin/sh
echo "$@" >>{log}
case "$*" in *{fails}*) echo "Unit $2 is masked." >&2; exit 1;; esac
"""


def machine(root: Path, *units: str, fails: str = "nothing-at-all") -> Services:
    folder = root / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    for unit in units:
        (folder / unit).write_text("")
    program = root / "systemctl"
    program.write_text(SYSTEMCTL.format(log=root / "log", fails=fails))
    program.chmod(0o755)
    return Services(root, str(program))


def called(root: Path) -> list[str]:
    return (root / "log").read_text().splitlines() if (root / "log").exists() else []


@pytest.mark.parametrize(
    ("units", "started"),
    [
        (
            ("virtqemud.socket", "virtnetworkd.socket", "libvirtd.socket"),
            "virtqemud.socket virtnetworkd.socket",
        ),
        (("libvirtd.socket", "virtnetworkd.socket"), "libvirtd.socket"),
    ],
    ids=["a daemon for each duty", "one for all"],
)
def test_the_sockets_of_libvirt_that_are_there_are_started(
    tmp_path: Path, units: tuple[str, ...], started: str
) -> None:
    services = machine(tmp_path, *units)
    assert services.start_libvirt() == started.split()
    services.start_funcd()
    assert called(tmp_path) == [f"enable --now {started}", "enable funcd.service", "restart funcd.service"]


def test_without_libvirt_none_of_it_is_started(tmp_path: Path) -> None:
    assert machine(tmp_path).start_libvirt() == []
    assert called(tmp_path) == []


def test_what_systemd_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"ended with 1: Unit funcd.service is masked"):
        machine(tmp_path, fails="restart").start_funcd()
    with pytest.raises(HostError, match="cannot be run"):
        Services(tmp_path, str(tmp_path / "none")).start_funcd()


def test_systemd_is_seen_by_what_it_leaves_in_run(tmp_path: Path) -> None:
    assert not Services(tmp_path).run_here()
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert Services(tmp_path).run_here()
