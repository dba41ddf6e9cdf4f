"""What a caller may ask to be installed, and what never reaches koan."""

from __future__ import annotations

from typing import Any

import pytest

from func.minion.codes import BadSpec
from func.minion.install.order import classic_order, hidden, order, redacted
from tests.func.minion.machine.support import spec

HOSTILE = (
    "", "-p", "a b", "$(reboot)", "`id`", "a;b", "a|b", "a&b", "a'b", 'a"b', "a\nb", "a>b", "../x", "a/b",
    "x" * 64, "\u00e4", None, 7, True, ["a"],
)  # fmt: skip


def given(**changes: Any) -> dict[str, Any]:
    """The arguments of an installation that could be; a change to ... leaves one out."""
    found = {**spec(boot=...), "server": "cobbler.example.org", "profile": "GenomeCloud-F8-i386", **changes}
    return {key: value for key, value in found.items() if value is not ...}


def test_a_machine_and_where_it_is_installed_from() -> None:
    found = order(given(kernel_options={"certmaster": "cloud.example.org", "genome_sshkey": ["a,A", "b,B"]}))
    assert (found.server, found.profile, found.deadline_s) == (
        "cobbler.example.org",
        "GenomeCloud-F8-i386",
        900,
    )
    assert found.machine.name == "new1.example.org" and found.machine.boot == ("hd",)
    assert found.options == (
        ("certmaster", "cloud.example.org"), ("genome_sshkey", "a,A"), ("genome_sshkey", "b,B")
    )  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("field", ["name", "profile", "server"])
def test_a_name_that_a_shell_could_read_otherwise_is_refused(field: str, value: Any) -> None:
    if field == "server" and value in ("x" * 64,):
        value = "x" * 254
    with pytest.raises(BadSpec, match=field):
        order(given(**{field: value}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certmaster": "$(reboot)"}, r"kernel_options\.certmaster is a text of letters"),
        ({"certmaster": "a b"}, "not 'a b'"),
        ({"certmaster": ""}, "not ''"),
        ({"certmaster": 'x" --disk="y'}, "certmaster"),
        ({"certmaster": 7}, "not 7"),
        ({"certmaster": ["ok", "not ok"]}, "not 'not ok'"),
        ({"inst.ks": "http://elsewhere/"}, "'inst.ks' is no key of ours"),
        ({"ks": "http://elsewhere/"}, "'ks' is no key of ours"),
        ({"root": "/dev/sda"}, "is no key of ours"),
        ({"Upper": "x"}, "is no key of ours"),
        ({"a=b": "x"}, "is no key of ours"),
        ({"a": "x" * 2046}, "at most 2048 characters in all, not 2049"),
        (["certmaster=x"], "is a JSON object"),
    ],
    ids=str,
)
def test_kernel_options_that_are_none_are_refused(options: Any, words: str) -> None:
    with pytest.raises(BadSpec, match=words):
        order(given(kernel_options=options))


def test_a_secret_that_is_wrong_is_not_shown() -> None:
    with pytest.raises(BadSpec) as caught:
        order(given(kernel_options={"genome_token": "not so secret"}))
    assert "so secret" not in str(caught.value) and "genome_token" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"disks": []}, "disks is empty"),
        ({"networks": []}, "networks is empty"),
        ({"cdrom": {"pool": "default", "volume": "x.iso"}}, "neither cdrom nor seed"),
        ({"seed": True}, "neither cdrom nor seed"),
        ({"boot": ["cdrom"]}, "boot is left out"),
        ({"deadline_s": 9}, "from 10 to 7200, not 9"),
        ({"deadline_s": True}, "from 10 to 7200, not True"),
        ({"deadline_s": "60"}, "from 10 to 7200, not '60'"),
        ({"memory_mb": 0}, "memory_mb is a whole number"),
        ({"ram": 7}, "unknown 'ram'"),
        ({"server": ...}, "server is a host name"),
        ({"profile": ...}, "profile is no name: None"),
    ],
    ids=str,
)
def test_what_cannot_be_installed_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSpec, match=words):
        order(given(**changes))


def test_of_secrets_only_their_sum_is_kept() -> None:
    raw = given(kernel_options={"genome_token": "T" * 43, "certmaster": "cloud.example.org"})
    kept = hidden(raw)
    assert "T" * 43 not in str(kept)
    assert kept["kernel_options"]["certmaster"] == "cloud.example.org"
    assert kept == hidden(raw)
    other = {**raw, "kernel_options": {**raw["kernel_options"], "genome_token": "U" * 43}}
    assert kept != hidden(other)
    assert hidden(given()) == given()


def test_a_text_loses_its_secrets() -> None:
    options = (("genome_token", "T" * 43), ("certmaster", "cloud.example.org"))
    assert redacted(f"a {'T' * 43} of cloud.example.org", options) == "a *** of cloud.example.org"


def test_texts_of_the_func_command_are_understood() -> None:
    found = classic_order("cobbler.example.org", "F8", "False", "None", "/var/lib/vm/", "1")
    assert (found.system, found.name, found.path, found.graphics) == (False, None, "/var/lib/vm/", True)
    found = classic_order("cobbler.example.org", "web1", True, "web1.example.org")
    assert (found.system, found.name, found.path, found.graphics) == (True, "web1.example.org", None, False)


@pytest.mark.parametrize("path", ["vg0", "vg0:lv1", "relative/x", "/a b", "/x;reboot", "/a/../etc", "/x,/y"])
def test_a_path_that_could_not_be_cleaned_up_is_refused(path: str) -> None:
    with pytest.raises(BadSpec, match="virt_path is an absolute path"):
        classic_order("cobbler.example.org", "F8", path=path)


@pytest.mark.parametrize("value", [value for value in HOSTILE if value not in (None, "")], ids=repr)
def test_classic_names_are_checked_as_well(value: Any) -> None:
    for arguments in ({"target": value}, {"target": "F8", "name": value}):
        with pytest.raises(BadSpec, match="is no name"):
            classic_order("cobbler.example.org", **arguments)
