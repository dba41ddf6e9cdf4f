"""Which of cobbler's answers are kickstarts; the refused ones are what cobbler 3.3.10 really says."""

from __future__ import annotations

import pytest
from genome_replace_self import kickstart

GOOD = """# made by cobbler
url --url=http://cobbler.example.org/cobbler/pub/tree/
repo --name=updates --baseurl=http://mirror.example.org/$releasever/updates/$basearch/
rootpw --iscrypted $6$salt$Aq1.abc
%pre --log=/tmp/pre.log
echo "$HOME ${HOSTNAME}"
%end
%packages
@core
%end
reboot
"""


def test_a_rendered_kickstart_has_no_flaw() -> None:
    assert kickstart.flaw(GOOD) == ""


def test_an_old_kickstart_without_end_has_no_flaw() -> None:
    assert kickstart.flaw("install\nreboot\n%packages\n@base\n%post\necho $HOME\n") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("# profile not found", "cobbler says instead: profile not found"),
        (
            "# This automatic OS installation file had errors that prevented it from being rendered"
            " correctly.\n"
            "# The cobbler.log should have information relating to this failure.",
            "cobbler says instead: This automatic OS installation file had errors",
        ),
        (
            "# automatic installation file /gone.ks not found at /var/lib/cobbler/templates",
            "cobbler says instead: automatic installation file /gone.ks not found",
        ),
        (
            "# Error: no snippet data for nosuch\n\nreboot\n",
            "a part of it is missing: Error: no snippet data",
        ),
        ("url --url=$tree\nreboot\n", "cobbler does not know $tree, in the line: url ..."),
        ("url --url=${tree}\nreboot\n", "cobbler does not know $tree"),
        (GOOD + "rootpw --iscrypted $default_password\n", "cobbler does not know $default_password"),
    ],
)
def test_what_is_none_is_said_to_be_so(text: str, said: str) -> None:
    assert said in kickstart.flaw(text)


def test_a_password_is_not_repeated() -> None:
    assert "secret" not in kickstart.flaw("rootpw secret$unknown\n")
