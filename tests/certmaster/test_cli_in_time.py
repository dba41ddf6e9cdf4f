"""certmaster-ca and certmaster-request on what ends, is revoked, renewed or signed anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from certmaster import ca, cli
from certmaster.certdir import write_file
from tests.certmaster.support import NOW, Pair
from tests.certmaster.test_cli import configure, daemon

NAME = "cloud1.example.org"


@pytest.fixture
def root(tmp_path: Path, authority_pair: Pair) -> Path:
    write_file(tmp_path / "etc/pki/certmaster/ca/certmaster.key", authority_pair.key, 0o600)
    write_file(tmp_path / "etc/pki/certmaster/ca/certmaster.crt", authority_pair.cert, 0o644)
    return tmp_path


def put_signed(root: Path, pair: Pair, key: bytes, name: str, days: int, began: int = 0) -> bytes:
    pem = ca.sign(
        ca.make_request(key, name), pair.cert, pair.key, days + 400, NOW - timedelta(days=began), days + began
    )
    write_file(root / f"var/lib/certmaster/certs/{name}.cert", pem, 0o644)
    return pem


def test_what_ends_soon_is_told_of_beside_the_list_that_scripts_read(
    root: Path, authority_pair: Pair, keys: Sequence[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, days in (("a.example.org", 31), ("b.example.org", 29), ("c.example.org", -1)):
        put_signed(root, authority_pair, keys[0], name, days, began=5)
    assert cli.certmaster_ca(["--root", str(root), "--list-signed"]) == 0
    said = capsys.readouterr()
    assert said.out.split() == ["a.example.org", "b.example.org", "c.example.org"]
    told = said.err.splitlines()
    assert [line.split(": ")[1] for line in told] == ["b.example.org", "c.example.org"]
    assert "days left" in told[0] and "expired" in told[1]
    assert cli.certmaster_ca(["--root", str(root), "--long", "--list-signed", "a*"]) == 0
    assert "30 days left" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--clean", "--revoke"])
def test_revoking_prints_what_went_and_an_unknown_name_is_an_error(
    root: Path, authority_pair: Pair, keys: Sequence[bytes], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    pem = put_signed(root, authority_pair, keys[0], NAME, 100)
    assert cli.certmaster_ca(["--root", str(root), option, "nobody*", NAME]) == 1
    said = capsys.readouterr()
    assert said.out == f"removed {root}/var/lib/certmaster/certs/{NAME}.cert\n"
    assert "nothing waits or is signed for 'nobody*'" in said.err
    listed = ca.read_crl((root / "etc/pki/certmaster/ca/certmaster.crl").read_bytes(), authority_pair.cert)
    assert list(listed.serials) == [ca.serial_number(pem)]
    (line,) = (root / "var/log/certmaster/audit.log").read_text().splitlines()
    assert f", certmaster-ca {option[2:]} {NAME}: removed" in line
    assert (root / "var/lib/certmaster/revoked").exists() is (option == "--revoke")


def test_upgrading_where_there_is_nothing_weak_does_nothing(
    root: Path, authority_pair: Pair, keys: Sequence[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    pem = put_signed(root, authority_pair, keys[0], NAME, 100)
    assert cli.certmaster_ca(["--root", str(root), "--upgrade"]) == 0
    assert capsys.readouterr().out == ""
    assert (root / f"var/lib/certmaster/certs/{NAME}.cert").read_bytes() == pem


@pytest.mark.slow
def test_renewing_by_command_gets_the_list_and_renews_only_in_time(
    root: Path, authority_pair: Pair, keys: Sequence[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(root)
    cert_dir, renew = root / "etc/pki/certmaster", ["--root", str(root), "--name", NAME, "--renew"]
    with daemon(root) as (_, port):
        configure(root, port)
        write_file(cert_dir / "ca.cert", authority_pair.cert, 0o644)
        write_file(cert_dir / f"{NAME}.pem", keys[0], 0o600)
        for began, said in ((0, "not time to renew yet, "), (90, "renewed, ")):
            pem = put_signed(root, authority_pair, keys[0], NAME, 20, began)
            write_file(cert_dir / f"{NAME}.cert", pem, 0o644)
            assert cli.certmaster_request(renew) == 0
            assert f"{NAME}: {cert_dir}/{NAME}.cert: {said}" in capsys.readouterr().out
    assert (cert_dir / f"{NAME}.pem").read_bytes() != keys[0]
    assert ca.key_matches((cert_dir / f"{NAME}.cert").read_bytes(), (cert_dir / f"{NAME}.pem").read_bytes())
    assert ca.read_crl((cert_dir / "ca.crl").read_bytes(), authority_pair.cert).serials == {}
    assert cli.certmaster_request(renew) == 1
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.slow
def test_renewing_before_enrolling_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(root)
    with daemon(root) as (_, port):
        configure(root, port)
        assert cli.certmaster_request(["--root", str(root), "--name", NAME, "--renew"]) == 1
    assert "has this machine been enrolled?" in capsys.readouterr().err
