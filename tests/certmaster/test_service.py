"""What systemd is told, over a real socket as systemd opens it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from certmaster.service import Service

TREE = Path(__file__).resolve().parents[2]
WAIT_S = 60


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.settimeout(WAIT_S)
        end.bind(str(tmp_path / "n") if request.param == "path" else f"\0cloudmasterd-test-{os.getpid()}")
        yield end


def environ_of(listener: socket.socket, **more: str) -> dict[str, str]:
    name = listener.getsockname()
    return {"NOTIFY_SOCKET": name if isinstance(name, str) else "@" + name[1:].decode(), **more}


def heard(listener: socket.socket) -> str:
    return listener.recv(4096).decode()


def test_ready_and_stopping_are_told(listener: socket.socket) -> None:
    service = Service(environ_of(listener))
    service.ready("at work\nsince now")
    assert heard(listener) == "READY=1\nSTATUS=at work since now"
    service.stopping()
    assert heard(listener) == "STOPPING=1\nSTATUS=stopping"


def test_a_child_does_not_speak_in_the_name_of_the_service(listener: socket.socket) -> None:
    environ = environ_of(listener, WATCHDOG_USEC="1000000", WATCHDOG_PID=str(os.getpid()), PATH="/bin")
    assert Service(environ).watchdog_s == 1.0
    assert environ == {"PATH": "/bin"}


def test_without_systemd_nobody_is_told() -> None:
    service = Service({})
    service.ready("at work")
    service.watch(lambda: pytest.fail("nobody asked for it"))
    service.stopping()
    assert service.watchdog_s == 0


@pytest.mark.parametrize(
    "more",
    [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}],
    ids=["not set", "no number", "another process"],
)
def test_nobody_is_watched_who_is_not_meant(listener: socket.socket, more: dict[str, str]) -> None:
    assert Service(environ_of(listener, **more)).watchdog_s == 0


def test_it_is_alive_until_trouble_is_found_and_after(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(environ_of(listener, WATCHDOG_USEC="30000"))
    service.ready("at work")
    assert "READY=1" in heard(listener)
    found = iter(["", "the loop\nhangs", "the loop\nhangs"])
    with caplog.at_level(logging.ERROR):
        service.watch(lambda: next(found, ""))
        told = [heard(listener) for _ in range(4)]
    service.stopping()
    assert told == ["WATCHDOG=1", "STATUS=the loop hangs", "STATUS=at work", "WATCHDOG=1"]
    assert ["the loop hangs" in record.getMessage() for record in caplog.records].count(True) == 1


def test_while_a_look_does_not_return_nothing_is_told(listener: socket.socket) -> None:
    service = Service(environ_of(listener, WATCHDOG_USEC="30000"))
    asked, released = threading.Event(), threading.Event()

    def hang() -> str:
        asked.set()
        return "" if released.wait(WAIT_S) else "too long"

    service.watch(hang)
    assert asked.wait(WAIT_S)
    service.ready("still")
    assert heard(listener) == "READY=1\nSTATUS=still"  # nothing came before it
    released.set()
    assert heard(listener) == "WATCHDOG=1"
    service.stopping()


def test_a_second_watch_takes_the_place_of_the_first(listener: socket.socket) -> None:
    for earlier in threading.enumerate():
        if earlier.name == "watchdog":
            earlier.join(WAIT_S)
    service = Service(environ_of(listener, WATCHDOG_USEC="30000"))
    service.watch(lambda: "waiting")
    assert heard(listener) == "STATUS=waiting"
    service.watch(lambda: "")
    while heard(listener) != "WATCHDOG=1":
        assert service.watchdog_s
    assert [one.name for one in threading.enumerate()].count("watchdog") == 1
    service.stopping()


def test_a_socket_that_is_gone_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Service({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("at work")
    assert "systemd cannot be told 'READY=1'" in caplog.text


HANGING = """
import os, signal
from certmaster.service import Service
service = Service(os.environ)
service.watch(lambda: "")
def waits_for_ever():
    service.ready("it waits")
    while True:
        signal.pause()
waits_for_ever()
"""


def test_what_systemd_aborts_says_where_it_hung(listener: socket.socket) -> None:
    environ = {**os.environ, **environ_of(listener, WATCHDOG_USEC="30000")}
    environ.pop("PYTHONFAULTHANDLER", None)
    command = [sys.executable, "-c", HANGING]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ, cwd=TREE) as process:
        while not heard(listener).startswith("READY=1"):
            assert process.poll() is None
        process.send_signal(6)
        _, said = process.communicate(timeout=WAIT_S)
    assert "Fatal Python error: Aborted" in said
    assert "in waits_for_ever" in said
