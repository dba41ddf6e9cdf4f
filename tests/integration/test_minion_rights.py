"""Two thousand calls at once, half of them not allowed: none of those gets through, and all others do."""

from __future__ import annotations

import http.client
import threading
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from func import wire
from func.errors import XMLRPCFault
from tests.func.minion.funcd import Funcd, configure, enrolled, turn_on
from tests.func.minion.helpers import Authority, Identity
from tests.integration.support import eventually

CALLS, CALLERS = 2000, 100
SHAKING_HANDS = threading.Semaphore(8)
DENIED = "<class 'func.minion.codes.AccessToMethodDenied'>:"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "own", "master.example.org-CA-KEY")


@pytest.fixture
def minion(tmp_path: Path, authority: Authority) -> Iterator[tuple[Path, int]]:
    """A minion on which `writer` may write files and `reader` may not; its root and port."""
    root = enrolled(tmp_path, authority.issue("cloud1.example.org"))
    port = int(configure(root)["listen_port"])
    turn_on(root, "CopyFile")
    acls = root / "etc/func/minion-acl.d"
    acls.mkdir(parents=True)
    (acls / "all.acl").write_text(
        "writer.example.org-* = copyfile.copyfile\nreader.example.org-* = test.*, async.copyfile.*\n"
    )
    running = Funcd(root)
    try:
        running.says("funcd is ready")
        yield root, port
        assert running.end() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)


class Caller:
    """Keeps a connection for each of two identities, and uses them in turn."""

    def __init__(self, port: int, number: int, identities: dict[str, Identity]) -> None:
        # The minion bounds the connections of one address.
        source = f"127.0.0.{number % 8 + 10}"
        self._sessions = {
            name: http.client.HTTPSConnection(
                "127.0.0.1", port, context=identity.client(), timeout=120, source_address=(source, 0)
            )
            for name, identity in identities.items()
        }
        with SHAKING_HANDS:  # a handshake has a deadline, and a hundred at once may be too much for it
            for session in self._sessions.values():
                session.connect()

    def call(self, name: str, method: str, *args: Any) -> Any:
        session = self._sessions[name]
        session.request("POST", "/RPC2", wire.encode_call(method, args), {"Content-Type": "text/xml"})
        try:
            return wire.decode_response(session.getresponse().read())
        except XMLRPCFault as exc:
            return exc.text

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


def test_of_two_thousand_calls_at_once_exactly_the_allowed_half_is_carried_out(
    minion: tuple[Path, int], authority: Authority
) -> None:
    root, port = minion
    identities = {name: authority.issue(f"{name}.example.org") for name in ("writer", "reader")}
    answers: Counter[str] = Counter()
    lock, barrier = threading.Lock(), threading.Barrier(CALLERS)

    def work(number: int) -> None:
        caller = Caller(port, number, identities)
        mine: Counter[str] = Counter()
        try:
            barrier.wait(180)
            for file in range(number, CALLS, CALLERS):
                who = "writer" if (file // CALLERS + number) % 2 else "reader"
                prefix = "async." if file % 3 == 0 else ""
                content = xmlrpc.client.Binary(str(file).encode()).data
                answer = caller.call(who, f"{prefix}copyfile.copyfile", f"/srv/{who}/{file}", content)
                done = answer == 1 or (prefix and str(answer).endswith("-minion"))
                mine[f"{who} {'done' if done else answer}"] += 1
        finally:
            caller.close()
            with lock:
                answers.update(mine)

    began = time.monotonic()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    took_s = time.monotonic() - began
    assert answers == {"writer done": CALLS // 2, f"reader {DENIED}": CALLS // 2}, f"{took_s:.1f} s"
    written = root / "srv/writer"
    eventually(lambda: len(list(written.glob("[0-9]*"))) == CALLS // 2, "all jobs have ended", 180)
    assert all(path.read_text() == path.name for path in written.glob("[0-9]*"))
    assert not (root / "srv/reader").exists()
    audit = (root / "var/log/func/methods/calls.log").read_text().splitlines()
    assert sum(" denied " in line for line in audit) == CALLS // 2
    assert all("reader.example.org-" in line for line in audit if " denied " in line)
    assert not [line for line in audit if "reader.example.org-" in line and " denied " not in line]
