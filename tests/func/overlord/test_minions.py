"""Minions as Func's users ask for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from func.errors import ConfigError, NoMinions
from func.overlord.client import Client, Minions, expand_servers, is_minion
from tests.func.overlord.farm import Farm, write_root

A, B = NAMES = ["cloud1.example.org", "cloud2.example.org"]


@pytest.fixture
def root(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CERTMASTER_ROOT", str(tmp_path))
    return write_root(tmp_path, farm, NAMES)


def test_names_and_addresses_are_those_of_the_certificates(root: Path) -> None:
    assert Minions("*").get_all_hosts() == NAMES
    assert Minions("*", port=51234, exclude_spec="*2*").get_urls() == [f"https://{A}:51234"]
    assert Minions("*", just_fqdns=True).get_urls() == NAMES
    assert Minions("nobody").get_hosts_for_spec("CLOUD2*") == {B}
    assert expand_servers("cloud1*", just_fqdns=True) == [A]
    assert expand_servers("cloud1*", 99) == [f"https://{A}:99"]


def test_whether_a_word_means_anybody(root: Path) -> None:
    assert is_minion("cloud*") is True
    assert is_minion("call") is False
    assert Minions("call").get_all_hosts() == []


def test_machines_known_to_be_down_are_not_called(farm: Farm, root: Path) -> None:
    down = root / "var/lib/func/hosts_down.lst"
    down.parent.mkdir(parents=True)
    down.write_text(f"# since Monday\n\n{A}  # its disk\n")
    assert Minions("*").downed_hosts == [A]
    assert Minions("*").get_all_up_hosts() == [B]
    with Client("*") as client:
        assert client.list_minions() == NAMES
        assert sorted(client.test.ping()) == [B]
    assert {name for name, _, _ in farm.calls} == {B}


def test_a_list_that_cannot_be_read_is_named(root: Path) -> None:
    (root / "var/lib/func/hosts_down.lst").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"hosts_down.lst: the list of machines that are down"):
        Minions("*").get_urls()


def test_nobody_is_an_error_that_knows_who_was_meant(root: Path) -> None:
    (root / "etc/func/groups").write_text("[web]\nhost = cloud1*\n")
    for spec, near in (("cloud1", (A,)), ("@wbe", ("@web",)), ("zzz", ())):
        with pytest.raises(NoMinions, match=rf'^Can\'t find any minions matching "{spec}"\.$') as error:
            Client(spec)
        assert error.value.near == near


def test_groups_are_read_only_where_one_is_named(root: Path) -> None:
    (root / "etc/func/groups").write_text("no group file\n")
    assert Client("*").list_minions() == NAMES
    with pytest.raises(ConfigError, match="groups, line 1"):
        Client("@web")
