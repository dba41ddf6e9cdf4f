"""genome-replace-self and what goes wrong, with the real cobbler server, koan, or the boot loader's shim."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cobbler.replaceable import (
    COMMAND,
    F8,
    KOAN_KERNEL,
    OLD_KERNEL,
    OLDER_KERNEL,
    SERVER,
    SHIM,
    Replaceable,
)  # fmt: skip
from tests.integration.support import eventually

pytestmark = pytest.mark.integration

TOKEN = "Tt0_-" * 8 + "abc"


# -------------------------------------------------------------------------- cobbler's fault, code 4


def test_a_misspelt_profile_is_not_replaced_by_another(machine: Replaceable) -> None:
    done = machine.replace_self("-y", "-c", SERVER, "-p", "GenomeCloud-F8-i368")
    assert done.returncode == 4 and f"did you mean {F8}?" in done.stderr and machine.untouched


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("#if $x\nreboot\n", "had errors that prevented it from being rendered"),
        ("#set $x = 1 / 0\nreboot\n", "had errors that prevented it from being rendered"),
        ("$SNIPPET('nosuch')\nreboot\n", "no snippet data for nosuch"),
        ("url --url=$tree_of_nobody\nreboot\n", "cobbler does not know $tree_of_nobody"),
        ("", "it is empty"),
    ],
)
def test_a_kickstart_that_cobbler_cannot_render_is_refused(
    machine: Replaceable, template: str, complaint: str
) -> None:
    """cobbler answers 200 to each of them."""
    machine.bench.register("broken", template)
    done = machine.replace_self("-y", "-c", SERVER, "-p", "broken")
    assert done.returncode == 4 and complaint in done.stderr and machine.untouched


def test_a_profile_whose_kickstart_was_removed_is_refused(machine: Replaceable) -> None:
    machine.bench.register("removed")
    machine.shell("rm /var/lib/cobbler/templates/removed.ks")
    done = machine.replace_self("-y", "-c", SERVER, "-p", "removed")
    assert done.returncode == 4 and "/removed.ks not found" in done.stderr and machine.untouched


def test_a_kernel_that_is_not_served_is_missed_before_anything_is_changed(machine: Replaceable) -> None:
    machine.bench.register("unsynced")
    machine.shell("rm /var/www/cobbler/images/unsynced/vmlinuz")
    done = machine.replace_self("-y", "-c", SERVER, "-p", "unsynced")
    assert done.returncode == 4 and "/vmlinuz answers 404: has `cobbler sync` been run" in done.stderr
    assert machine.untouched


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        ("nowhere.example.net", "cannot be reached on port 80"),
        ("127.0.0.9", "cannot be reached on port 80: Connection refused"),
    ],
)
def test_a_server_that_is_not_there_is_named(machine: Replaceable, server: str, complaint: str) -> None:
    done = machine.replace_self("-y", "-c", server)
    assert done.returncode == 4 and f"{server} {complaint}" in done.stderr and machine.untouched


class Junk(BaseHTTPRequestHandler):
    """A web server that is no cobbler; what it says is set for each test."""

    status, body = 200, b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def junk(dressed: Replaceable) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Junk)
    server.socket.close()
    server.socket = dressed.bench.listen(80, "127.0.0.3")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield "127.0.0.3"
    server.shutdown()
    thread.join()
    server.server_close()


def answer(value: str) -> bytes:
    return f"<methodResponse><params><param>{value}</param></params></methodResponse>".encode()


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (404, b"not found", "answers 404 Not Found: is that a cobbler server"),
        (503, b"", "answers 503 Service Unavailable"),
        (200, b"<html><body>It works!</body></html>", "something that no cobbler server says"),
        (200, b"", "something that no cobbler server says"),
        (200, b"\x00\xff<", "something that no cobbler server says"),
        (200, answer("<value><int>7</int></value>"), "something that no cobbler server says"),
        (200, answer("<value><int>seven</int></value>"), "something that no cobbler server says"),
    ],
)
def test_a_server_that_is_no_cobbler_is_said_to_be_none(
    machine: Replaceable, junk: str, status: int, body: bytes, complaint: str
) -> None:
    Junk.status, Junk.body = status, body
    done = machine.replace_self("-y", "-c", junk)
    assert done.returncode == 4 and complaint in done.stderr and "Traceback" not in done.stderr
    assert machine.replace_self("--list", "-c", junk).returncode == 4
    assert machine.untouched


# -------------------------------------------------------- koan's or the boot loader's fault, code 1


def test_a_debian_system_is_refused(machine: Replaceable) -> None:
    machine.shell("cp /etc/os-release /etc/os-release.kept; echo ID=debian > /etc/os-release")
    try:
        done = machine.replace_self("-y", "-c", SERVER)
    finally:
        machine.shell("mv /etc/os-release.kept /etc/os-release")
    assert done.returncode == 1 and "of the debian kind" in done.stderr and machine.untouched


@pytest.mark.parametrize(
    ("program", "said"), [("koan", "dnf install koan"), ("grubby", "dnf install grubby")]
)
def test_a_missing_program_is_named_with_its_package(machine: Replaceable, program: str, said: str) -> None:
    with machine.instead(program, None):
        done = machine.replace_self("-y", "-c", SERVER, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert done.returncode == 1 and said in done.stderr and machine.untouched


@pytest.mark.parametrize("option", ["--add-kernel", "--update-kernel"])
def test_when_grubby_fails_in_the_middle_the_old_entry_is_the_default(
    machine: Replaceable, option: str
) -> None:
    machine.fail(option)
    done = machine.replace_self("-y", "-c", SERVER, "--metadata-file", "-", input=f"genome_token={TOKEN}\n")
    assert done.returncode == 1 and "grubby: told to fail" in done.stderr
    assert "genome_token=..." in done.stderr and TOKEN not in done.stderr  # koan prints how it calls grubby
    assert "The old boot entry is the default as before" in done.stderr
    assert machine.default["kernel"] == OLD_KERNEL and len(machine.menu) == 2
    assert not [name for name in machine.boot_files() if "koan" in name]
    assert machine.shell("ls /var/lib/genome-replace-self") == ""


def test_a_failure_that_cannot_be_undone_says_so_and_cancel_does_it_later(machine: Replaceable) -> None:
    machine.fail("--update-kernel", "--set-default-index")
    done = machine.replace_self("-y", "-c", SERVER)
    assert done.returncode == 1 and "The old boot entry could not be put back: grubby" in done.stderr
    machine.fail()
    assert machine.replace_self("--cancel").returncode == 0
    assert machine.default["kernel"] == OLD_KERNEL and len(machine.menu) == 2


def test_koans_word_alone_is_not_believed(machine: Replaceable) -> None:
    """As when somebody but root calls it: exit code 0, and nothing done."""
    script = (
        'case "$*" in *--display*) exec /usr/sbin/koan.real "$@";; esac; echo this operation requires root'
    )
    with machine.instead("koan", script):
        done = machine.replace_self("-y", "-c", SERVER)
    assert done.returncode == 1
    assert f"koan ended well, but the default boot entry is {OLD_KERNEL} and not {KOAN_KERNEL}" in done.stderr
    assert machine.default["kernel"] == OLD_KERNEL


def test_a_boot_entry_that_lost_an_argument_is_not_left_the_default(machine: Replaceable) -> None:
    script = 'case "$1" in --add-kernel) set -- "$1" "$2" "$3" "$4" --args quiet "$7" "$8";; esac'
    with machine.instead("grubby", f'{script}; exec /usr/sbin/grubby.real "$@"'):
        done = machine.replace_self("-y", "-c", SERVER, "-m", "certmaster=cloud.example.org")
    assert done.returncode == 1 and "has not got the arguments it should: certmaster, " in done.stderr
    assert machine.default["kernel"] == OLD_KERNEL and len(machine.menu) == 2


def test_a_full_boot_is_noticed_before_anything_is_fetched(machine: Replaceable, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"k" * 3 * 1024 * 1024)
    machine.bench.register("large", kernel=kernel)
    machine.shell(
        f"mount -t tmpfs -o size=2m tmpfs /boot && echo kernel > {OLD_KERNEL} && echo kernel > {OLDER_KERNEL}"
    )
    try:
        done = machine.replace_self("-y", "-c", SERVER, "-p", "large")
        assert done.returncode == 1 and "/boot has 1 MB free, and kernel and initrd need 4 MB" in done.stderr
        assert machine.untouched
    finally:
        machine.shell("umount /boot")


def test_a_boot_that_cannot_be_written_to_is_noticed(machine: Replaceable) -> None:
    machine.shell("mount --bind /boot /boot && mount -o remount,ro,bind /boot")
    try:
        done = machine.replace_self("-y", "-c", SERVER)
        assert done.returncode == 1 and "/boot cannot be written to: is it mounted read-only?" in done.stderr
        assert machine.untouched
    finally:
        machine.shell("umount /boot")


def test_a_default_entry_of_koans_own_is_not_taken_for_the_old_one(machine: Replaceable) -> None:
    machine.shell(f"{machine.bench.koan} --replace-self --server={SERVER} --profile={F8}")
    assert machine.default["kernel"] == KOAN_KERNEL
    done = machine.replace_self("-y", "-c", SERVER)
    assert done.returncode == 1 and "was made by koan and not by this program" in done.stderr


def interrupted(machine: Replaceable, signum: signal.Signals) -> tuple[int, str]:
    """Send a signal while koan is held in the middle, when the new entry is the default already.

    Gives the exit code and what was said.
    """
    held = 'if [ "$1" = --update-kernel ]; then touch /boot/held; sleep 600; fi'
    # The shell passes on its own process id, as kill needs the one inside.
    argv = ["sh", "-c", f"echo $$ > {SHIM}/pid; exec {COMMAND} -y -c {SERVER} 2> {SHIM}/said"]
    with machine.instead("grubby", f'{held}; exec /usr/sbin/grubby.real "$@"'):
        child = machine.bench.popen(argv, stdout=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin"})
        eventually(lambda: "held" in machine.boot_files(), "koan to be in the middle", 60)
        assert machine.default["kernel"] == KOAN_KERNEL
        machine.shell(f"kill -{int(signum)} $(cat {SHIM}/pid)")
        code = child.wait(60)
    return code, machine.shell(f"cat {SHIM}/said")


def koan_runs(machine: Replaceable) -> bool:
    return "--replace-self" in machine.shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_koan_works_puts_the_old_entry_back(
    machine: Replaceable, signum: signal.Signals
) -> None:
    code, said = interrupted(machine, signum)
    assert code == 1 and f"interrupted by {signum.name}" in said
    assert "The old boot entry is the default as before" in said
    assert machine.default["kernel"] == OLD_KERNEL and len(machine.menu) == 2
    assert not koan_runs(machine)


def test_after_a_kill_while_koan_works_cancel_puts_the_old_entry_back(machine: Replaceable) -> None:
    interrupted(machine, signal.SIGKILL)
    eventually(lambda: not koan_runs(machine), "koan to end with us")
    assert machine.default["kernel"] == KOAN_KERNEL
    done = machine.replace_self("--cancel", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["default_kernel"] == OLD_KERNEL
    assert len(machine.menu) == 2 and not [name for name in machine.boot_files() if "koan" in name]


def test_machine_instances_that_were_started_while_koan_worked_are_not_lost(machine: Replaceable) -> None:
    machine.shell("mount -t tmpfs tmpfs /run && mkdir -p /run/libvirt/qemu")
    late = 'koan.real "$@"; case "$*" in *--replace-self*) touch /run/libvirt/qemu/late1.xml;; esac'
    try:
        with machine.instead("koan", late):
            done = machine.replace_self("-y", "-c", SERVER)
        assert done.returncode == 1 and "would be lost: late1." in done.stderr, done.stderr
        assert "The old boot entry is the default as before" in done.stderr
        assert machine.default["kernel"] == OLD_KERNEL and KOAN_KERNEL not in str(machine.menu)
    finally:
        machine.shell("umount /run")
