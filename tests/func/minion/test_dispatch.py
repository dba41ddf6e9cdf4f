"""A call is judged, run and recorded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest

from func import wire
from func.errors import XMLRPCFault
from func.minion.acl import Acl, Peer
from func.minion.audit import FILE_NAME, Audit, line_of
from func.minion.codes import AccessToMethodDenied
from func.minion.dispatch import Dispatcher
from func.minion.job_files import JobFiles
from func.minion.jobs import Jobs
from tests.func.minion.helpers import Authority, Identity, Running, call, wait_for


class Methods:
    """Counts what was really run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def call(self, method: str, args: Any) -> Any:
        self.ran.append(method)
        return wire.remote_error("x.Y", "no") if method == "test.fail" else args


def jobs_in(folder: Path) -> Jobs:
    return Jobs(JobFiles(folder / "jobs"))


def lines_of(folder: Path) -> list[str]:
    return (folder / FILE_NAME).read_text().splitlines()


def test_every_call_leaves_a_line(tmp_path: Path, peer_identity: Identity) -> None:
    (tmp_path / "a.acl").write_text("* = test.*")
    peer = Peer("192.0.2.7", peer_identity.der)
    audit = Audit(tmp_path / "log")
    dispatch = Dispatcher(Methods(), Acl(tmp_path, frozenset()), audit, jobs_in(tmp_path))
    dispatch(peer, "test.echo", ["one", 2])
    dispatch(peer, "test.fail", [])
    with pytest.raises(AccessToMethodDenied):
        dispatch(peer, "virt.info", ["a\nb"])
    audit.close()
    lines = lines_of(tmp_path / "log")
    assert len(lines) == 3
    for line, end in zip(lines, ("test.echo('one', 2) ok", "test.fail() error", "virt.info('a\\nb') denied")):
        assert f" 192.0.2.7 {peer.key} {end} " in line
        assert line.endswith(" ms")


def test_the_callers_own_name_of_a_call_stands_in_its_line(
    tmp_path: Path, serve: Callable[..., Running], authority: Authority
) -> None:
    audit = Audit(tmp_path / "log")
    acl = Acl(tmp_path, frozenset({authority.own.der}))
    running = serve(Dispatcher(Methods(), acl, audit, jobs_in(tmp_path)))
    with running.session(authority.own) as session:
        for name in ("task-17-4711", "two words", "x" * 65, "\u00fc"):
            body = wire.encode_call("test.echo", [name])
            session.request("POST", "/RPC2", body, {"X-Request-Id": name.encode("latin-1")})
            assert session.getresponse().read()
        call(session, "test.echo", "none")  # the next call on the connection has no name again
    audit.close()
    ends = [line.partition(" ms")[2] for line in lines_of(tmp_path / "log")]
    assert ends == [" request task-17-4711", "", "", "", ""]


def test_what_files_hold_stands_in_no_log(tmp_path: Path) -> None:
    for method in ("copyfile.append", "copyfile.copyfile", "async.copyfile.copyfile"):
        line = line_of("::1", "a-1", method, ["/etc/motd", b"secret", 0o600], "ok", 0)
        assert "'/etc/motd', ..." in line
        assert "secret" not in line


def test_the_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.record("::1", "a-1", "x.one", ["\udcff"], "ok", 0)
    audit.close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0
    assert len(lines_of(tmp_path)) == 1


def test_a_call_that_is_not_waited_for_is_judged_by_its_own_name(
    tmp_path: Path, peer_identity: Identity
) -> None:
    (tmp_path / "a.acl").write_text("* = test.echo async.virt.info")
    methods, jobs, audit = Methods(), jobs_in(tmp_path), Audit(tmp_path / "log")
    dispatch = Dispatcher(methods, Acl(tmp_path, frozenset()), audit, jobs)
    peer = Peer("192.0.2.7", peer_identity.der, "r-1")
    job_id = dispatch(peer, "async.test.echo", [1, "two"])
    assert wait_for(lambda: jobs.status(job_id)[0], "the job ends") == 1
    assert jobs.status(job_id) == [1, [1, "two"]]
    for method in ("async.virt.info", "virt.info", "async.async.test.echo", "async.", "async"):
        with pytest.raises(AccessToMethodDenied):
            dispatch(peer, method, [])
    assert methods.ran == ["test.echo"]
    wait_for(lambda: len(lines_of(tmp_path / "log")) == 7, "its end is recorded too")
    audit.close()
    of_job = [line for line in lines_of(tmp_path / "log") if job_id in line]
    assert f"async.test.echo(1, 'two') began {job_id} " in of_job[0]
    assert f"async.test.echo(1, 'two') ok {job_id} " in of_job[1]
    assert all(line.endswith(" ms request r-1") for line in of_job)


def test_a_job_that_ends_at_once_is_recorded_after_its_beginning(
    tmp_path: Path, authority: Authority
) -> None:
    ending: list[threading.Thread] = []

    class Hasty:
        """Begins jobs that have ended before anybody is told that they began."""

        def begin(
            self, method: str, call: Callable[[], Any], ended: Callable[[str, Any, float], None]
        ) -> str:
            ending.append(threading.Thread(target=ended, args=("1-minion", call(), 0.0)))
            ending[0].start()
            ending[0].join(0.2)
            return "1-minion"

    audit = Audit(tmp_path / "log")
    dispatch = Dispatcher(Methods(), Acl(tmp_path, frozenset({authority.own.der})), audit, Hasty())
    assert dispatch(Peer("::1", authority.own.der), "async.test.echo", [1]) == "1-minion"
    ending[0].join(60)
    audit.close()
    words = [line.partition("async.test.echo(1) ")[2].split()[0] for line in lines_of(tmp_path / "log")]
    assert words == ["began", "ok"]


def test_more_jobs_than_can_wait_are_refused_with_an_error(tmp_path: Path, authority: Authority) -> None:
    hold, runs = threading.Event(), threading.Event()

    class Waits(Methods):
        def call(self, method: str, args: Any) -> Any:
            runs.set()
            return hold.wait(60)

    jobs = Jobs(JobFiles(tmp_path / "jobs"), at_once=1, most_waiting=1)
    dispatch = Dispatcher(Waits(), Acl(tmp_path, frozenset({authority.own.der})), Audit(None), jobs)
    peer = Peer("::1", authority.own.der)
    begun = [dispatch(peer, "async.test.wait", [])]
    assert runs.wait(60)
    begun.append(dispatch(peer, "async.test.wait", []))
    refused = dispatch(peer, "async.test.wait", [])
    assert refused[:2] == ["REMOTE_ERROR", "func.minion.codes.TooManyJobs"]
    assert "ask again later" in refused[2]
    hold.set()
    for job_id in begun:
        wait_for(lambda job_id=job_id: jobs.status(job_id) == [1, True], "those taken are done")


def test_a_long_argument_is_cut_and_nothing_begins_a_new_line() -> None:
    line = line_of("::1", "cn\n-1", "a\r.b", ["x" * 10**6, b"\0" * 10**6, {"k": "\n"}], "ok", 0.0015)
    assert len(line) < 300
    assert line.isprintable()
    assert line.endswith("...) ok 1.5 ms")


def test_a_renamed_log_is_opened_anew(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.record("::1", "a-1", "x.one", [], "ok", 0)
    (tmp_path / FILE_NAME).rename(tmp_path / "calls.log.1")
    audit.record("::1", "a-1", "x.two", [], "ok", 0)
    audit.close()
    assert "x.two" in (tmp_path / FILE_NAME).read_text()
    assert "x.one" in (tmp_path / "calls.log.1").read_text()


def test_a_log_that_cannot_be_written_is_told_and_stops_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, authority: Authority
) -> None:
    (tmp_path / "file").write_text("")
    audit = Audit(tmp_path / "file" / "log")
    assert "no call will be recorded there" in caplog.text
    dispatch = Dispatcher(Methods(), Acl(tmp_path, frozenset({authority.own.der})), audit, jobs_in(tmp_path))
    assert dispatch(Peer("::1", authority.own.der), "test.echo", [1]) == [1]


@pytest.mark.slow
def test_of_200_calls_at_once_exactly_the_allowed_ones_run(
    tmp_path: Path, serve: Callable[..., Running], peer_identity: Identity, authority: Authority
) -> None:
    methods = Methods()
    trusted = frozenset({authority.own.der})
    (tmp_path / "a.acl").write_text("peer.example.org-* = test.allowed")
    dispatcher = Dispatcher(methods, Acl(tmp_path, trusted), Audit(None), jobs_in(tmp_path))
    running = serve(dispatcher, connections_per_peer=300)

    def ask(number: int) -> str:
        # The allowed half mixes the peer that may call one method with the certmaster that may call all.
        who, method = [
            (peer_identity, "test.allowed"), (peer_identity, "test.denied"),
            (authority.own, "test.denied"), (peer_identity, "virt.denied"),
        ][number % 4]  # fmt: skip
        try:
            running.call(who, method)
        except XMLRPCFault as exc:
            return exc.text
        return "ran"

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(200)))
    denied = "<class 'func.minion.codes.AccessToMethodDenied'>:"
    assert answers == ["ran", denied, "ran", denied] * 50
    assert sorted(methods.ran) == ["test.allowed"] * 50 + ["test.denied"] * 50
