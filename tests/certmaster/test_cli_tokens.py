"""The commands about tokens and the pinned authority, as administrators and scripts use them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from certmaster import ca, cli, proof
from certmaster.certdir import write_file
from tests.certmaster.support import Pair, openssl
from tests.certmaster.test_cli import configure, daemon

NAME = "cloud1.example.org"


@pytest.fixture
def root(tmp_path: Path, authority_pair: Pair) -> Path:
    cadir = tmp_path / "etc/pki/certmaster/ca"
    write_file(cadir / "certmaster.key", authority_pair.key, 0o600)
    write_file(cadir / "certmaster.crt", authority_pair.cert, 0o644)
    return tmp_path


def manage(root: Path, *args: str) -> int:
    return cli.certmaster_ca(["--root", str(root), *args])


def new_token(root: Path, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, str]:
    """The secret and the fingerprint, out of the line that is for scripts."""
    assert manage(root, "--new-token", *args) == 0
    first = capsys.readouterr().out.splitlines()[0]
    found = re.fullmatch(
        r"genome_token=([A-Za-z0-9_-]{43}) genome_ca=([0-9a-f]{64})( genome_name=\S+)?", first
    )
    assert found, first
    assert found[3] == (None if "*" in args[0] else f" genome_name={args[0]}")
    return found[1], found[2]


@pytest.mark.slow
def test_a_machine_enrols_by_a_token_through_the_commands_alone(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(root)
    with daemon(root) as (_, port):
        configure(root, port)
        secret, pin = new_token(root, capsys, NAME, "--expires", "30m")
        token = root / "token"
        token.write_text(secret)
        token.chmod(0o600)
        args = ["--root", str(root), "--name", NAME, "--once", "--token-file", str(token)]
        assert cli.certmaster_request([*args, "--ca-fingerprint", pin]) == 0
        assert not token.exists()
    assert manage(root, "--list-tokens") == 0
    assert re.search(rf"^[0-9a-f]{{16}}  used     \S+  {NAME}  by {NAME}$", capsys.readouterr().out, re.M)


@pytest.mark.slow
def test_settings_do_the_same_as_options(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(root)
    with daemon(root) as (_, port):
        configure(root, port)
        secret, pin = new_token(root, capsys, NAME)
        write_file(root / "etc/certmaster/token", secret.encode(), 0o600)
        with (root / "etc/certmaster/minion.conf").open("a") as file:
            file.write(f"ca_fingerprint = {':'.join(re.findall('..', pin.upper()))}\n")
        assert cli.certmaster_request(["--root", str(root), "--name", NAME, "--once"]) == 0


@pytest.mark.slow
def test_the_wrong_fingerprint_ends_in_a_sentence(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(root, autosign="yes")
    with daemon(root) as (_, port):
        configure(root, port)
        args = ["--root", str(root), "--name", NAME, "--once", "--ca-fingerprint", "0" * 64]
        assert cli.certmaster_request(args) == 1
    assert "somebody answers in its place" in capsys.readouterr().err


def test_a_new_token_is_printed_with_everything_it_takes(
    root: Path, capsys: pytest.CaptureFixture[str], authority_pair: Pair
) -> None:
    assert manage(root, "--new-token", NAME.upper(), "--replace") == 0
    out = capsys.readouterr().out
    pin = ca.pin(authority_pair.cert)
    assert f"ca_fingerprint = {pin}" in out
    assert "/etc/certmaster/token, mode 0600" in out
    assert re.search(r"genome-replace-self -c \$COBBLER_REPO -m certmaster=\S+ \\", out)
    assert manage(root, "--list-tokens") == 0
    shown = capsys.readouterr().out
    assert re.fullmatch(rf"[0-9a-f]{{16}}  open     \S+  {NAME}  replaces\n", shown)
    assert not any(proof.TOKEN.fullmatch(word) for word in shown.split())


def test_the_fingerprint_is_the_one_openssl_prints(
    root: Path, capsys: pytest.CaptureFixture[str], authority_pair: Pair
) -> None:
    assert manage(root, "--fingerprint") == 0
    printed = openssl("x509", "-noout", "-fingerprint", "-sha256", given=authority_pair.cert).decode()
    assert capsys.readouterr().out.strip() == printed.partition("=")[2].strip().replace(":", "").lower()


def test_tokens_are_deleted_by_their_ids(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_token(root, capsys, NAME)
    manage(root, "--list-tokens")
    token_id = capsys.readouterr().out.split()[0]
    assert manage(root, "--delete-token", "0" * 16, token_id) == 1
    shown = capsys.readouterr()
    assert shown.out == f"deleted {token_id}\n"
    assert "there is no token '0000000000000000'" in shown.err
    manage(root, "--list-tokens")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["--new-token", NAME, "--expires", "soon"],
            "'soon' is no duration: write a number and s, m, h or d",
        ),
        (["--list-tokens", "--expires", "1h"], "--expires and --replace go with --new-token"),
        (["--fingerprint", "--replace"], "--expires and --replace go with --new-token"),
        (["--new-token"], "expected one argument"),
    ],
)
def test_wrong_usage_is_told(
    root: Path, args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        manage(root, *args)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["a b"], "not a host name"),
        ([NAME, "--expires", "1s"], "from 60 s"),
        (["*", "--replace"], "takes one"),
    ],
)
def test_a_token_that_cannot_be_ends_with_1(
    root: Path, args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage(root, "--new-token", *args) == 1
    assert said in capsys.readouterr().err


def test_a_machine_without_the_files_it_names_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(root, 1)
    assert cli.certmaster_request(["--root", str(root), "--token-file", "/no/such/file"]) == 1
    assert "/no/such/file: there is no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        cli.certmaster_request(["--ca-fingerprint", "abc"])
    assert ended.value.code == 2
    assert "'abc': write the 64 hexadecimal digits" in capsys.readouterr().err


@pytest.mark.parametrize("pin", ["abc", ":", "0" * 63, "g" * 64])
def test_a_pin_that_is_none_stops_the_machine(
    root: Path, pin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(root, 1)
    with (root / "etc/certmaster/minion.conf").open("a") as file:
        file.write(f"ca_fingerprint = {pin}\n")
    assert cli.certmaster_request(["--root", str(root), "--name", NAME, "--once"]) == 1
    assert f"ca_fingerprint = {pin}: write the 64 hexadecimal digits" in capsys.readouterr().err


def test_without_an_authority_there_is_no_fingerprint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage(tmp_path, "--fingerprint") == 1
    assert "start certmaster to begin a new authority" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
