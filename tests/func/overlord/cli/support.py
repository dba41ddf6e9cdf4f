"""What the tests of the command `func` share."""

from __future__ import annotations

import pytest

from func.overlord.cli import main

NAMES = ["cloud1.example.org", "cloud2.example.org"]
DOWN = "down.example.org"

Capture = pytest.CaptureFixture[str]


def run(root: str, *words: str) -> int:
    return main(["--root", root, *words])
