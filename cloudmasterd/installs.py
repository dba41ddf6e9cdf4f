"""Take down what installing machines report, each by an address that nobody else can guess."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Optional

from cloudmasterd.clock import Clock
from cloudmasterd.errors import Invalid, NotFound
from cloudmasterd.model import Install, Phase
from cloudmasterd.store import Store

PHASES = tuple(Phase)
IN_ORDER = tuple(phase for phase in Phase if phase is not Phase.FAILED)
LONGEST_TEXT = 500
SIGNS_EVERY = timedelta(seconds=1)  # signs of life that come faster are not written down
PATH = "install"


@dataclass(frozen=True)
class InstallRules:
    """Where installing machines report to, and how long one may be silent, or take."""

    public_url: str = ""
    silent_s: float = 900.0
    timeout_s: float = 7200.0

    def report_url(self, token: str) -> str:
        """The address of one installation; the phase is added to it behind a slash."""
        return f"{self.public_url.rstrip('/')}/{PATH}/{token}"


class Installs:
    """What installing machines may say. Thread-safe."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store.installs
        self._clock = clock

    def report(self, token: str, phase: str, text: str = "") -> None:
        """Take down that the machine with this token is in a phase; the same one again is a sign of life.

        Phases may be missed, repeated or out of order. Raises NotFound for a token that no unfinished task
        has, whatever the phase, and Invalid for a phase there is not.
        """
        install = self.check(token)
        if phase not in PHASES:
            right = f"report one of {', '.join(PHASES)}"
            raise Invalid(f"{phase[:40]!r} is no phase: {right}", [("phase", right)])
        now, said = self._clock.now(), plain(text)
        if is_news(install, Phase(phase), now):
            self._store.change(
                install.task,
                lambda before: heard(before, Phase(phase), said, now),
                durable=advances(install, Phase(phase)),
            )

    def check(self, token: str) -> Install:
        """The installation of this token, without a word from its machine; raises NotFound."""
        install = self._store.find(token)
        if install is None:
            raise NotFound("no installation reports here, or it has ended")
        return install


def is_at(install: Install, phase: Phase) -> bool:
    """Whether it is in this phase or beyond."""
    return install.reached is not None and IN_ORDER.index(install.reached) >= IN_ORDER.index(phase)


def advances(install: Install, phase: Phase) -> bool:
    """Whether the phase says something about it that was not known."""
    return install.failure is None if phase is Phase.FAILED else not is_at(install, phase)


def is_news(install: Install, phase: Phase, at: datetime) -> bool:
    """Whether to write it down: what is new at once, mere signs of life now and then."""
    return advances(install, phase) or install.heard_at is None or at - install.heard_at >= SIGNS_EVERY


def heard(install: Install, phase: Phase, text: str, at: datetime) -> Install:
    """The installation once this was heard of it. What it reached or failed in once stays so."""
    after = replace(install, said=phase, text=text, heard_at=at)
    if not advances(install, phase):
        return after
    if phase is Phase.FAILED:
        return replace(after, failure=text)
    return replace(after, reached=phase)


def plain(text: Optional[str]) -> str:
    """At most LONGEST_TEXT characters in one line, without anything that moves a cursor or turns a line."""
    shown = "".join(mark if mark.isprintable() else " " for mark in (text or "")[: 4 * LONGEST_TEXT])
    return " ".join(shown.split())[:LONGEST_TEXT]
