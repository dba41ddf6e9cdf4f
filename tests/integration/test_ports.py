"""Ports for clouds side by side: nobody else is given one before its program has started."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from demo.ports import free_port
from tests.integration.support import REPOSITORY

ASK = "from demo.ports import free_port; print(*(free_port() for _ in range(20)))"


def test_the_kernel_hands_none_of_them_out_by_itself() -> None:
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in (free_port() for _ in range(20)) if lowest <= port <= highest]


def test_a_port_is_given_out_once_whoever_asks() -> None:
    ours = [free_port() for _ in range(20)]
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    theirs = [int(word) for word in done.stdout.split()]
    assert len({*ours, *theirs}) == 40


def test_somebody_can_listen_there_on_any_address() -> None:
    port = free_port()
    for address in ("127.0.0.1", "127.0.0.2"):
        with socket.create_server((address, port)):
            assert free_port() != port
