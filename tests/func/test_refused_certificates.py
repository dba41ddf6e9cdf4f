"""A certificate that does not pass is refused on either side, in words that say why and what to do."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional

import pytest

from certmaster import ca
from certmaster.config import load_certmaster_config
from func import tls
from func.config import load_overlord_config
from func.errors import CallError, ConfigError, XMLRPCFault
from func.minion.acl import Acl, Peer
from func.minion.codes import AccessToMethodDenied
from func.minion.server import Limits
from func.overlord.fanout import Fanout
from tests.func.minion.helpers import Authority, Identity, Running, wait_for

MINION, OVERLORD = "cloud1.example.org", "overlord.example.org"


@dataclass(frozen=True)
class Bad:
    """One way not to pass: how such a certificate is made, what is said of it, and what the holder hears."""

    name: str = ""
    begins_in: timedelta = timedelta()
    foreign: bool = False
    revoked: bool = False
    why: str = ""
    remedy: str = ""
    heard: str = ""


BAD = {
    "expired": Bad(
        begins_in=timedelta(days=-60),
        why="its certificate has expired",
        remedy="issue it again with certmaster",
        heard="it does not trust our certificate: it has expired, issue it again with certmaster",
    ),
    "not yet valid": Bad(
        begins_in=timedelta(days=3),
        why="its certificate is not valid yet",
        remedy="compare the clocks of both machines",
        heard="it does not trust our certificate",
    ),
    "of another certmaster": Bad(
        foreign=True,
        why="its certificate comes from another certmaster than ours",
        remedy="enrol it with ours, or correct ca_file",
        heard="it does not trust our certificate: it comes from another certmaster than the peer's",
    ),
    "revoked": Bad(
        revoked=True,
        why="its certificate has been revoked",
        remedy="issue it again with certmaster if that was a mistake",
    ),
    "for another name": Bad(
        name="other.example.org",
        why="its certificate is for another name",
        remedy="correct the name asked for, or enrol it under this one",
        heard="it does not trust our certificate",
    ),
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "ours", "master.example.org-CA-KEY")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "theirs", "elsewhere.example.org-CA-KEY")


@pytest.fixture(scope="module")
def key() -> bytes:
    return ca.new_key()


class Cast:
    """Makes identities that trust our certmaster, and our list of the revoked."""

    def __init__(self, folder: Path, ours: Authority, theirs: Authority, key: bytes) -> None:
        self._folder, self._ours, self._theirs, self._key = folder, ours, theirs, key
        self.ca_file = folder / "ca.cert"
        self.ca_file.write_bytes(ours.cert)

    def make(self, name: str, bad: Bad = Bad()) -> Identity:
        """Somebody with a certificate; with the name of `bad`, where that has one."""
        by = self._theirs if bad.foreign else self._ours
        by.serial += 1
        request = ca.make_request(self._key, bad.name or name)
        signed = ca.sign(request, by.cert, by.key, by.serial, by.now + bad.begins_in, 30)
        made = Identity(self._folder / f"{name}.cert", self._folder / f"{name}.pem", self.ca_file)
        made.cert_file.write_bytes(signed)
        made.key_file.write_bytes(self._key)
        if bad.revoked:
            now, serials = by.now, {by.serial: by.now}
            crl = ca.make_crl(by.cert, by.key, serials, by.serial, now, now + timedelta(days=7))
            self.ca_file.with_suffix(".crl").write_bytes(crl)
        return made


@pytest.fixture
def cast(tmp_path: Path, ours: Authority, theirs: Authority, key: bytes) -> Cast:
    return Cast(tmp_path, ours, theirs, key)


@contextlib.contextmanager
def minion(identity: Identity, acls: Path) -> Iterator[Running]:
    """One that lets the overlord of that name, and nobody else, do everything."""
    acls.mkdir()
    (acls / "overlord.acl").write_text(f"{OVERLORD}-* = *\n")
    acl = Acl(acls, frozenset())

    def dispatch(peer: Peer, method: str, args: Any) -> int:
        if not acl.allows(peer, method):
            raise AccessToMethodDenied
        return 1

    running = Running(identity, dispatch, Limits())
    try:
        yield running
    finally:
        running.end()


def ask(root: Path, overlord: Identity, running: Running) -> Optional[CallError]:
    """What an overlord with that identity makes of calling the minion; None for success."""
    folder = root / "overlord/etc/func"
    folder.mkdir(parents=True)
    files = {"cert_file": overlord.cert_file, "key_file": overlord.key_file, "ca_file": overlord.ca_file}
    address, port = running.address
    below = root / "overlord"
    lines = [f"listen_port = {port}"]
    for setting, path in files.items():
        (below / path.name).write_bytes(path.read_bytes())
        lines.append(f"{setting} = /{path.name}")
    crl = overlord.ca_file.with_suffix(".crl")
    if crl.exists():
        (below / crl.name).write_bytes(crl.read_bytes())
    (folder / "overlord.conf").write_text("\n".join(["[main]", *lines, ""]))
    (folder / "hosts").write_text(f"{address} {MINION}\n")
    fanout = Fanout(load_overlord_config(below), load_certmaster_config(below))
    with contextlib.closing(fanout):
        ((result,),) = list(fanout.ask({MINION: ("test.ping", ())}, timeout_s=60))
    return result.error


def test_whoever_has_a_good_certificate_passes(cast: Cast, tmp_path: Path) -> None:
    with minion(cast.make(MINION), tmp_path / "acls") as running:
        assert ask(tmp_path, cast.make(OVERLORD), running) is None


@pytest.mark.parametrize("bad", [kind for kind in BAD if kind != "for another name"])
def test_a_minion_refuses_an_overlord_and_its_log_says_why_and_what_to_do(
    bad: str, cast: Cast, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    case, good, caller = BAD[bad], cast.make(MINION), cast.make(OVERLORD, BAD[bad])
    # The overlord itself does not look whether it is revoked: that is for the minion to find out.
    with minion(good, tmp_path / "acls") as running:
        error = ask(tmp_path, caller, running)
        wait_for(lambda: " was refused: " in caplog.text, "the minion says that it refused")
    (line,) = [record for record in caplog.records if " was refused: " in record.getMessage()]
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith(f"127.0.0.1 was refused: {case.why}")
    assert case.remedy in line.getMessage()
    assert error is not None
    assert case.heard in str(error)


def test_a_minion_denies_an_overlord_of_another_name_and_its_log_says_whom_and_what_to_do(
    cast: Cast, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with minion(cast.make(MINION), tmp_path / "acls") as running:
        error = ask(tmp_path, cast.make(OVERLORD, BAD["for another name"]), running)
    assert isinstance(error, XMLRPCFault)
    assert error.text.startswith("<class 'func.minion.codes.AccessToMethodDenied'>:")
    assert "other.example.org-" in caplog.text
    assert "(127.0.0.1) may not call test.ping: no line of the ACL files allows it" in caplog.text


@pytest.mark.parametrize("bad", BAD)
def test_an_overlord_refuses_a_minion_and_says_why_and_what_to_do(
    bad: str, cast: Cast, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    case, caller = BAD[bad], cast.make(OVERLORD)
    refused = cast.make(MINION, case)
    with minion(refused, tmp_path / "acls") as running:
        error = ask(tmp_path, caller, running)
        if case.heard:
            # What the minion hears of it is an alert, and stands in its own log.
            wait_for(lambda: "does not trust our certificate" in caplog.text, "the minion says what it heard")
    assert type(error).__name__ == "PeerRefused"
    assert str(error).startswith(case.why)
    assert case.remedy in str(error)


@pytest.mark.parametrize("make_context", [tls.server_context, tls.client_context])
def test_a_key_that_is_not_the_certificates_never_gets_as_far_as_the_wire(
    make_context: Any, cast: Cast, ours: Authority
) -> None:
    one = cast.make(MINION)
    with pytest.raises(ConfigError) as refused:
        make_context(one.cert_file, ours.folder / "ca.key", one.ca_file)
    assert str(refused.value).startswith(
        f"{one.cert_file} and {ours.folder / 'ca.key'} do not belong together"
    )
    assert "put that key back, or remove both" in str(refused.value)
    assert "certmaster-ca --clean" in str(refused.value)
