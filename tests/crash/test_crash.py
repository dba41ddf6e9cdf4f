"""Killed at any moment, nothing is lost, nothing doubled, and no volume left behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HARNESS = Path(__file__).with_name("harness.py")


def test_whatever_is_killed_before_or_after_any_write_or_call_a_restart_puts_right() -> None:
    # a process of its own: it forks, which one that has threads must not do
    done = subprocess.run(
        [sys.executable, str(HARNESS)], capture_output=True, text=True, timeout=1800, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"^(\d+) points tried", done.stdout, re.MULTILINE)
    assert tried is not None and int(tried[1]) > 300
