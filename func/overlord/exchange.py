"""Hold many conversations with minions at once, in the caller's thread, each with its own deadline.

A round is one selector and one heap of deadlines. A minion that hangs costs an entry in each and nobody's
time. Nothing is ever sent twice: once a call has left, a failure is that call's answer, for it may have been
carried out.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Callable, Optional

from func.errors import CallError
from func.overlord.conversation import IDLE, READ, Conversation, Means, Request

GROUP_S = 0.05
"""Replies that come in within this time of each other are handed out together."""

_STARTS_A_TURN = 8
"""So many conversations begin before those under way are looked at again: handshakes are computing."""


@dataclass(frozen=True)
class Reply:
    """What came back from one minion: a body, or why there is none."""

    minion: str
    body: bytes = b""
    error: Optional[CallError] = None


def exchange(
    means: Means,
    requests: Iterable[Request],
    timeout_s: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[list[Reply]]:
    """Send every request; yields groups of replies as they come in, one for each request, none too late.

    The time the caller spends on a group does not count. Leaving the iterator early drops what is under way.
    """
    turn = _Round(means, requests, timeout_s, monotonic)
    try:
        yield from turn.groups()
    finally:
        turn.close()


class _Round:
    """The conversations of one call of `exchange`."""

    def __init__(
        self, means: Means, requests: Iterable[Request], timeout_s: float, monotonic: Callable[[], float]
    ) -> None:
        self._monotonic = monotonic
        self._held_s = 0.0  # by the caller, over groups handed out
        self._ends_at = self._now() + timeout_s
        self._flush_at = 0.0
        self._waiting = deque(Conversation(request, means, self._forget) for request in requests)
        self._active: set[Conversation] = set()
        self._alarms: list[tuple[float, int, Conversation]] = []
        self._alarm_count = 0
        self._done: list[Reply] = []
        self._selector = selectors.DefaultSelector()
        self._rung: SimpleQueue[tuple[Conversation, Future[Any]]] = SimpleQueue()
        self._bell: Optional[tuple[socket.socket, socket.socket]] = None

    def groups(self) -> Iterator[list[Reply]]:
        """Run until every conversation has ended."""
        while self._waiting or self._active:
            self._start_some()
            self._turn()
            self._expire()
            if self._done and (self._now() >= self._flush_at or not (self._waiting or self._active)):
                group, self._done = self._done, []
                handed_out_at = self._monotonic()
                yield group
                self._held_s += self._monotonic() - handed_out_at

    def close(self) -> None:
        """Drop what is under way."""
        for conversation in self._active:
            conversation.steps.close()
            conversation.drop()
        self._selector.close()
        for end in self._bell or ():
            end.close()

    def _now(self) -> float:
        return self._monotonic() - self._held_s

    def _start_some(self) -> None:
        for _ in range(min(_STARTS_A_TURN, len(self._waiting))):
            conversation = self._waiting.popleft()
            self._active.add(conversation)
            conversation.begin(self._now(), self._ends_at)
            self._set_alarm(conversation)
            self._step(conversation)

    def _turn(self) -> None:
        wait_s: Optional[float] = None
        if self._waiting or not self._active:
            wait_s = 0.0
        else:
            wake_at = self._alarms[0][0]
            if self._done:
                wake_at = min(wake_at, self._flush_at)
            wait_s = max(wake_at - self._now(), 0.0)
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self._hear_bell()
            else:
                self._step(key.data)

    def _expire(self) -> None:
        now = self._now()
        while self._alarms and self._alarms[0][0] <= now:
            conversation = heapq.heappop(self._alarms)[2]
            if conversation not in self._active:
                continue
            if conversation.deadline <= now:
                self._step(conversation, TimeoutError())
            if conversation in self._active:
                self._set_alarm(conversation)

    def _set_alarm(self, conversation: Conversation) -> None:
        self._alarm_count += 1
        conversation.alarm = conversation.deadline
        heapq.heappush(self._alarms, (conversation.alarm, self._alarm_count, conversation))

    def _step(self, conversation: Conversation, error: Optional[Exception] = None) -> None:
        minion = conversation.request.minion
        try:
            if error is None:
                wanted = conversation.steps.send(None)
            else:
                wanted = conversation.steps.throw(error)
        except StopIteration as stop:
            self._finish(conversation, Reply(minion, stop.value))
        except (CallError, OSError, ValueError) as exc:
            conversation.drop()
            self._finish(conversation, Reply(minion, error=conversation.explain(exc)))
        else:
            self._watch(conversation, wanted)
            # A deadline moved further away is seen when its old alarm goes off.
            if conversation.deadline < conversation.alarm:
                self._set_alarm(conversation)

    def _finish(self, conversation: Conversation, reply: Reply) -> None:
        self._active.discard(conversation)
        if not self._done:
            self._flush_at = self._now() + GROUP_S
        self._done.append(reply)

    def _watch(self, conversation: Conversation, wanted: int) -> None:
        if wanted == IDLE:
            self._forget(conversation)
            self._await_future(conversation)
        elif conversation.watched == IDLE:
            assert conversation.sock is not None
            # By number: wrapping a socket in TLS makes a new object over the same descriptor.
            conversation.fd = conversation.sock.fileno()
            self._selector.register(conversation.fd, wanted, conversation)
            conversation.watched = wanted
        elif conversation.watched != wanted:
            self._selector.modify(conversation.fd, wanted, conversation)
            conversation.watched = wanted

    def _forget(self, conversation: Conversation) -> None:
        if conversation.watched != IDLE:
            self._selector.unregister(conversation.fd)
            conversation.watched = IDLE

    def _await_future(self, conversation: Conversation) -> None:
        assert conversation.awaited is not None
        if self._bell is None:
            self._bell = socket.socketpair()
            for end in self._bell:
                end.setblocking(False)
            self._selector.register(self._bell[0], READ, None)
        ringer = self._bell[1]

        def ring(future: Future[Any]) -> None:
            self._rung.put((conversation, future))
            try:
                ringer.send(b".")
            except OSError:
                pass  # full: it rings already; closed: nobody waits any more

        conversation.awaited.add_done_callback(ring)

    def _hear_bell(self) -> None:
        assert self._bell is not None
        self._bell[0].recv(4096)
        while True:
            try:
                conversation, future = self._rung.get_nowait()
            except Empty:
                return
            # It may have given up on that and be at something else.
            if conversation in self._active and conversation.awaited is future:
                self._step(conversation)
