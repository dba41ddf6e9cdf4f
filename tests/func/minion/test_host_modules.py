"""The modules service, process and reboot, with the host's own programs where these can be asked here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.minion.codes import FuncException
from func.minion.modules.process import ProcessModule
from func.minion.modules.reboot import Reboot
from func.minion.modules.service import Service
from tests.func.minion.helpers import wait_for

# As systemctl of systemd 252 prints it, with and without the column of presets.
UNITS = """\
cron.service                loaded    active   running Regular background program processing daemon
dead-thing.service          loaded    failed   failed  A thing that died
dbus.service                loaded    active   running D-Bus System Message Bus
gone.service                not-found inactive dead    gone.service
rescue.service              loaded    inactive dead    Rescue Shell
systemd-udevd.service       loaded    activating start Rule-based Manager
"""
UNIT_FILES = """\
cron.service                           enabled         enabled
getty@.service                         enabled         enabled
autovt@.service                        alias           -
rescue.service                         static          -
sshd.service                           enabled-runtime disabled
httpd.service                          disabled
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" >> {log}
case "$1" in
list-units) cat {root}/units ;;
list-unit-files) cat {root}/unit-files ;;
status) case "$4" in cron) exit 0;; rescue) exit 3;; *) echo "Unit $4 not found." >&2; exit 4;; esac ;;
start) case "$4" in gone) exit 5;; dead-thing) exit 1;; esac ;;
esac
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def configured(root: Path, name: str, text: str) -> Path:
    file = root / f"etc/func/modules/{name}.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"[main]\n{text}\n")
    return root


@pytest.fixture
def service(tmp_path: Path) -> Service:
    (tmp_path / "units").write_text(UNITS)
    (tmp_path / "unit-files").write_text(UNIT_FILES)
    fake = program(tmp_path / "systemctl", SYSTEMCTL.format(log=tmp_path / "told", root=tmp_path))
    return Service(configured(tmp_path, "Service", f"systemctl = {fake}"))


def test_services_are_told_what_to_do(service: Service, tmp_path: Path) -> None:
    assert service.start(" cron ") == 0
    assert service.start("dead-thing") == 1
    assert [service.stop("cron"), service.restart("cron"), service.reload("cron")] == [0, 0, 0]
    assert (service.status("cron"), service.status("rescue")) == (0, 3)
    told = (tmp_path / "told").read_text().splitlines()
    assert told[0] == "start --no-pager -- cron"
    assert told[4] == "reload --no-pager -- cron"


@pytest.mark.parametrize(("verb", "name"), [("start", "gone"), ("status", "nothing")])
def test_a_service_that_is_not_there_is_told_as_func_tells_it(service: Service, verb: str, name: str) -> None:
    with pytest.raises(FuncException, match=f"Service not installed: {name}"):
        getattr(service, verb)(name)


@pytest.mark.parametrize("name", ["", "-H", "--root=/x", "a b", "a;b", "../x", None, 5, "x\n"[1:]])
def test_what_is_no_services_name_reaches_no_program(service: Service, tmp_path: Path, name: Any) -> None:
    with pytest.raises(FuncException, match="no service's name"):
        service.stop(name)
    assert not (tmp_path / "told").exists()


def test_running_and_enabled_services_have_func_0_30s_form(service: Service) -> None:
    assert service.get_running() == [
        ["cron", "running", "active running Regular background program processing daemon"],
        ["dead-thing", "dead", "failed failed A thing that died"],
        ["dbus", "running", "active running D-Bus System Message Bus"],
        ["rescue", "stopped", "inactive dead Rescue Shell"],
        ["systemd-udevd", "running", "activating start Rule-based Manager"],
    ]
    on = ["0:off", "1:off", "2:on", "3:on", "4:on", "5:on", "6:off"]
    off = [f"{level}:off" for level in range(7)]
    assert service.get_enabled() == [["cron", on], ["rescue", off], ["sshd", on], ["httpd", off]]
    assert service.inventory() == {"running": service.get_running(), "enabled": service.get_enabled()}
    assert list(service.grep(" CRON ")) == ["service.get_running", "service.get_enabled"]
    assert service.grep("no such") == {}
    wire.encode_result(service.inventory())


def test_a_host_without_systemd_says_so(tmp_path: Path) -> None:
    service = Service(configured(tmp_path, "Service", "systemctl = /nonexistent/systemctl"))
    with pytest.raises(FuncException, match="this module needs systemd"):
        service.get_running()
    assert service.grep("x") == {}
    failing = program(tmp_path / "systemctl", "#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    service = Service(configured(tmp_path, "Service", f"systemctl = {failing}"))
    with pytest.raises(FuncException, match="list-units ended with 1: Failed to connect to bus"):
        service.get_running()


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="needs systemctl: install systemd")
def test_the_hosts_own_systemctl_lists_the_unit_files_it_finds(tmp_path: Path) -> None:
    units = tmp_path / "tree/usr/lib/systemd/system"
    units.mkdir(parents=True)
    for name, install in (("one.service", "[Install]\nWantedBy=multi-user.target\n"), ("two.service", "")):
        (units / name).write_text(f"[Service]\nExecStart=/bin/true\n{install}")
    service = Service(configured(tmp_path, "Service", f"systemctl = systemctl --root={tmp_path}/tree"))
    assert {"one", "two"} == {name for name, _ in service.get_enabled()}
    assert all("on" not in " ".join(levels) for _, levels in service.get_enabled())
    subprocess.run(["systemctl", f"--root={tmp_path}/tree", "enable", "one"], check=True, capture_output=True)
    assert dict(service.get_enabled())["one"][3] == "3:on"  # type: ignore[arg-type]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    code = "import time; time.sleep(60)  # f2-sleeper"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        yield process
        process.kill()


@pytest.fixture
def process(tmp_path: Path) -> ProcessModule:
    return ProcessModule(tmp_path)


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="needs ps: install procps")
def test_processes_are_listed_as_ps_lists_them(process: ProcessModule, sleeper: Any) -> None:
    def find() -> list[list[str]]:
        return [line for line in process.info() if line and line[1] == str(sleeper.pid)]

    (line,) = wait_for(lambda: "f2-sleeper" in str(find()) and find(), "the process is what it shall be")
    assert line[-1] == "f2-sleeper"
    assert process.info("-o pid=,comm= -p 1")[0][0] == "1"
    assert any("f2-sleeper" in text for text in process.grep("F2-Sleeper")["process.info"])
    with pytest.raises(FuncException):
        process.info("--no-such-option")


@pytest.mark.parametrize("flags", ["-e; rm", "$(id)", "x" * 300, None, "a\nb"])
def test_what_is_nothing_to_tell_ps_is_refused(process: ProcessModule, flags: Any) -> None:
    with pytest.raises(FuncException, match="nothing to tell ps"):
        process.info(flags)


def test_memory_is_counted_by_program(process: ProcessModule) -> None:
    *lines, total = process.mem()
    assert total[:3] == ["", "", ""]
    assert all(len(line) == 4 and line[2].split()[1] in ("KiB", "MiB", "GiB") for line in lines)
    own = Path(sys.executable).resolve().name
    assert any(line[3].split()[0] == own for line in lines)
    assert process.memory() != []


def test_memory_of_a_machine_is_added_up(tmp_path: Path) -> None:
    for pid, name, exe, pss, private in (
        ("7", "httpd", "httpd", 3000, 1000), ("8", "httpd", "httpd", 2000, 1000),
        ("9", "qemu-system-x86", "qemu-system-x86_64", 2 * 1024 * 1024, 0), ("10", "kthreadd", "", 0, 0),
    ):  # fmt: skip
        folder = tmp_path / "proc" / pid
        folder.mkdir(parents=True)
        (folder / "comm").write_text(f"{name}\n")
        if pss:
            (folder / "smaps_rollup").write_text(
                f"00400000-7ffc rollup\nRss: 9999 kB\nPss: {pss} kB\nPss_Anon: 1 kB\n"
                f"Private_Clean: {private} kB\nPrivate_Dirty: 0 kB\n"
            )
            (folder / "exe").symlink_to(f"/usr/bin/{exe}")
    assert ProcessModule(tmp_path, tmp_path / "proc").mem() == [
        ["2.0 MiB", "2.9 MiB", "4.9 MiB", "httpd (2)"],
        ["0.0 KiB", "2.0 GiB", "2.0 GiB", "qemu-system-x86_64"],
        ["", "", "", "2.0 GiB"],
    ]


@pytest.mark.parametrize(("given", "number"), [("KILL", 9), ("-9", 9), ("SIGTERM", 15), ("", 15), (2, 2)])
def test_a_process_is_sent_a_signal(
    process: ProcessModule, sleeper: subprocess.Popen[bytes], given: Any, number: int
) -> None:
    wait_for(lambda: "f2-sleeper" in Path(f"/proc/{sleeper.pid}/cmdline").read_text(), "it runs")
    assert process.kill(str(sleeper.pid), given) == 0
    assert sleeper.wait(60) in (-number, 1 if number == signal.SIGINT else -number)
    assert process.kill(sleeper.pid) == 1


@pytest.mark.parametrize("pid", ["0", 0, -1, "-5", "x", None, ""])
def test_a_signal_for_more_than_one_process_is_refused(process: ProcessModule, pid: Any) -> None:
    with pytest.raises(FuncException):
        process.kill(pid)


@pytest.mark.parametrize("level", ["NOPE", "-99", "9 9", "--help"])
def test_what_is_no_signal_is_told(process: ProcessModule, level: str) -> None:
    with pytest.raises(FuncException, match="no signal"):
        process.kill(os.getpid(), level)
    with pytest.raises(FuncException, match="no signal"):
        process.pkill("no-such-program", level)


@pytest.mark.skipif(not Path("/usr/bin/pkill").exists(), reason="needs pkill: install procps")
def test_processes_are_found_by_name(process: ProcessModule, tmp_path: Path) -> None:
    own = tmp_path / "f2-own-name"
    shutil.copy("/bin/sleep", own)
    with subprocess.Popen([own, "60"]) as running:
        wait_for(lambda: Path(f"/proc/{running.pid}/comm").read_text() == "f2-own-name\n", "it runs")
        assert process.pkill("^f2-own-name$", "-9") == 0
        assert running.wait(60) == -9
    assert process.pkill("^f2-own-name$") == 1
    with pytest.raises(FuncException):
        process.pkill("")


def test_the_load_has_five_words(process: ProcessModule) -> None:
    assert len(process.loadavg()) == 5
    float(process.loadavg()[0])


@pytest.fixture
def reboot(tmp_path: Path) -> Reboot:
    fake = program(
        tmp_path / "shutdown", f'#!/bin/sh\nfor word; do echo "$word"; done > {tmp_path}/told\nexit 6\n'
    )
    return Reboot(configured(tmp_path, "Reboot", f"program = {fake}"))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "-r\nnow\n"),
        (["+5"], "-r\n+5\n"),
        (["23:30", "for a new kernel; $(id)"], "-r\n23:30\nfor a new kernel; $(id)\n"),
    ],
)
def test_the_host_is_restarted_by_shutdown(
    reboot: Reboot, tmp_path: Path, args: list[str], told: str
) -> None:
    assert reboot.reboot(*args) == 6
    assert (tmp_path / "told").read_text() == told


@pytest.mark.parametrize(
    "args", [["later"], [""], ["-c"], [None], ["now", "-c"], ["now", None], ["+5 -h"], ["now\n"]]
)
def test_what_is_no_time_or_message_restarts_nothing(reboot: Reboot, tmp_path: Path, args: list[Any]) -> None:
    with pytest.raises(FuncException):
        reboot.reboot(*args)
    assert not (tmp_path / "told").exists()


def test_a_host_without_shutdown_says_so(tmp_path: Path) -> None:
    with pytest.raises(FuncException, match="name another program in Reboot.conf"):
        Reboot(configured(tmp_path, "Reboot", "program = /nonexistent/shutdown")).reboot()
