"""The three commands, as functions for their words and as processes for their signals."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from certmaster import ca, cli
from certmaster.certdir import write_file
from tests.certmaster.support import NOW, Pair, openssl

NAME = "cloud1.example.org"
TREE = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path, authority_pair: Pair) -> Path:
    """A root with an authority, so that no test waits for its key."""
    cadir = tmp_path / "etc/pki/certmaster/ca"
    write_file(cadir / "certmaster.key", authority_pair.key, 0o600)
    write_file(cadir / "certmaster.crt", authority_pair.cert, 0o644)
    return tmp_path


def configure(root: Path, port: int = 0, **keys: object) -> None:
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
    server = f"[main]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n{lines}"
    write_file(root / "etc/certmaster/certmaster.conf", server.encode(), 0o644)
    minion = f"[main]\ncertmaster = 127.0.0.1\ncertmaster_port = {port}\n"
    write_file(root / "etc/certmaster/minion.conf", minion.encode(), 0o644)


def put_waiting(root: Path, key: bytes, *names: str) -> None:
    for name in names:
        write_file(root / f"var/lib/certmaster/csrs/{name}.csr", ca.make_request(key, name), 0o644)


def call(function: str, root: Path, *args: str) -> list[str]:
    code = f"import sys; from certmaster.cli import {function} as main; sys.exit(main())"
    return [sys.executable, "-c", code, "--root", str(root), *args]


@contextmanager
def daemon(root: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A certmaster process and its port, once it said that it is ready."""
    process = subprocess.Popen(call("certmaster", root), stderr=subprocess.PIPE, text=True, cwd=TREE)
    assert process.stderr is not None
    try:
        port = 0
        for line in process.stderr:
            found = re.search(r"INFO certmaster: certmaster is ready: http://127\.0\.0\.1:(\d+)/", line)
            if found:
                port = int(found[1])
                break
        assert port, "it ended without being ready"
        yield process, port
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_ends_cleanly_on_a_signal_even_while_clients_hang(
    root: Path, number: signal.Signals
) -> None:
    configure(root)
    with daemon(root) as (process, port), socket.create_connection(("127.0.0.1", port)) as hanging:
        hanging.sendall(b"POST /RPC2 HT")
        process.send_signal(number)
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
def test_a_machine_enrols_through_the_commands_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(root)
    with daemon(root) as (_, port):
        configure(root, port)
        ours = ["--root", str(root)]
        assert cli.certmaster_request([*ours, "--name", NAME, "--once"]) == 1
        assert f"certmaster-ca --sign {NAME}" in capsys.readouterr().err
        assert cli.certmaster_ca([*ours, "--list"]) == 0
        assert capsys.readouterr().out == f"{NAME}\n"
        assert cli.certmaster_ca([*ours, "--sign", NAME]) == 0
        assert cli.certmaster_request([*ours, "--name", NAME.upper()]) == 0
    assert f"{NAME}: {root}/etc/pki/certmaster/{NAME}.cert" in capsys.readouterr().out
    trusted, own = root / "etc/pki/certmaster/ca.cert", root / f"etc/pki/certmaster/{NAME}.cert"
    openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", trusted, own)


@pytest.mark.slow
def test_a_port_in_use_ends_the_daemon_with_a_sentence(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        configure(root, taken.getsockname()[1])
        done = subprocess.run(call("certmaster", root), capture_output=True, text=True, cwd=TREE, timeout=120)
    assert done.returncode == 1
    assert "Address already in use; is another certmaster running?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_configuration_ends_every_command_with_a_sentence(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(root, autosign="perhaps")
    for command, args in ((cli.certmaster, []), (cli.certmaster_ca, ["--list"])):
        assert command(["--root", str(root), *args]) == 1
        assert "certmaster.conf: autosign = perhaps: write yes or no" in capsys.readouterr().err


def test_a_certmaster_that_is_not_there_is_an_error_with_once(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(root, 1)
    assert cli.certmaster_request(["--root", str(root), "--name", NAME, "--once"]) == 1
    assert "127.0.0.1 port 1 cannot be reached: Connection refused" in capsys.readouterr().err


@pytest.mark.slow
def test_waiting_for_a_signature_ends_on_a_signal(root: Path) -> None:
    configure(root, 1)
    command = call("certmaster_request", root, "--name", NAME)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=TREE) as process:
        assert "asking again every 10 s" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1


def test_signing_goes_on_after_an_unknown_name(
    root: Path, keys: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    put_waiting(root, keys[0], "a.example.org", "b.example.org")
    args = ["--root", str(root), "--sign", "a.example.org", "c.example.org", "b.example.org"]
    assert cli.certmaster_ca(args) == 1
    shown = capsys.readouterr()
    assert re.findall(r"^(\S+) signed: \S+\.cert$", shown.out, re.M) == ["a.example.org", "b.example.org"]
    assert "'c.example.org'; the nearest is b.example.org" in shown.err


def test_lists_print_one_name_a_line(
    root: Path, keys: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    ours = ["--root", str(root)]
    put_waiting(root, keys[0], "b", "a")
    assert cli.certmaster_ca([*ours, "--list"]) == 0
    assert capsys.readouterr().out == "a\nb\n"
    cli.certmaster_ca([*ours, "--sign", "a", "b"])
    capsys.readouterr()
    assert cli.certmaster_ca([*ours, "--list-signed"]) == 0
    assert capsys.readouterr().out == "a\nb\n"
    assert cli.certmaster_ca([*ours, "--list-signed", "b*"]) == 0
    assert capsys.readouterr().out == "b\n"
    assert cli.certmaster_ca([*ours, "--list-cert-hash", "b"]) == 0
    printed = openssl("x509", "-noout", "-hash", "-in", root / "var/lib/certmaster/certs/b.cert")
    assert capsys.readouterr().out == f"b-{int(printed, 16)}\n"


def test_the_long_list_tells_the_days_left(
    root: Path, keys: list[bytes], authority_pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, days in (("a", 30), ("longer", 3), ("z", 0)):
        pem = ca.sign(ca.make_request(keys[0], name), authority_pair.cert, authority_pair.key, 9, NOW, days)
        write_file(root / f"var/lib/certmaster/certs/{name}.cert", pem, 0o644)
    assert cli.certmaster_ca(["--root", str(root), "--list-signed", "--long"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a       29 days left", "longer  2 days left", "z       expired 1 days ago"
    ]  # fmt: skip


def test_cleaning_says_what_it_removed(
    root: Path, keys: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    put_waiting(root, keys[0], "a.example.org")
    assert cli.certmaster_ca(["--root", str(root), "--clean", "a.example.org"]) == 0
    assert capsys.readouterr().out == f"removed {root}/var/lib/certmaster/csrs/a.example.org.csr\n"
    assert cli.certmaster_ca(["--root", str(root), "--clean", "a.example.org"]) == 1
    assert "nothing waits or is signed for 'a.example.org'" in capsys.readouterr().err


def test_listing_makes_no_authority(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("--list", "--list-signed", "--list-cert-hash"):
        assert cli.certmaster_ca(["--root", str(tmp_path), what]) == 0
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [cli.certmaster, cli.certmaster_ca, cli.certmaster_request])
@pytest.mark.parametrize("flag", ["--version", "-h", "--nonsense"])
def test_every_command_explains_itself(command, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command([flag])
    assert ended.value.code == (2 if flag == "--nonsense" else 0)
    shown = capsys.readouterr()
    assert "certmaster" in shown.out + shown.err


def test_the_root_may_come_from_the_environment(
    root: Path, keys: list[bytes], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_waiting(root, keys[0], "a")
    monkeypatch.setenv("CERTMASTER_ROOT", str(root))
    assert cli.certmaster_ca(["--list"]) == 0
    assert capsys.readouterr().out == "a\n"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_root_signs_belongs_to_the_authoritys_owner(keys: Sequence[bytes], authority_pair: Pair) -> None:
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:  # that others may walk into, unlike pytest's own
        root = Path(name)
        root.chmod(0o755)
        write_file(root / "etc/pki/certmaster/ca/certmaster.key", authority_pair.key, 0o600)
        write_file(root / "etc/pki/certmaster/ca/certmaster.crt", authority_pair.cert, 0o644)
        put_waiting(root, keys[0], NAME)
        for path in (*root.glob("etc/pki/certmaster/**/*"), *root.glob("var/lib/certmaster/**/*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        os.chown(root / "var/lib/certmaster", nobody.pw_uid, nobody.pw_gid)
        command = [
            sys.executable,
            "-c",
            "import sys; from certmaster import cli; sys.exit(cli.certmaster_ca())",
        ]
        done = subprocess.run(
            [*command, "--root", name, "--sign", NAME], cwd=TREE, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        for made in ("var/lib/certmaster/certs/" + NAME + ".cert", "etc/pki/certmaster/ca/serial.txt"):
            assert (root / made).stat().st_uid == nobody.pw_uid, made


def test_what_waits_is_shown_with_what_tells_it_apart_and_rejected(
    root: Path, keys: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(root)
    put_waiting(root, keys[0], "a.example.org", "b.example.org")
    assert cli.certmaster_ca(["--root", str(root), "--list", "--long"]) == 0
    lines = capsys.readouterr().out.splitlines()
    key = ca.read_request(ca.make_request(keys[0], "x")).key_fingerprint
    assert lines[0].startswith("a.example.org  from an address not known  since 20")
    assert lines[0].endswith(f"UTC  key {key}")
    assert cli.certmaster_ca(["--root", str(root), "--reject", "a.example.org", "c.example.org"]) == 1
    said = capsys.readouterr()
    assert "a.example.org rejected: removed" in said.out
    assert "nothing waits under the name 'c.example.org'" in said.err
    assert cli.certmaster_ca(["--root", str(root), "--list"]) == 0
    assert capsys.readouterr().out == "b.example.org\n"
