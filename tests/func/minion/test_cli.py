"""The command funcd as its own process."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from func import wire
from func.minion.cli import main
from tests.func.minion.funcd import NAME, START, Funcd, configure, enrolled, free_port
from tests.func.minion.helpers import Authority, Identity, post, read_all


@pytest.fixture
def root(tmp_path: Path, minion_identity: Identity) -> Path:
    return enrolled(tmp_path, minion_identity)


@pytest.fixture
def funcd(root: Path) -> Iterator[Callable[[], Funcd]]:
    started: list[Funcd] = []

    def start() -> Funcd:
        started.append(Funcd(root))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(60)


def ask(port: int, identity: Identity, method: str) -> Any:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        with identity.client().wrap_socket(sock) as tls_sock:
            tls_sock.sendall(post(wire.encode_call(method, []), extra="Connection: close\r\n"))
            return wire.decode_response(read_all(tls_sock).partition(b"\r\n\r\n")[2])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_funcd_serves_until_it_is_told_to_end(
    root: Path, funcd: Callable[[], Funcd], authority: Authority, number: int
) -> None:
    port = configure(root)["listen_port"]
    running = funcd()
    running.says(f"funcd is ready: {NAME} at 127.0.0.1 port {port}")
    assert ask(port, authority.own, "test.ping") == 1
    assert running.end(number) == 0
    assert "Traceback" not in running.log.read_text()
    assert "test.ping() ok" in (root / "var/log/func/methods/calls.log").read_text()


@pytest.mark.slow
def test_a_libvirt_that_is_down_does_not_keep_funcd_from_starting(
    root: Path, funcd: Callable[[], Funcd], authority: Authority
) -> None:
    port = configure(root)["listen_port"]
    (root / "etc/func/modules").mkdir()
    (root / "etc/func/modules/Virt.conf").write_text(
        "[main]\nuri = qemu+unix:///session?socket=/nonexistent/socket\n"
    )
    running = funcd()
    running.says("funcd is ready")
    answer = ask(port, authority.own, "virt.freemem")
    assert answer[:2] == ["REMOTE_ERROR", "func.errors.HostError"]
    assert "libvirt" in answer[2]
    assert ask(port, authority.own, "test.ping") == 1
    assert running.end() == 0


@pytest.mark.slow
def test_funcd_that_waits_for_its_certificate_ends_when_told(root: Path, funcd: Callable[[], Funcd]) -> None:
    (root / f"etc/pki/certmaster/{NAME}.cert").unlink()
    (root / "etc/certmaster").mkdir()
    (root / "etc/certmaster/minion.conf").write_text(
        f"[main]\ncertmaster = 127.0.0.1\ncertmaster_port = {free_port()}\n"
    )
    running = funcd()
    running.says("cannot be reached")
    assert running.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"listen_addr": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
        ({"listen_port": "x"}, "listen_port = x"),
        ({"module_list": "test, nope"}, "module_list names nope"),
        ({"use_certmaster": "no", "key_file": "/nope.pem"}, "nope.pem"),
        ({"use_certmaster": "no", "ca_file": "/nope.cert"}, "nope.cert"),
        ({"minion_name": "a b"}, "minion_name"),
    ],
)
def test_what_keeps_funcd_from_working_is_told_in_one_line(
    root: Path, capfd: pytest.CaptureFixture[str], settings: dict[str, str], text: str
) -> None:
    configure(root, **settings)
    result = subprocess.run(
        [*START, "--root", str(root)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert text in last
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_port_in_use_is_told_and_the_first_one_goes_on(
    root: Path, funcd: Callable[[], Funcd], authority: Authority
) -> None:
    port = configure(root)["listen_port"]
    funcd().says("funcd is ready")
    second = subprocess.run(
        [*START, "--root", str(root)], capture_output=True, text=True, timeout=120, check=False
    )
    assert second.returncode == 1
    assert f"port {port}: Address already in use" in second.stderr
    assert ask(port, authority.own, "test.ping") == 1


def test_the_small_options_answer_and_end(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(root), "--list-modules"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "loaded modules:"
    assert out[1:] == sorted(out[1:])
    assert {"\ttest", "\tvirt", "\tjobs"} < set(out)
    assert main(["--root", str(root), "--info"]) == 0
    out = capsys.readouterr().out
    assert f"minion_name: {NAME}" in out
    assert f"{NAME}.pem" in out
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("funcd ")
