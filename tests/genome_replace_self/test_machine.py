"""What is known of the machine, where that is a matter of reading texts, and programs that are run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from genome_replace_self import machine, programs, state
from genome_replace_self.bootloader import Entry
from genome_replace_self.errors import BootFailed, Declined


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', ["rocky", "rhel", "centos", "fedora"]),
        ("NAME=Fedora\nID=fedora\nVERSION_ID=42\n", ["fedora"]),
        ("VERSION_ID=12\nID=debian\n", ["debian"]),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', ["suse-leap", "suse", "suse"]),
        ("", []),
    ],
)
def test_the_kind_of_system_is_read(text: str, words: list[str]) -> None:
    assert machine.os_words(text) == words


def test_machine_instances_that_would_be_lost_are_named() -> None:
    with pytest.raises(Declined, match=r"would be lost: jboss1, jboss2\."):
        machine.refuse_running_machines(["jboss1", "jboss2"])
    with pytest.raises(Declined, match=r"m9 and 5 more\."):
        machine.refuse_running_machines([f"m{number}" for number in range(15)])
    machine.refuse_running_machines([])


def test_a_program_is_run_to_its_end() -> None:
    done = programs.run(["sh", "-c", "echo out; echo err >&2; exit 7"], 20)
    assert (done.code, done.output, done.how) == (7, "out\nerr\n", "ended with exit code 7")


def test_a_program_that_is_not_there_has_ended_as_a_shell_would_say() -> None:
    done = programs.run(["/nowhere/grubby"], 20)
    assert done.code == 127 and "/nowhere/grubby: No such file" in done.output


def test_at_the_deadline_a_program_and_its_children_are_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    for deadline_s in (1, 30):  # the second where the shell has not come to its line within the first
        done = programs.run(["sh", "-c", f"sleep 600 & echo $! > {pid}; wait"], deadline_s)
        assert (done.code, done.how) == (None, "did not end in time")
        if pid.exists() and pid.read_text().strip():
            break
    assert gone(int(pid.read_text()))


def test_a_program_does_not_outlive_us(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    shell = f"echo $$ > {pid}; exec sleep 600"
    script = f"from genome_replace_self import programs; programs.run(['sh', '-c', '{shell}'], 600)"
    path = Path(programs.__file__).parents[1]
    us = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(path)})
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    us.send_signal(signal.SIGKILL)
    us.wait()
    assert gone(int(pid.read_text()))


def gone(pid: int) -> bool:
    """Whether a process ends, within a minute."""
    waited = threading.Event()
    for _ in range(1200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        waited.wait(0.05)
    return False


STATE = state.State(
    "c", "P", "/boot/vmlinuz_koan", "/boot/initrd.img_koan", Entry(1, "/boot/v", "ro", "/boot/i", "T", "x")
)


def test_the_state_is_for_root_alone_and_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "lib" / "state.json"
    with state.alone(file):
        state.write(STATE, file)
    assert state.read(file) == STATE
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    state.remove(file)
    assert state.read(file) is None


def test_two_runs_are_not_at_work_at_once(tmp_path: Path) -> None:
    file = tmp_path / "lib" / "state.json"
    with state.alone(file):
        with pytest.raises(BootFailed, match="another genome-replace-self is at work"):
            with state.alone(file):
                raise AssertionError("both are at work")
    with state.alone(file):
        assert state.read(file) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"old_default": {}}', '{"old_default": 5}'])
def test_a_state_that_is_none_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(BootFailed, match="nothing is known of the old boot entry"):
        state.read(file)
