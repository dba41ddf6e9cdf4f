"""The profiles that machine instances are installed from: the cobbler server's, remembered and looked up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as WaitedTooLong
from typing import Optional

from cloudmasterd.clock import Clock
from cloudmasterd.cobbler import Cobbler
from cloudmasterd.errors import CloudError, CobblerError, CobblerUnreachable, Conflict, Invalid, NotFound
from cloudmasterd.jsonbody import nearest
from cloudmasterd.model import Catalogue, Profile
from cloudmasterd.spec import MachineSpec
from cloudmasterd.store import Store
from cloudmasterd.words import age

log = logging.getLogger(__name__)

WAIT_S = 10.0
"""How long who asks for the catalogue as it is now waits for the cobbler server."""

MAX_WAITING = 8
"""How many creates may wait for it at a time; each holds a thread of the web server."""
LATELY_S = 1.0
"""An answer that is no older is as good as a new one."""

# cobbler's word for what runs on a cloud instance of another word
RUNS_ON = {"i386": "x86_64", "ppc64el": "ppc64le"}


class Profiles:
    """The use cases of profiles; thread-safe. All raise CloudError.

    What is listed and looked up is what the store has: nobody who reads waits for the cobbler server. At most
    one question to it is under way, and those who asked meanwhile share the next.
    """

    def __init__(
        self, store: Store, cobbler: Optional[Cobbler], clock: Clock, *, wait_s: float = WAIT_S
    ) -> None:
        self._store = store.profiles
        self._cobbler = cobbler
        self._clock = clock
        self._wait_s = wait_s
        self._server = "" if cobbler is None else str(cobbler.address)
        self._lock = threading.Lock()
        self._asking: Optional[Future[None]] = None
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._store.adopt(self._server)

    @property
    def host(self) -> str:
        """The host name that koan is told to go to; Conflict where no cobbler server is set."""
        return self._need().address.host

    def list(
        self, *, arches: Iterable[str] = (), after: Optional[str] = None, limit: Optional[int] = None
    ) -> Sequence[Profile]:
        """Profiles by name: those for one of `arches` (any when empty), behind the name `after`."""
        return self._store.list(arches=arches, after=after, limit=limit)

    def catalogue(self) -> Catalogue:
        """All profiles, how old that is, and why it is not newer."""
        return self._store.catalogue()

    def about(self) -> Catalogue:
        """The same without the profiles."""
        return self._store.about()

    def get(self, name: str) -> Profile:
        """The profile of that name; NotFound with the nearest there is."""
        try:
            return self._store.get(name)
        except NotFound as exc:
            raise NotFound(f"{exc}{self._hint(name)}") from exc

    def find(self, spec: MachineSpec) -> Profile:
        """The profile a machine instance is asked to be made from, as last heard of; Invalid."""
        name = spec.source.profile or ""
        try:
            profile = self._store.get(name)
        except NotFound as exc:
            raise _unknown(self._none_text(name)) from exc
        runs_on = arch_of(profile)
        if spec.arch is not None and runs_on is not None and spec.arch != runs_on:
            told = f"the profile {name} is for {profile.arch}: leave arch out, or give {runs_on}"
            raise Invalid(f"arch: {told}", [("arch", told)])
        return profile

    def find_now(self, spec: MachineSpec) -> Profile:
        """The same as the cobbler server has it now, for what is about to be installed from it.

        Raises CobblerError when it cannot be asked: koan would not get an answer either.
        """
        if self._cobbler is None:
            return self.find(spec)  # there is none, and that is what it says
        known = self._find_lately(spec)
        if known is not None:
            return known
        about = self.about()
        if not self._waiting.acquire(blocking=False):  # a crowd: no more threads are spent on waiting
            if about.error is None:
                return self.find(spec)
            raise CobblerUnreachable(self._refusal(spec, about.error))
        try:
            self.refresh()
        except CobblerError as exc:
            raise type(exc)(self._refusal(spec, str(exc))) from exc
        finally:
            self._waiting.release()
        return self.find(spec)

    def _find_lately(self, spec: MachineSpec) -> Optional[Profile]:
        """The profile, where the server has just said what it has; None where it has to be asked."""
        about = self.about()
        if about.fetched_at is None or about.error is not None:
            return None
        if (self._clock.now() - about.fetched_at).total_seconds() > LATELY_S:
            return None
        try:
            return self.find(spec)
        except Invalid:
            return None  # it may have been registered since

    def refresh(self) -> Catalogue:
        """Ask the cobbler server now and wait for it; CobblerError, and the store has learned why.

        Conflict where none is set.
        """
        until = self._clock.monotonic() + self._wait_s
        asking, is_new = self._begin()
        if not is_new:  # the answer to that one may be older than what the caller wants to see
            wait([asking], self._wait_s)
            asking, _ = self._begin()
        try:
            asking.result(max(0.0, until - self._clock.monotonic()))
        except WaitedTooLong as exc:
            raise CobblerUnreachable(
                f"the cobbler server {self._server} has not answered within {self._wait_s:.0f} s"
            ) from exc
        return self.about()

    def look(self) -> None:
        """Ask without waiting, where a cobbler server is set; the poller calls this."""
        if self._cobbler is not None:
            self._begin()

    def _begin(self) -> tuple[Future[None], bool]:
        """The question that is under way, or a new one."""
        cobbler = self._need()
        with self._lock:
            if self._asking is not None:
                return self._asking, False
            asking = Future[None]()
            threading.Thread(target=self._run, args=(cobbler, asking), name="cobbler", daemon=True).start()
            self._asking = asking
            return asking, True

    def _need(self) -> Cobbler:
        if self._cobbler is None:
            raise Conflict(
                "no cobbler server is set here: give cobbler_server = HOST in the configuration of"
                " cloudmasterd, and start it again"
            )
        return self._cobbler

    def _run(self, cobbler: Cobbler, asking: Future[None]) -> None:
        error: CloudError = CobblerError("asking the cobbler server failed: see the log of cloudmasterd")
        failed = True
        try:
            self._ask(cobbler)
            failed = False
        except CloudError as exc:
            error = exc
        finally:
            with self._lock:
                self._asking = None
            if failed:
                asking.set_exception(error)
            else:
                asking.set_result(None)

    def _ask(self, cobbler: Cobbler) -> None:
        before = self._store.about()
        try:
            modified = cobbler.modified()
            # 0 is what a server says that keeps no mark; the profiles come after the mark, never before
            changed = modified != before.modified or modified == 0 or before.fetched_at is None
            profiles = cobbler.profiles() if changed else None
        except CobblerError as exc:
            self._store.fail(self._server, str(exc), self._clock.now())
            if before.error != str(exc):
                log.warning("%s", exc)
            raise
        if profiles is None:
            self._store.confirm(self._server, self._clock.now())
        else:
            self._store.put(self._server, profiles, modified, self._clock.now())
            if modified != before.modified:
                log.info("profiles of the cobbler server %s: %d", self._server, len(profiles))
        if before.error is not None:
            log.info("the cobbler server %s answers again", self._server)

    def _refusal(self, spec: MachineSpec, why: str) -> str:
        fetched_at = self.about().fetched_at
        old = "" if fetched_at is None else f" (last heard of {age(self._clock.now() - fetched_at)} ago)"
        return (
            f"a machine instance cannot be installed from the profile {spec.source.profile} now, because koan"
            f" would have to ask there too: {why}{old}. Try again when it answers, or take an image or an ISO"
            " image"
        )

    def _none_text(self, name: str) -> str:
        if self._cobbler is None:
            return "no cobbler server is set here: set cobbler_server, or give blank, iso or image"
        return f"the cobbler server {self._server} has no profile {name!r}{self._hint(name)}"

    def _hint(self, name: str) -> str:
        names = [profile.name for profile in self._store.list()]
        near = nearest(name, names)
        if near:
            return f"; did you mean '{near}'?"
        return f"; there are: {', '.join(names[:20])}" if names else "; there is none at all"


def arch_of(profile: Profile) -> Optional[str]:
    """The architecture of the cloud instances its machine instances can be on; None: not known."""
    return None if profile.arch is None else RUNS_ON.get(profile.arch, profile.arch)


def _unknown(told: str) -> Invalid:
    return Invalid(f"source.profile: {told}", [("source.profile", told)])
