"""Responses kept until the next write of the store."""

from __future__ import annotations

from threading import Lock
from typing import Optional

from cloudmasterd.web.exchange import Reply

MAX_BYTES = 8 * 1024 * 1024
MAX_ENTRIES = 512


class ReplyCache:
    """Replies by request target, each good for one write count; bounded by entries and bytes."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._replies: dict[str, Reply] = {}
        self._bytes = 0
        self._write_count = -1
        self._lock = Lock()

    def find(self, target: str, write_count: int) -> Optional[Reply]:
        """The reply kept for a target, unless the store was written since."""
        # the count is looked at first: what is kept under an older count is never handed out
        return self._replies.get(target) if self._write_count == write_count else None

    def keep(self, target: str, write_count: int, reply: Reply) -> None:
        """Keep a reply that was made from the store at `write_count` or later."""
        size = len(reply.body) + len(target)
        with self._lock:
            if write_count != self._write_count:
                self._start_over(write_count)
            if size > self._max_bytes // 4 or target in self._replies:
                return
            if self._bytes + size > self._max_bytes or len(self._replies) >= self._max_entries:
                self._start_over(write_count)
            self._replies[target] = reply
            self._bytes += size

    def _start_over(self, write_count: int) -> None:
        # a new dict, not clear(): a reader without the lock keeps the one it has
        self._replies, self._bytes, self._write_count = {}, 0, write_count
