"""The file of groups: read in any form that Func read, changed with the rest left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from func.errors import ConfigError
from func.overlord.group_file import (
    check_group_name,
    check_host,
    parse_groups,
    read_groups,
    with_hosts,
    without_group,
)

WRITTEN = """\
# who is who

[Web]
; the public ones
host = www1.example.org, www2.example.org;
    www3.example.org
owner = somebody

# the database
[db]
host: db*
"""


def test_groups_are_read_with_any_separator(tmp_path: Path) -> None:
    path = tmp_path / "groups"
    path.write_text("[Web]\nhost = a, b; c*\n\n[empty]\n[web]\nhost = d %s a\n")
    assert read_groups(path) == {"web": ("a", "b", "c*", "d", "%s"), "empty": ()}
    assert read_groups(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("text", "where"), [("host = a\n", "line 1"), ("[web\n", "line 1"), ("[web]\nwhat\n", "line 2")]
)
def test_a_broken_file_of_groups_is_named(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "groups"
    path.write_text(text)
    with pytest.raises(ConfigError, match=where):
        read_groups(path)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "groups"
    path.write_bytes(b"[web]\nhost = \xff\n")
    with pytest.raises(ConfigError, match="byte 13 is not UTF-8"):
        read_groups(path)


def test_hosts_are_replaced_and_the_rest_stays() -> None:
    changed = with_hosts(WRITTEN, "web", ["www1.example.org", "new.example.org"])
    assert changed == WRITTEN.replace(
        "host = www1.example.org, www2.example.org;\n    www3.example.org\n",
        "host = www1.example.org, new.example.org\n",
    )
    assert parse_groups(changed, "f")["db"] == ("db*",)


def test_a_group_without_hosts_gets_them_below_its_header() -> None:
    assert with_hosts("[web]\n# nobody yet\n", "web", ["a"]) == "[web]\nhost = a\n# nobody yet\n"


def test_groups_that_differ_in_case_become_one_entry() -> None:
    changed = with_hosts("[Web]\nhost = a\n[web]\nhost = b\nx = 1\n", "web", ["a", "b", "c"])
    assert changed == "[Web]\nhost = a, b, c\n[web]\nx = 1\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[new]\nhost = a\n"),
        ("[web]\nhost = b\n", "[web]\nhost = b\n\n[new]\nhost = a\n"),
        ("[web]\nhost = b", "[web]\nhost = b\n\n[new]\nhost = a\n"),
        ("# none\n\n", "# none\n\n[new]\nhost = a\n"),
    ],
)
def test_a_new_group_goes_to_the_end(before: str, after: str) -> None:
    assert with_hosts(before, "new", ["a"]) == after


def test_an_empty_group_can_be_read_back() -> None:
    text = with_hosts(WRITTEN, "empty", [])
    assert parse_groups(text, "f")["empty"] == ()
    assert text.endswith("\n\n[empty]\nhost =\n")


def test_a_removed_group_leaves_the_remark_about_the_next() -> None:
    assert without_group(WRITTEN, "web") == "# who is who\n\n\n# the database\n[db]\nhost: db*\n"
    assert without_group(WRITTEN, "nobody") == WRITTEN


@pytest.mark.parametrize("name", ["", "a]", "@web", "a:b", "a;b", "a\nb", "#x", "[x"])
def test_a_name_the_file_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a group's name"):
        check_group_name(name)


@pytest.mark.parametrize("host", ["", "a b", "a,b", "a;b", "a\nhost = evil", "-x", "#x"])
def test_a_host_the_file_could_not_hold_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="no host name"):
        check_host(host)


def test_names_and_hosts_become_lower_case() -> None:
    assert (check_group_name(" Web Servers "), check_host("WWW[1-3]*.example.org")) == (
        "web servers",
        "www[1-3]*.example.org",
    )
