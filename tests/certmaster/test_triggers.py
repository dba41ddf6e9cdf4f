"""An administrator's programs before and after, and the record of who did what; real programs, real files."""

from __future__ import annotations

import logging
import stat
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path

import pytest

from certmaster import ca
from certmaster.audit import acting
from certmaster.authority import Authority
from certmaster.config import CertmasterConfig
from certmaster.errors import TriggerFailed
from certmaster.triggers import Triggers

Make = Callable[..., Authority]
Serve = Callable[..., int]
NAME = "cloud1.example.org"


def put(directory: Path, which: str, name: str, body: str, mode: int = 0o755) -> Path:
    path = directory / which / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


@pytest.fixture
def seen(settings: CertmasterConfig, tmp_path: Path) -> Callable[[], list[str]]:
    """Which triggers ran since the last look, each with its argument."""
    log = tmp_path / "seen"
    for what in ("request", "sign", "remove"):
        for when in ("pre", "post"):
            put(settings.trigger_dir, f"{what}/{when}", "note", f'echo "{what}/{when} $1" >> {log}')

    def look() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    return look


def test_they_run_around_request_signature_and_removal(
    authority: Make, keys: list[bytes], seen: Callable[[], list[str]]
) -> None:
    one, csr = authority(), ca.make_request(keys[0], NAME)
    one.enrol(csr)
    assert seen() == [f"request/pre {NAME}", f"request/post {NAME}"]
    one.enrol(csr)
    assert seen() == [f"request/pre {NAME}"]
    one.sign(NAME)
    assert seen() == [f"sign/pre {NAME}", f"sign/post {NAME}"]
    one.clean(NAME)
    assert seen() == [f"remove/pre {NAME}", f"remove/post {NAME}"]
    authority(autosign=True).enrol(csr)
    assert seen() == [f"{w} {NAME}" for w in ("request/pre", "sign/pre", "sign/post", "request/post")]
    authority().enrol(ca.make_request(keys[0], "quiet.example.org"), with_triggers=False)
    assert seen() == []


def test_one_that_fails_before_a_signature_prevents_it(
    settings: CertmasterConfig, authority: Make, keys: list[bytes]
) -> None:
    bad = put(settings.trigger_dir, "sign/pre", "50-no", "echo not today; exit 3")
    with pytest.raises(TriggerFailed, match=f"^certmaster trigger failed: {bad} returns 3$"):
        authority(autosign=True).enrol(ca.make_request(keys[0], NAME))
    assert authority().list_signed() == []


def test_over_the_wire_it_is_the_fault_of_certmaster_0_28(
    settings: CertmasterConfig, authority: Make, serve: Serve, keys: list[bytes]
) -> None:
    bad = put(settings.trigger_dir, "request/pre", "no", "exit 7")
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{serve(authority())}/RPC2") as proxy:
        with pytest.raises(xmlrpc.client.Fault) as failed:
            proxy.wait_for_cert(ca.make_request(keys[0], NAME).decode())
        assert failed.value.faultString == f"certmaster trigger failed: {bad} returns 7"
        assert proxy.wait_for_cert(ca.make_request(keys[0], NAME).decode(), False) == [False, "", ""]


def test_they_run_in_order_and_what_is_no_program_is_skipped(tmp_path: Path) -> None:
    for name in ("20-b", "10-a", "30-c.rpmsave"):
        put(tmp_path, "sign/post", name, f"echo {name} >> {tmp_path}/order")
    put(tmp_path, "sign/post", "README", "exit 1", mode=0o644)
    Triggers(tmp_path).run("sign", "post", NAME)
    assert (tmp_path / "order").read_text().split() == ["10-a", "20-b"]


def test_one_that_hangs_or_cannot_be_run_is_told_of(tmp_path: Path) -> None:
    put(tmp_path, "sign/pre", "hangs", "exec sleep 60")
    with pytest.raises(TriggerFailed, match="hangs takes longer than 0.2 s"):
        Triggers(tmp_path, longest_s=0.2).run("sign", "pre", NAME)
    broken = put(tmp_path, "sign/post", "broken", "")
    broken.write_text("#!/nonexistent/interpreter\n")
    with pytest.raises(TriggerFailed, match="broken cannot be run"):
        Triggers(tmp_path).run("sign", "post", NAME)


def test_a_trigger_may_use_the_authority_itself(
    settings: CertmasterConfig, authority: Make, keys: list[bytes], tmp_path: Path
) -> None:
    one = authority()
    lock = settings.cadir / ".lock"
    put(settings.trigger_dir, "sign/pre", "locks", f"flock -w 5 {lock} true")
    put(settings.trigger_dir, "sign/post", "locks", f"flock -w 5 {lock} true")
    one.enrol(ca.make_request(keys[0], NAME))
    one.sign(NAME)


def test_the_record_says_who_did_what_and_what_came_of_it(
    settings: CertmasterConfig, authority: Make, serve: Serve, keys: list[bytes]
) -> None:
    one = authority()
    csr, other = (ca.make_request(key, NAME).decode() for key in keys[:2])
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{serve(one)}/RPC2") as proxy:
        for _ in range(3):
            proxy.wait_for_cert(csr)
        with acting("root, certmaster-ca"):
            one.sign(NAME)
        for _ in range(3):
            proxy.wait_for_cert(other)
    with acting("root, certmaster-ca"):
        one.revoke(NAME)
    lines = [line.split(" - ", 1)[1] for line in settings.audit_log.read_text().splitlines()]
    assert [line.rsplit(", serial", 1)[0] for line in lines] == [
        f"127.0.0.1 request {NAME}: waits, key {ca.read_request(csr.encode()).key_fingerprint[:16]}",
        f"root, certmaster-ca sign {NAME}: signed",
        f"127.0.0.1 request refused: {NAME} is signed for another key than "
        f"{ca.read_request(other.encode()).key_fingerprint[:16]}...: `certmaster-ca --clean {NAME}` "
        "frees the name",
        f"root, certmaster-ca revoke {NAME}: removed",
    ]
    assert stat.S_IMODE(settings.audit_log.stat().st_mode) == 0o600


def test_a_record_that_cannot_be_written_is_told_of_once_and_stops_nobody(
    settings: CertmasterConfig, authority: Make, keys: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    settings.audit_log.mkdir(parents=True)
    one = authority(autosign=True)
    with caplog.at_level(logging.ERROR):
        assert one.enrol(ca.make_request(keys[0], NAME)) is not None
        assert one.enrol(ca.make_request(keys[0], "cloud2.example.org")) is not None
    assert [r.getMessage() for r in caplog.records] == [
        f"{settings.audit_log}: cannot be written: Is a directory: no audit record is kept"
    ]
    assert authority(audit_log=Path()).enrol(ca.make_request(keys[0], "c3.example.org")) is None
