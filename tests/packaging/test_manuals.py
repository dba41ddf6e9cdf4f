"""The manual pages: well formed, and naming every option there is."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from func.overlord.cli import call, command, group
from func.overlord.cli.command import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/man").glob("*.[1-8]"))
FUNC = (ROOT / "docs/man/func.1").read_text(encoding="utf-8")

NOT_INSTALLED = re.compile(r"referenced manual not found|outdated mandoc.db|mandoc.db")
"""What mandoc says of the machine it runs on, not of the page."""


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_has_nothing_to_say(page: Path) -> None:
    done = subprocess.run(["mandoc", "-Tlint", str(page)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert [line for line in said if not NOT_INSTALLED.search(line)] == []


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Every long option that is shown in --help."""
    return {
        option.lstrip("-")
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
        if option.startswith("--") and len(option) > 4
    }


@pytest.mark.parametrize("module", [command, call, group], ids=lambda module: module.__name__)
def test_func_1_names_every_option(module: object) -> None:
    wanted = options_of(module._parser())  # type: ignore[attr-defined]
    # Without effect, or the long form of a letter that is there.
    spared = {
        "help",
        "verbose",
        "forks",
        "json",
        "xmlrpc",
        "pickle",
        "basic",
        "progress",
        "logone",
        "jobstatus",
    }
    named = set(re.findall(r"Fl -([a-z_-]+)|, -([a-z_-]+)", FUNC))
    names = {name for pair in named for name in pair if name}
    assert wanted - spared - names == set()


def test_func_1_names_every_command() -> None:
    assert set(COMMANDS) <= set(re.findall(r"^\.It Cm (\w+)", FUNC, re.MULTILINE))
