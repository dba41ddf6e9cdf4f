"""Requests that wait: where they came from; the key that was seen is the one that is signed or rejected."""

from __future__ import annotations

import os
import pwd
import subprocess
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certmaster import ca, proof
from certmaster.admin_socket import AdminSocket
from certmaster.authority import Authority
from certmaster.config import CertmasterConfig
from certmaster.errors import KeyConflict, UnknownName
from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import Conflict, NotFound
from tests.certmaster.support import running

Make = Callable[..., Authority]
NAME = "cloud1.example.org"
NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # the standard library is enough for it


def wait_for_cert(port: int, csr: bytes) -> list[object]:
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/RPC2") as proxy:
        found = proxy.wait_for_cert(csr.decode())
    assert isinstance(found, list)
    return found


@pytest.fixture
def port_and_enrolment(authority: Make, settings: CertmasterConfig) -> Iterator[tuple[int, Enrolment]]:
    where = AdminSocket(settings.admin_socket)
    with running(authority(), admin_socket=where) as port:
        yield port, Enrolment(where.path, "cloud.example.org")


def fingerprint(csr: bytes) -> str:
    return ca.read_request(csr).key_fingerprint


def test_a_request_is_known_by_the_address_it_came_from(
    port_and_enrolment: tuple[int, Enrolment], keys: list[bytes]
) -> None:
    port, enrolment = port_and_enrolment
    csr = ca.make_request(keys[0], NAME)
    assert wait_for_cert(port, csr) == [False, "", ""]
    (one,) = enrolment.list_waiting()
    assert (one.name, one.key_fingerprint, one.address) == (NAME, fingerprint(csr), "127.0.0.1")


def test_nobody_says_another_address_than_his(
    port_and_enrolment: tuple[int, Enrolment], keys: list[bytes]
) -> None:
    port, enrolment = port_and_enrolment
    wait_for_cert(port, b"Requested-From: 192.0.2.1\n" + ca.make_request(keys[0], NAME))
    assert [one.address for one in enrolment.list_waiting()] == ["127.0.0.1"]


def test_a_request_that_waits_since_before_has_no_address(
    authority: Make, settings: CertmasterConfig, keys: list[bytes]
) -> None:
    settings.csrroot.mkdir(parents=True)
    (settings.csrroot / f"{NAME}.csr").write_bytes(ca.make_request(keys[0], NAME))
    (one,) = authority().describe_waiting()
    assert one.address == ""
    authority().sign(NAME)


def test_what_was_seen_is_signed_and_who_wanted_it_is_recorded(
    port_and_enrolment: tuple[int, Enrolment], keys: list[bytes], settings: CertmasterConfig
) -> None:
    port, enrolment = port_and_enrolment
    csr = ca.make_request(keys[0], NAME)
    wait_for_cert(port, csr)
    with pytest.raises(Conflict, match="look at it again"):
        enrolment.sign(NAME, fingerprint(ca.make_request(keys[1], NAME)))
    assert wait_for_cert(port, csr)[0] is False
    enrolment.sign(NAME, fingerprint(csr), by="alice")
    assert wait_for_cert(port, csr)[0] is True
    assert enrolment.list_waiting() == ()
    with pytest.raises(NotFound, match="is signed already"):
        enrolment.sign(NAME)
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert f" - {user}, process {os.getpid()} for alice sign {NAME}: signed" in settings.audit_log.read_text()


def test_a_rejected_key_waits_no_more_until_its_name_is_cleaned(
    port_and_enrolment: tuple[int, Enrolment], keys: list[bytes], settings: CertmasterConfig
) -> None:
    port, enrolment = port_and_enrolment
    csr, other = ca.make_request(keys[0], NAME), ca.make_request(keys[1], NAME)
    wait_for_cert(port, csr)
    with pytest.raises(Conflict, match="look at it again"):
        enrolment.reject(NAME, fingerprint(other))
    enrolment.reject(NAME, fingerprint(csr), by="alice")
    assert wait_for_cert(port, csr) == [False, "", ""]
    assert enrolment.list_waiting() == (), "it asks again every ten seconds, and stays rejected"
    with pytest.raises(NotFound):
        enrolment.reject(NAME)
    wait_for_cert(port, other)
    assert [one.key_fingerprint for one in enrolment.list_waiting()] == [fingerprint(other)]
    enrolment.clean(NAME)
    wait_for_cert(port, csr)
    assert [one.key_fingerprint for one in enrolment.list_waiting()] == [fingerprint(csr)]
    assert f"for alice reject {NAME}: rejected" in settings.audit_log.read_text()


def test_a_rejected_key_is_not_signed_by_autosign_and_is_by_a_token(
    authority: Make, keys: list[bytes]
) -> None:
    csr = ca.make_request(keys[0], NAME)
    authority().enrol(csr)
    authority().reject(NAME)
    with pytest.raises(KeyConflict, match="was rejected at .*--clean"):
        authority(autosign=True).enrol(csr)
    _, secret = authority().tokens.add(NAME)
    proved = ca.make_request(keys[0], NAME, proof.make(secret, NAME, fingerprint(csr)))
    assert authority().enrol(proved) is not None
    assert authority().enrol(csr) is not None, "and the rejection is over"


def test_nothing_but_the_request_goes_when_it_is_rejected(authority: Make, keys: list[bytes]) -> None:
    one = authority(autosign=True)
    assert one.enrol(ca.make_request(keys[0], NAME)) is not None
    with pytest.raises(UnknownName):
        one.reject(NAME)
    assert [signed.name for signed in one.list_signed()] == [NAME]


def test_what_is_no_request_can_be_rejected(authority: Make, settings: CertmasterConfig) -> None:
    settings.csrroot.mkdir(parents=True)
    (settings.csrroot / f"{NAME}.csr").write_text("garbage")
    authority().reject(NAME)
    assert authority().list_waiting() == []


ASK = """
import sys
from pathlib import Path
from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import CloudError
found = Enrolment(Path(sys.argv[1]), "")
for method, args in (
    ("list_waiting", ()), ("list_tokens", ()), ("authority", ()), ("revoke", ("*",)),
    ("new_token", ("cloud9.example.org", 3600, False, "")),
    ("sign", ("cloud1.example.org", "", "")), ("clean", ("cloud1.example.org", "")),
):
    try:
        found._call(lambda answer: answer, method, *args)
        print(method, "done")
    except CloudError as exc:
        print(method, type(exc).__name__, exc)
"""


def others_may_enter(path: Path) -> bool:
    return all(one.stat().st_mode & 0o001 for one in (path, *path.parents))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not others_may_enter(ROOT), reason="another user may not read this checkout")
@pytest.mark.skipif(not Path(PYTHON).exists(), reason="there is no Python here that another user may run")
def test_the_admin_group_may_what_the_cloud_master_needs_and_no_more(
    authority: Make, settings: CertmasterConfig, keys: list[bytes]
) -> None:
    for path in (settings.admin_socket.parent, *settings.admin_socket.parents):
        if path.is_dir() and "pytest" in str(path):
            path.chmod(0o755)
    one = authority()
    where = AdminSocket(settings.admin_socket)
    with running(one, admin_socket=where) as port:
        os.chown(where.path, -1, NOBODY)
        wait_for_cert(port, ca.make_request(keys[0], NAME))
        done = subprocess.run(
            [PYTHON, "-c", ASK, str(where.path)], cwd=ROOT, user=NOBODY, group=NOBODY,
            extra_groups=[], capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "list_waiting done",
        "list_tokens done",
        "authority done",
        "revoke Invalid revoke is for root and certmaster's own user",
        "new_token done",
        "sign done",
        "clean done",
    ]
    who = pwd.getpwuid(NOBODY).pw_name
    audit = settings.audit_log.read_text()
    assert f" revoke refused: {who}, process " in audit
    assert f" - {who}, process " in audit


def test_root_and_the_owner_may_revoke_over_the_socket(
    port_and_enrolment: tuple[int, Enrolment], keys: list[bytes], authority: Make
) -> None:
    port, enrolment = port_and_enrolment
    wait_for_cert(port, ca.make_request(keys[0], NAME))
    enrolment.sign(NAME)
    enrolment._call(len, "revoke", "cloud1.*")
    assert authority().list_signed() == []
    with pytest.raises(KeyConflict, match="was revoked"):
        authority().enrol(ca.make_request(keys[0], NAME))
