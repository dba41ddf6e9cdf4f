"""Groups as Func's users change them from Python."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from func.errors import ConfigError
from func.overlord.groups import Groups
from func.overlord.targets import match

MINIONS = ["db1.example.org", "www1.example.org", "www2.example.org", "www3.example.org"]


def known(spec: str) -> Collection[str]:
    return match(spec, MINIONS, {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "groups"


@pytest.fixture
def groups(path: Path) -> Groups:
    return Groups(conf_file=path, get_hosts_for_spec=known)


def test_a_group_is_added_once(groups: Groups, path: Path) -> None:
    assert groups.add_group("Web") == (True, "")
    assert groups.add_group("web") == (False, "Group name : web already exists")
    assert path.read_text() == "[web]\nhost =\n"
    assert path.stat().st_mode & 0o777 == 0o644


def test_hosts_are_added_and_listed(groups: Groups) -> None:
    assert groups.add_host_to_group("web", "WWW1.example.org") == (True, "")
    assert groups.add_host_to_group("web", "www1.example.org") == (
        False,
        "Host is already in database : www1.example.org",
    )
    assert groups.add_hosts_to_group("web", "new1;new2,new1") == ["new1", "new2"]
    assert groups.add_hosts_to_group_glob("web", "www*", "www3*") == ["www2.example.org"]
    assert groups.get_hosts(group="Web") == ["www1.example.org", "new1", "new2", "www2.example.org"]
    assert groups.get_hosts(group="web", pattern="new", exact=False) == ["new1", "new2"]
    assert groups.get_hosts(group="web", pattern="new") == []
    assert groups.get_hosts(group="nobody") == []


def test_what_a_group_means_are_minions(groups: Groups) -> None:
    groups.add_host_list("web", ["www*", "gone"])
    groups.add_host_list("db", ["db1.example.org"])
    assert groups.get_hosts_glob("@web") == MINIONS[1:]
    assert groups.get_hosts_glob("@web:www2*;@db") == ["db1.example.org", "www2.example.org"]
    assert groups.get_hosts_glob("@web", "@web:www1*") == MINIONS[2:]


def test_groups_are_found_by_name_part_and_glob(groups: Groups) -> None:
    for name in ("web-a", "web-b", "db"):
        groups.add_group(name)
    assert groups.get_groups() == ["db", "web-a", "web-b"]
    assert groups.get_groups("WEB", exact=False) == ["web-a", "web-b"]
    assert groups.get_groups("web") == []
    assert groups.get_groups_glob("web*", "*b") == ["web-a"]


def test_hosts_and_groups_are_removed(groups: Groups) -> None:
    groups.add_host_list("web", ["www*", "www1.example.org", "www2.example.org", "db1"])
    assert groups.remove_host("web", "db1") == (True, "")
    assert groups.remove_host("web", "db1") == (False, "Non existing group or name")
    assert groups.remove_host("nobody", "db1")[0] is False
    assert groups.remove_host_glob("web", "WWW1*;www2*", "www2*") == ["www1.example.org"]
    assert groups.get_hosts(group="web") == ["www*", "www2.example.org"]
    assert groups.remove_group_glob("w*") == ["web"]
    assert groups.remove_group("web") == (False, "Group name : web doesnt exist")
    assert groups.get_groups() == []


def test_remarks_and_the_mode_of_the_file_stay(groups: Groups, path: Path) -> None:
    path.write_text("# mine\n[web]\nhost = a\n")
    path.chmod(0o600)
    groups.add_host_to_group("web", "b")
    assert path.read_text() == "# mine\n[web]\nhost = a, b\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_where_nothing_changes(groups: Groups, path: Path) -> None:
    path.write_text("[web]\nhost = a   ; odd\n")
    stamp = path.stat()
    groups.add_host_to_group("web", "a")
    groups.remove_host("web", "zzz")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stamp.st_ino, stamp.st_mtime_ns)


def test_many_who_add_at_once_lose_nothing(path: Path) -> None:
    def add(number: int) -> None:
        for part in range(5):
            Groups(conf_file=path).add_host_to_group("web", f"host{number}-{part}")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(Groups(conf_file=path).get_hosts(group="web")) == 40


def test_what_cannot_be_read_or_held_is_an_error(groups: Groups, path: Path) -> None:
    with pytest.raises(ConfigError, match="no backend 'sqlite'"):
        Groups(backend="sqlite")
    with pytest.raises(ConfigError, match="no host name"):
        groups.add_host_to_group("web", "a b")
    path.mkdir()
    with pytest.raises(ConfigError, match=r"groups.*cannot be read"):
        groups.add_group("web")
