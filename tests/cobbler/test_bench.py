"""The bench itself: cobbler and koan are the real ones, and nothing of them stays or is seen outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cobbler.bench import Bench
from tests.fakes import wait_for

pytestmark = pytest.mark.integration

KICKSTART = """url --url=http://$http_server/cobbler/pub/tree/
#raw
%post
echo "$HOME costs $5"
%end
#end raw
reboot
"""
REPOSITORY = Path(__file__).resolve().parents[2]


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_registered_profile_is_listed_without_a_token(cobbler: Bench) -> None:
    before = cobbler.call("last_modified_time")
    cobbler.register("listed", KICKSTART, virt_ram=2048)
    assert [p["name"] for p in cobbler.call("get_profiles")] == ["listed"]
    assert cobbler.call("get_profile", "listed")["virt_ram"] == 2048
    assert cobbler.call("last_modified_time") > before


def test_a_kickstart_is_rendered_by_cobbler_and_its_shell_is_left_alone(cobbler: Bench) -> None:
    cobbler.register("rendered", KICKSTART)
    expected = (
        KICKSTART.replace("$http_server", cobbler.server).replace("#raw\n", "").replace("#end raw\n", "")
    )
    for operation in ("autoinstall", "ks"):
        page = cobbler.get(f"/cblr/svc/op/{operation}/profile/rendered")
        assert (page.status, page.text) == (200, expected)
    assert cobbler.call("generate_profile_autoinstall", "rendered") == expected


def test_a_profile_can_be_registered_again_with_another_kickstart(cobbler: Bench) -> None:
    cobbler.register("twice", "reboot\n")
    cobbler.register("twice", "poweroff\n", kernel_options="quiet")
    assert cobbler.get("/cblr/svc/op/ks/profile/twice").text == "poweroff\n"
    rendered = cobbler.call("get_profile_as_rendered", "twice")
    assert (rendered["autoinstall"], rendered["kernel_options"].strip()) == ("/twice.ks", "quiet")


def test_a_profile_that_is_not_there_has_no_kickstart(cobbler: Bench) -> None:
    assert cobbler.get("/cblr/svc/op/ks/profile/nobody").status == 404
    assert cobbler.call("generate_profile_autoinstall", "nobody") == "# profile not found"
    assert cobbler.call("get_profile_as_rendered", "nobody") == {}


def test_koan_shows_a_profile_with_kernel_options(cobbler: Bench) -> None:
    cobbler.register("shown", KICKSTART)
    argv = [cobbler.koan, "--display", "--profile=shown", f"--server={cobbler.server}"]
    done = cobbler.run([*argv, "--kopts=certmaster=cloud.example.org genome_sshkey=a genome_sshkey=b"])
    assert done.returncode == 0, done.stdout + done.stderr
    shown = dict(line.split(" : ", 1) for line in done.stdout.splitlines() if " : " in line)
    options = {key.strip(): value.strip() for key, value in shown.items()}["kernel_options"]
    assert options.split() == [
        f"ks=http://{cobbler.server}/cblr/svc/op/ks/profile/shown",
        "certmaster=cloud.example.org",
        "genome_sshkey=a",
        "genome_sshkey=b",
    ]


def test_koan_without_privileges_is_enough_to_look(cobbler: Bench) -> None:
    cobbler.register("looked", KICKSTART)
    argv = [cobbler.koan, "--list=profiles", f"--server={cobbler.server}"]
    done = cobbler.run(argv, unprivileged=True)
    assert done.returncode == 0 and "looked" in done.stdout.splitlines()


def test_boot_files_are_served_as_they_were_given(cobbler: Bench, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bytes(range(256)))
    cobbler.register("booted", kernel=kernel)
    script = "import urllib.request, sys; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())"
    url = f"http://{cobbler.server}/cobbler/images/booted/vmlinuz"
    done = cobbler.run([sys.executable, "-c", script, url], text=False)
    assert done.stdout == kernel.read_bytes()


def test_the_front_serves_nothing_outside_its_folder(cobbler: Bench) -> None:
    assert cobbler.get("/cobbler/../../../etc/passwd").status == 404
    assert cobbler.get("/cobbler/svc/").status == 404


def test_every_name_of_example_org_leads_to_the_bench(cobbler: Bench) -> None:
    """As a guest of QEMU asks, over DNS, which is not how the programs inside do."""
    script = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(60)\n"
        "cloud, net = b'\\5cloud\\7example\\3org\\0\\0\\1', b'\\3net\\0\\0\\1'\n"
        "for name in cloud, net, b'\\7example\\3org\\0\\0\\x1c':\n"
        "    s.sendto(b'ab\\1\\0\\0\\1' + bytes(6) + name + b'\\0\\1', ('127.0.0.1', 53))\n"
        "    print(s.recv(512).hex())"
    )
    done = cobbler.run([sys.executable, "-c", script])
    found, unknown, no_v6 = (bytes.fromhex(line) for line in done.stdout.split())
    assert found.startswith(b"ab\x81\x80") and found.endswith(bytes([0, 4, 192, 0, 2, 1]))
    assert unknown.startswith(b"ab\x81\x83")
    assert no_v6[2:8] == b"\x81\x80\0\1\0\0"


def test_a_server_of_the_test_can_be_reached_from_inside(cobbler: Bench) -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Hello)
    server.socket.close()
    server.socket = cobbler.listen(8107)
    with server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        script = "import urllib.request; print(urllib.request.urlopen('http://192.0.2.1:8107/').status)"
        done = cobbler.run([sys.executable, "-c", script])
        thread.join(60)
    assert done.stdout == "204\n", done.stderr


def test_what_is_written_inside_is_not_seen_outside(cobbler: Bench) -> None:
    done = cobbler.run(
        ["sh", "-c", "touch /boot/left /etc/left /var/spool/left /usr/sbin/left /srv/left && ls /etc/left"]
    )
    assert done.stdout == "/etc/left\n", done.stderr
    for place in ("/boot", "/etc", "/var/spool", "/usr/sbin", "/srv"):
        assert not Path(place, "left").exists()


def test_nothing_stays_when_the_bench_ends() -> None:
    script = (
        "from tests.cobbler.bench import Bench\n"
        "with Bench() as b: p = b.popen(['sleep', '600']); print(p.pid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=300
    )
    if "Unavailable" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert ended(int(done.stdout))


def refuses(address: str) -> bool:
    host, _, port = address.rstrip("/").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def test_nothing_stays_when_the_bench_is_killed() -> None:
    script = (
        "from tests.cobbler.bench import Bench\n"
        "b = Bench().__enter__(); p = b.popen(['sleep', '600']); print(p.pid, b.url, flush=True); input()"
    )
    victim = subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with victim:
        assert victim.stdout is not None and victim.stderr is not None
        said = victim.stdout.readline()
        if not said:
            pytest.skip(victim.stderr.read().splitlines()[-1])
        pid, url = said.split()
        os.kill(victim.pid, signal.SIGKILL)
    # the kernel ends one after the other, in no order
    wait_for(lambda: ended(int(pid)) and refuses(url.removeprefix("http://")))
