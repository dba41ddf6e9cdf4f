"""Which words may travel to a kickstart, and that secrets are not shown."""

from __future__ import annotations

import pytest
from genome_replace_self import metadata
from genome_replace_self.errors import Usage
from hypothesis import given
from hypothesis import strategies as st

TOKEN = "t" * 43


def test_pairs_keep_their_order_and_a_key_may_repeat_where_it_makes_sense() -> None:
    texts = ["certmaster=cloud.example.org", "genome_sshkey=ssh-ed25519,AAAA", "genome_sshkey=ssh-rsa,BBBB"]
    assert metadata.joined(metadata.parse(texts)) == " ".join(texts)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("certmaster", "is not KEY=VALUE"),
        ("", "is not KEY=VALUE"),
        ("=x", "is not KEY=VALUE"),
        ("Certmaster=cloud", "is not KEY=VALUE"),
        ("a-b=c", "is not KEY=VALUE"),
        ("a b=c", "is not KEY=VALUE"),
        ("certmaster=", "certmaster has no value; if it came from a shell variable, that is empty"),
        ("certmaster=$(reboot)", "has '$' '(' ')' in its value"),
        ("a=b c", "has ' ' in its value"),
        ("a=b\n", r"has '\n' in its value"),
        ("a=b;c", "has ';' in its value"),
        ("a='b'", 'has "\'" in its value'),
        ("a=ä", "has 'ä' in its value"),
        ("a=b=c", "has '=' in its value"),
        ("a=b&c", "has '&' in its value"),
        ("root=/dev/sda1", "root is not possible"),
        ("init=/bin/sh", "init is not possible"),
        ("ip=dhcp", "ip is not possible"),
        ("ks=http://evil/", "ks is not possible"),
        ("console=ttyS0", "console is not possible"),
        ("quiet=1", "quiet is not possible"),
        ("certmaster=cloud_1", "give the host name of a cloud master"),
        ("certmaster=-cloud", "give the host name of a cloud master"),
        ("certmaster=http://cloud/", "give the host name of a cloud master"),
        ("genome_token=short", "give a token of 43"),
        ("genome_ca=" + "A" * 64, "give a SHA-256"),
        ("genome_report=cloud/install", "http://cloud.example.org/install/"),
        ("genome_sshkey=AAAA", "ssh-ed25519,AAAA"),
    ],
)
def test_a_wrong_pair_is_refused_with_what_would_be_right(text: str, complaint: str) -> None:
    with pytest.raises(Usage) as caught:
        metadata.parse([text])
    assert complaint in str(caught.value)


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(Usage, match="certmaster is given twice"):
        metadata.parse(["certmaster=a.example.org", "certmaster=b.example.org"])


def test_too_much_is_refused_with_the_length_of_each() -> None:
    assert metadata.parse(["a=" + "x" * 2046])
    with pytest.raises(Usage, match="2049 characters, and 2048 are possible: a 2045, b 3"):
        metadata.parse(["a=" + "x" * 2043, "b=y"])


@given(st.text(max_size=80))
def test_whatever_is_accepted_is_one_harmless_word(text: str) -> None:
    try:
        ((key, value),) = metadata.parse([text])
    except Usage:
        return
    word = metadata.joined([(key, value)])
    assert word == text and word.split() == [word]
    assert not set(word) & set("$`\"'\\;&|<>(){}[]*?!#~ \t\n\r")


def test_a_metadata_file_has_a_pair_a_line() -> None:
    text = "# for the new one\n\n  certmaster=cloud.example.org  \r\ngenome_token=x\n"
    assert metadata.parse_lines(text) == ["certmaster=cloud.example.org", "genome_token=x"]


def test_secrets_are_dots_for_people() -> None:
    text = f"['--args', 'a=b genome_token={TOKEN} genome_report=http://c/install/{TOKEN}', 'x']"
    shown = metadata.shown(text)
    assert shown == "['--args', 'a=b genome_token=... genome_report=...', 'x']"


def test_a_secret_that_is_wrong_is_not_repeated() -> None:
    with pytest.raises(Usage) as caught:
        metadata.parse([f"genome_token={TOKEN}!"])
    assert TOKEN not in str(caught.value)
