"""Run calls that may hang in one thread of their own, and wait for them no longer than a limit."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Callable, Optional, TypeVar

from func.errors import HostError

T = TypeVar("T")


class Unanswered(HostError):  # noqa: N818 - what its receiver can do: ask again
    """No answer came; where it had `begun`, what was asked may have happened or may yet happen."""

    def __init__(self, text: str, begun: bool) -> None:
        super().__init__(text)
        self.begun = begun


class Lane:
    """One thread that runs one call after the other; a stuck one costs this thread and nobody else's.

    `who` is named in the errors, e.g. "libvirt"; where the calls are `changes`, the errors also say what
    became of them. Not an executor of the library: that one waits for a stuck thread when the process wants
    to end.
    """

    def __init__(
        self, who: str, limit_s: float, changes: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._who = who
        self._changes = changes
        self._limit_s = limit_s
        self._clock = clock
        self._calls: queue.SimpleQueue[Optional[tuple[Future[Any], Callable[[], Any]]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._busy_since: Optional[float] = None

    def run(self, work: Callable[[], T]) -> T:
        """The value of `work`; raises what it raises, or Unanswered when there is none within the limit.

        Work that had not begun by then is never done: nobody wants a machine stopped minutes later.
        """
        if self._stuck_s() > self._limit_s:
            raise self._silence(begun=False)
        future: Future[T] = Future()
        self._start()
        self._calls.put((future, work))
        try:
            return future.result(self._limit_s)
        except FutureTimeout as exc:
            if future.done():  # the work itself raised it, or finished at the last moment
                return future.result()
            raise self._silence(begun=not future.cancel()) from exc

    def close(self) -> None:
        """End the thread once it has done what it is doing."""
        self._calls.put(None)

    def _silence(self, begun: bool) -> Unanswered:
        silent_s = max(self._stuck_s(), self._limit_s)
        text = f"{self._who} has not answered for {silent_s:.0f} s"
        what = "what was asked may yet happen" if begun else "nothing was done"
        return Unanswered(f"{text}; {what}" if self._changes else text, begun)

    def _stuck_s(self) -> float:
        since = self._busy_since
        return 0.0 if since is None else self._clock() - since

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name=f"lane-{self._who}", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            future, work = call
            if not future.set_running_or_notify_cancel():
                continue
            self._busy_since = self._clock()
            try:
                future.set_result(work())
            except BaseException as exc:  # noqa: BLE001 - handed to the caller, who raises it
                future.set_exception(exc)
            self._busy_since = None
