"""shellcheck on every script of every kickstart, those that scripts write included."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kickstarts.installer import Installer
from tests.kickstarts.rendering import FOLDER, LEGACY, MODERN, SYSTEMS, render, scripts

FIRST, LAST = "# ---- The same text in", "# ---- ... to here."

# SC1091, SC2154: a file, and values from it, that only an installer has. SC2013: /proc/cmdline is words.
# SC2015: `[ a ] && [ b ] || c` where c shall follow on either.
NOT_HERE = "SC1091,SC2154,SC2013,SC2015"


def shellcheck(script: str, dialect: str) -> str:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this machine")
    done = subprocess.run(
        ["shellcheck", "--norc", f"--shell={dialect}", f"--exclude={NOT_HERE}", "--format=gcc", "-"],
        input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.stdout


# sh is what all of them have in common; dash is its strictest reading, and next to busybox's shell.
@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["sh", "dash"])
@pytest.mark.parametrize("version", SYSTEMS)
def test_shellcheck_finds_nothing(needs_templates: None, version: str, dialect: str) -> None:
    found = scripts(version, render(version))
    assert len(found) >= 3
    assert {name: said for name, script in found.items() if (said := shellcheck(script, dialect))} == {}


@pytest.mark.parametrize("template", [MODERN, LEGACY])
def test_shellcheck_finds_nothing_in_the_library_that_pre_writes(template: str) -> None:
    text = (FOLDER / template).read_text()
    library = text.split("<<'END_OF_LIBRARY'\n")[1].split("END_OF_LIBRARY\n")[0]
    assert "report()" in library
    assert shellcheck(library, "dash") == ""


def test_shellcheck_finds_nothing_in_what_runs_at_the_first_start(machine: Callable[..., Installer]) -> None:
    from tests.kickstarts.test_post import installed

    made = machine()
    installed(made, "certmaster=cloud.example.org")
    assert shellcheck(made.file("mnt/sysroot/etc/genome/first-start"), "dash") == ""


def test_both_templates_decide_by_the_same_text() -> None:
    def common(path: Path) -> str:
        text = path.read_text()
        return text[text.index(FIRST) : text.index(LAST)]

    assert common(FOLDER / MODERN) == common(FOLDER / LEGACY)
    assert common(FOLDER / MODERN).count("\n") > 150


@pytest.mark.slow
@pytest.mark.parametrize("version", SYSTEMS)
def test_genome_replace_self_has_nothing_against_them(needs_templates: None, version: str) -> None:
    from genome_replace_self.kickstart import flaw

    assert flaw(render(version)) == ""
