"""The local socket: who may use it, what it answers, and that it is there and gone when it should be."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from certmaster import ca
from certmaster.admin_socket import AdminSocket
from certmaster.authority import Authority
from certmaster.config import CertmasterConfig
from certmaster.errors import ListenError
from cloudmasterd.enrolment import Enrolment
from cloudmasterd.errors import CertmasterUnreachable, Conflict, Invalid, NotFound
from tests.certmaster.support import NOW, running

Make = Callable[..., Authority]
NAME = "cloud1.example.org"


@contextmanager
def serving(authority: Authority, where: AdminSocket) -> Iterator[Enrolment]:
    """A certmaster with that local socket, and the cloud master's way to it."""
    with running(authority, admin_socket=where):
        yield Enrolment(where.path, "cloud.example.org", timeout_s=10)


@pytest.fixture
def where(settings: CertmasterConfig) -> AdminSocket:
    return AdminSocket(settings.admin_socket)


@pytest.fixture
def enrolment(authority: Make, where: AdminSocket) -> Iterator[Enrolment]:
    with serving(authority(), where) as one:
        yield one


def test_a_token_is_made_listed_used_and_taken_back(
    enrolment: Enrolment, authority: Make, keys: list[bytes]
) -> None:
    made = enrolment.new_token("Cloud*.example.org", 7200)
    assert made.name == "cloud*.example.org"
    assert made.expires_at == NOW + timedelta(seconds=7200)
    assert made.ca_fingerprint == enrolment.authority() == ca.pin(authority().certificate())
    assert made.token not in repr(made)
    known = enrolment.list_tokens()
    assert [(t.id, t.name, t.state, t.used_by) for t in known] == [(made.id, made.name, "open", "")]
    assert made.token not in repr(known)
    enrolment.delete_token(made.id)
    assert enrolment.list_tokens() == ()
    with pytest.raises(NotFound, match=f"no token '{made.id}'"):
        enrolment.delete_token(made.id)


def test_the_metadata_of_a_token_is_what_a_kernel_command_line_takes(enrolment: Enrolment) -> None:
    made = enrolment.new_token(NAME)
    assert enrolment.metadata(made) == {
        "certmaster": "cloud.example.org", "genome_token": made.token, "genome_ca": enrolment.authority(),
        "genome_name": NAME,
    }  # fmt: skip
    several = enrolment.new_token("cloud*.example.org")
    assert "genome_name" not in enrolment.metadata(several)


def test_what_cannot_be_is_told_in_the_words_of_certmaster(enrolment: Enrolment) -> None:
    with pytest.raises(Invalid, match="not a host name") as refused:
        enrolment.new_token("a/b")
    assert refused.value.fields[0][0] == "name"
    with pytest.raises(Invalid, match="from 60 s to 30 days"):
        enrolment.new_token(NAME, 1)
    enrolment.new_token(NAME, mark="m")
    with pytest.raises(Conflict, match="was made by this very request already"):
        enrolment.new_token(NAME, mark="m")


def test_waiting_requests_are_listed_and_cleaned_by_one_name(
    enrolment: Enrolment, authority: Make, keys: list[bytes]
) -> None:
    csr = ca.make_request(keys[0], NAME)
    authority().enrol(csr)
    authority().enrol(ca.make_request(keys[0], "cloud2.example.org"))
    first = enrolment.list_waiting()[0]
    assert (first.name, first.key_fingerprint) == (NAME, ca.read_request(csr).key_fingerprint)
    assert isinstance(first.since, datetime)
    assert first.address == "", "nobody sent it"
    with pytest.raises(Invalid, match="not a host name"):
        enrolment.clean("*.example.org")
    assert enrolment.clean(NAME) == 1
    assert [one.name for one in enrolment.list_waiting()] == ["cloud2.example.org"]
    with pytest.raises(NotFound):
        enrolment.clean(NAME)


def call(path: Path, method: str, *args: object) -> object:
    """A raw call, as another program of this machine could make it."""
    return Enrolment(path, "")._call(lambda answer: answer, method, *args)


@pytest.mark.parametrize(
    ("method", "args", "said"),
    [
        ("system.listMethods", (), "no method 'system.listMethods': there are new_token"),
        ("_clean", ("x",), "no method"),
        ("wait_for_cert", ("x",), "no method"),
        ("new_token", (), "new_token takes str, int, bool, str"),
        ("new_token", (NAME, True, False, ""), "new_token takes"),
        ("new_token", (NAME, "3600", False, ""), "new_token takes"),
        ("delete_token", (7,), "delete_token takes str"),
        ("list_tokens", (1,), "list_tokens takes no arguments"),
    ],
)
def test_a_call_that_is_none_is_refused_and_the_socket_goes_on(
    enrolment: Enrolment, where: AdminSocket, method: str, args: tuple[object, ...], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        call(where.path, method, *args)
    assert enrolment.list_tokens() == ()


def test_garbage_is_refused_and_the_socket_goes_on(enrolment: Enrolment, where: AdminSocket) -> None:
    for junk in (b"garbage\r\n\r\n", b"POST /RPC2 HTTP/1.1\r\nContent-Length: 3\r\n\r\n<a>", b""):
        with socket.socket(socket.AF_UNIX) as sock:
            where._reach(sock.connect)
            sock.sendall(junk)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100)[:12] in (b"HTTP/1.1 400", b"")
    assert enrolment.list_tokens() == ()


def test_each_change_is_logged_with_who_made_it_and_never_with_the_secret(
    enrolment: Enrolment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    made = enrolment.new_token(NAME)
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert f"{user}, process {os.getpid()}: new_token('{NAME}', 3600, False, '')" in caplog.text
    assert made.token not in caplog.text


def test_the_socket_is_for_its_owner_and_one_group_and_goes_with_certmaster(
    authority: Make, where: AdminSocket
) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    with serving(authority(), AdminSocket(where.path, group)):
        seen = where.path.stat()
        assert (stat.S_IMODE(seen.st_mode), seen.st_gid) == (0o660, os.getegid())
    assert not where.path.exists()
    with pytest.raises(CertmasterUnreachable, match=f"nobody answers at {where.path}. Start certmaster"):
        Enrolment(where.path, "").list_tokens()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_outside_the_group_is_told_what_to_set(enrolment: Enrolment, where: AdminSocket) -> None:
    for path in (where.path.parent, *where.path.parent.parents):
        if path != Path("/") and path.stat().st_uid == 0 and "pytest" in str(path):
            path.chmod(0o755)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
    try:
        with pytest.raises(CertmasterUnreachable, match=r"set admin_group in certmaster\.conf"):
            enrolment.list_tokens()
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def test_what_a_dead_certmaster_left_is_taken_over_and_a_living_ones_is_not(
    authority: Make, where: AdminSocket
) -> None:
    where.listen().close()
    assert where.path.exists(), "as kill -9 leaves it"
    with serving(authority(), where) as enrolment:
        assert enrolment.list_tokens() == ()
        with pytest.raises(ListenError, match="another certmaster listens there"):
            where.listen()
        assert enrolment.list_tokens() == ()


def test_a_path_longer_than_a_unix_socket_may_have_is_reached_all_the_same(
    authority: Make, tmp_path: Path
) -> None:
    where = AdminSocket(tmp_path / ("d" * 60) / ("e" * 60) / "admin.sock")
    with serving(authority(), where) as enrolment:
        assert enrolment.authority() == ca.pin(authority().certificate())
    assert not where.path.exists()


def test_a_file_that_is_no_socket_is_not_taken_away(tmp_path: Path) -> None:
    file, link = tmp_path / "certmaster.key", tmp_path / "link"
    file.write_text("of somebody")
    link.symlink_to(file)
    for path in (file, link):
        with pytest.raises(ListenError, match="is there, and no socket: set admin_socket"):
            AdminSocket(path).listen()
    assert file.read_text() == "of somebody" and link.is_symlink()


def test_a_place_that_cannot_be_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match=r"cannot listen on .*; set admin_socket in certmaster\.conf"):
        AdminSocket(tmp_path / "file/admin.sock").listen()
    with pytest.raises(ListenError, match="admin_group = no-such-group: this machine has no such group"):
        AdminSocket(tmp_path / "admin.sock", "no-such-group").listen()


def test_something_else_at_the_socket_is_told_apart(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        where = AdminSocket(tmp_path / "x.sock")
        listening = where.listen()

        def speak() -> None:
            peer, _ = listening.accept()
            with peer:
                asked = b""
                while not asked.rstrip().endswith(b"</methodCall>"):
                    asked += peer.recv(65536)
                body = xmlrpc.client.dumps(({"id": 1},), methodresponse=True).encode()
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body)
                peer.sendall(head + body)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(CertmasterUnreachable, match="does not answer as a certmaster of this version"):
            Enrolment(where.path, "").list_tokens()
        thread.join(10)
        listening.close()
        sock.close()


def test_a_silent_certmaster_is_given_up(tmp_path: Path) -> None:
    where = AdminSocket(tmp_path / "x.sock")
    with where.listen(), pytest.raises(CertmasterUnreachable, match=r"did not answer at .* within 0\.2 s"):
        Enrolment(where.path, "", timeout_s=0.2).authority()
