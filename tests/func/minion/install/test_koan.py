"""How koan is run: its arguments, environment, folder, log and end; with a koan of a few lines."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from func.errors import HostError
from func.minion import children
from func.minion.install.koan import KEEP_LOGS, Koan, KoanSetup, classic_arguments, read_setup
from func.minion.install.order import classic_order, order
from tests.func.minion.helpers import wait_for
from tests.func.minion.install.test_order import given

OPERATION = "operation-1"
URI = "qemu+unix:///session?socket=/s"
TOKEN = "T" * 43


def never(seconds: float) -> bool:
    time.sleep(seconds)
    return False


class Scripted:
    """A koan that does what a shell script says, in the folder it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "koan"
        self.does("exit 0")
        setup = KoanSetup(str(self.program), "/bin/true", folder / "log", folder / "work")
        self.koan = Koan(setup)

    def does(self, script: str) -> None:
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(0o755)

    def install(self, deadline_s: int = 30, stopped: Any = never) -> Any:
        wanted = order(given(kernel_options={"genome_token": TOKEN}, deadline_s=deadline_s))
        return self.koan.install(OPERATION, wanted, URI, stopped)

    def seen(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path)


def test_its_arguments_are_these_and_no_secret_is_among_them(scripted: Scripted, tmp_path: Path) -> None:
    scripted.does(
        f'printf "%s\\n" "$@" >{tmp_path}/arguments; env >{tmp_path}/environment; touch $FUNC_WORK/started'
    )
    ended = scripted.install()
    assert (ended.code, ended.started) == (0, True)
    assert scripted.seen("arguments").splitlines() == [
        "--virt", "--server=cobbler.example.org", "--profile=GenomeCloud-F8-i386",
        "--virt-name=new1.example.org", "--virt-type=qemu", "--virt-path=/dev/null", "--virt-bridge=none",
        "--force-path",
    ]  # fmt: skip
    environment = dict(line.split("=", 1) for line in scripted.seen("environment").splitlines())
    assert environment["LIBVIRT_DEFAULT_URI"] == URI
    assert environment["PATH"].split(":")[0].endswith("/func/minion/install/bin")
    assert not {"http_proxy", "PYTHONPATH", "PYTHONHOME", "LD_PRELOAD"} & set(environment)
    assert TOKEN not in scripted.seen("environment") + scripted.seen("arguments")


def test_its_environment_is_not_funcds(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128/")
    scripted.does(f"env >{tmp_path}/environment")
    scripted.install()
    assert "proxy" not in scripted.seen("environment")


def test_the_order_is_readable_for_nobody_else_and_gone_afterwards(
    scripted: Scripted, tmp_path: Path
) -> None:
    scripted.does(
        f"stat -c %a $FUNC_WORK $FUNC_WORK/order.json >{tmp_path}/modes; cp $FUNC_WORK/order.json {tmp_path}/"
    )
    scripted.install()
    assert scripted.seen("modes").split() == ["700", "600"]
    said = json.loads(scripted.seen("order.json"))
    assert said["options"] == [["genome_token", TOKEN]] and said["uri"] == URI
    assert not (scripted.koan.work(OPERATION) / "order.json").exists()


def test_what_it_says_is_in_a_log_for_root_alone(scripted: Scripted) -> None:
    scripted.does("echo - looking; echo oh no >&2; exit 3")
    ended = scripted.install()
    assert (ended.code, ended.started, ended.said) == (3, False, "- looking\noh no")
    log = scripted.koan.log_file(OPERATION)
    assert log.read_text() == "- looking\noh no\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_what_it_says_is_told_without_stacks_and_commands(scripted: Scripted) -> None:
    scripted.does(
        "printf \"Traceback (most):\\n  File x\\n- ['virt-install']\\n\\nNo entry\\nat all\\n\"; exit 1"
    )
    assert scripted.install().gist == "No entry; at all"


@pytest.mark.slow
def test_a_deadline_that_passed_ends_it(scripted: Scripted) -> None:
    scripted.does("echo here; sleep 60 & wait")
    wanted = order(given())

    def once_it_spoke(seconds: float) -> bool:
        wait_for(scripted.koan.log_file(OPERATION).read_text, "its first words")
        return never(seconds)

    ended = scripted.koan.run(OPERATION, [], {"uuid": wanted.machine.uuid}, URI, 0.3, once_it_spoke)
    assert ended.code is None and ended.said.startswith("here")
    assert not children.end_all(scripted.koan.work(OPERATION)), "nothing it started runs any more"


def test_stopping_ends_it(scripted: Scripted, tmp_path: Path) -> None:
    scripted.does(f"touch {tmp_path}/up; sleep 60")

    def stopped(seconds: float) -> bool:
        time.sleep(seconds)
        return (tmp_path / "up").exists()

    with pytest.raises(children.Interrupted):
        scripted.install(stopped=stopped)
    assert not children.end_all(scripted.koan.work(OPERATION))


def test_what_a_dead_funcd_left_running_is_swept_up(scripted: Scripted, tmp_path: Path) -> None:
    scripted.does(f"touch {tmp_path}/up; exec sleep 60")
    work = scripted.koan.work(OPERATION)
    work.mkdir(parents=True)
    with open(os.devnull, "wb") as nowhere:
        child = children.start([str(scripted.program)], dict(os.environ), work, nowhere.fileno())
    wait_for((tmp_path / "up").exists, "koan to be up")
    Koan(scripted.koan._setup).sweep("operation-2")
    assert child._popen.poll() is None, "it is another operation's"
    threading.Thread(target=child._popen.wait, daemon=True).start()  # as init does with orphans
    scripted.koan.sweep(OPERATION)
    assert child.wait(60, never) != 0


def test_a_koan_that_cannot_be_started_is_an_error_in_words(scripted: Scripted) -> None:
    scripted.program.write_text("#!/nowhere/at/all\n")
    with pytest.raises(HostError, match="koan cannot be started: .*No such file"):
        scripted.install()


def test_old_logs_go(scripted: Scripted) -> None:
    folder = scripted.folder / "log"
    folder.mkdir()
    for number in range(KEEP_LOGS + 20):
        (folder / f"old-{number}.log").touch()
        os.utime(folder / f"old-{number}.log", (number, number))
    scripted.install()
    assert len(list(folder.iterdir())) == KEEP_LOGS
    assert not (folder / "old-20.log").exists() and (folder / "old-21.log").exists()


def test_nothing_but_the_log_is_kept(scripted: Scripted) -> None:
    scripted.does("touch $FUNC_WORK/started")
    scripted.install()
    assert scripted.koan.started(OPERATION)
    scripted.koan.forget(OPERATION)
    assert not scripted.koan.started(OPERATION)
    assert scripted.koan.log_file(OPERATION).exists()


def test_a_host_without_it_says_what_is_missing(scripted: Scripted, tmp_path: Path) -> None:
    assert (
        scripted.koan.why_not("TEST") == "koan installs through libvirt's QEMU driver, and this host has TEST"
    )
    bare = Koan(KoanSetup(str(tmp_path / "none"), "/bin/true", tmp_path, tmp_path))
    assert f"there is no {tmp_path}/none on this host; install koan" in bare.why_not("QEMU")
    bare = Koan(KoanSetup("/bin/true", str(tmp_path / "none"), tmp_path, tmp_path))
    assert "install virt-install" in bare.why_not("QEMU")


def test_the_settings_are_those_of_the_module_machine(tmp_path: Path) -> None:
    file = tmp_path / "Machine.conf"
    file.write_text("[main]\nkoan = /opt/koan/bin/koan\nkoan_log_dir = /var/log/koans\nvirt_type = qemu\n")
    found = read_setup(tmp_path, file)
    assert found.koan == "/opt/koan/bin/koan" and found.virt_install == "/usr/bin/virt-install"
    assert (found.log_dir, found.work_dir) == (tmp_path / "var/log/koans", tmp_path / "var/lib/func/koan")


def test_funcs_own_call_says_what_it_always_did() -> None:
    assert classic_arguments(classic_order("cobbler.example.org", "F8")) == [
        "--virt", "--server=cobbler.example.org", "--virt-type=qemu", "--profile=F8", "--graphics=none"
    ]  # fmt: skip
    assert classic_arguments(classic_order("c", "s1", True, "n1", "/vm", True))[3:] == [
        "--system=s1", "--virt-name=n1", "--virt-path=/vm", "--graphics=vnc"
    ]  # fmt: skip
