"""The modules service and reboot on a machine that systemd runs: this one's files, booted once more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import REPOSITORY, eventually

PROGRAMS = ("systemd-nspawn", "nsenter", "mount", "systemctl")
BOOT_LIMIT_S = 300.0

SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from func.minion.codes import FuncException
from func.minion.modules.{module} import {kind}
answers = []
for method, args in json.loads({calls!r}):
    try:
        answers.append(getattr({kind}(Path("/nonexistent")), method)(*args))
    except FuncException as exc:
        answers.append(str(exc))
print(json.dumps(answers))
"""


@dataclass
class Booted:
    """A machine below systemd-nspawn, without a network; what it writes is gone with it."""

    nspawn: subprocess.Popen[bytes]

    @property
    def leader(self) -> str:
        """The number of its systemd, empty while there is none."""
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        try:
            return (children.read_text().split() or [""])[0]
        except OSError:
            return ""

    def run(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        enter = [
            "nsenter",
            f"--target={self.leader}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
        ]
        return subprocess.run(
            [*enter, "--wd=/", *command],
            input=given,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def is_up(self) -> bool:
        # It may be degraded: much of this machine has no place in a container.
        return bool(self.leader) and self.run("systemctl", "is-active", "multi-user.target").returncode == 0

    def ask(self, module: str, kind: str, *calls: Any) -> list[Any]:
        script = SCRIPT.format(repository=str(REPOSITORY), module=module, kind=kind, calls=json.dumps(calls))
        done = self.run(sys.executable, "-", given=script)
        assert done.returncode == 0, done.stderr
        found: list[Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"root alone boots a machine, with systemd-container: {', '.join(missing) or 'not root'}")
    folder = tmp_path_factory.mktemp("machine")
    (folder / "tree").mkdir()
    with_mount = f"""
        set -e
        mount -t tmpfs tmpfs {folder}
        mkdir {folder}/upper {folder}/work {folder}/tree
        mount -t overlay overlay -o lowerdir=/,upperdir={folder}/upper,workdir={folder}/work {folder}/tree
        exec systemd-nspawn --boot --quiet --register=no --keep-unit --private-network --console=pipe \\
            --machine=f{os.getpid()} --directory={folder}/tree --bind-ro={REPOSITORY}
    """
    # The mounts are in a namespace of their own, and go with it. A /tmp of the machine's own would hide a
    # checkout below it.
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", with_mount]
    with (
        (folder / "console").open("wb") as console,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
        ) as nspawn,
    ):
        machine = Booted(nspawn)
        try:
            eventually(
                lambda: nspawn.poll() is not None or machine.is_up(), "the machine is up", BOOT_LIMIT_S
            )
            if nspawn.poll() is not None:
                pytest.skip("systemd-nspawn boots nothing here: it needs namespaces and an overlay")
            yield machine
        finally:
            nspawn.terminate()
            nspawn.wait(60)


def test_services_are_started_stopped_and_listed(machine: Booted) -> None:
    name = "systemd-logind"
    stopped, off, started, on, journal, running, enabled = machine.ask(
        "service", "Service",
        ["stop", [name]], ["status", [name]], ["start", [name]], ["status", [name]],
        ["restart", ["systemd-journald"]], ["get_running", []], ["get_enabled", []],
    )  # fmt: skip
    assert (stopped, off, started, on, journal) == (0, 3, 0, 0, 0)
    states = {line[0]: line[1] for line in running}
    assert states[name] == states["systemd-journald"] == "running"
    assert set(states.values()) <= {"running", "stopped", "dead"}
    assert all(len(levels) == 7 for _, levels in enabled)
    assert name in dict(enabled)


def test_every_verb_knows_a_service_that_is_not_there(machine: Booted) -> None:
    verbs = ("start", "stop", "restart", "reload", "status")
    answers = machine.ask("service", "Service", *([verb, ["no-such-thing"]] for verb in verbs))
    assert answers == ["Service not installed: no-such-thing"] * len(verbs)


def test_the_machine_is_restarted(machine: Booted) -> None:
    assert machine.ask("reboot", "Reboot", ["reboot", ["now", "for a new kernel"]]) == [0]
    # What systemd-nspawn ends with when its machine asks to be started again.
    assert machine.nspawn.wait(BOOT_LIMIT_S) == 133
