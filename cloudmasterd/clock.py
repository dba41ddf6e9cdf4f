"""The only source of time and chance: everyone else is handed a Clock or a value."""

from __future__ import annotations

import random
import secrets
import time
import uuid
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Protocol

MAC_PREFIX = "52:54:00:"


class Clock(Protocol):
    """Where time and chance come from."""

    def now(self) -> datetime:
        """The time of day, timezone-aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean something."""

    def jitter(self, spread: float) -> float:
        """A random number between -spread and +spread."""

    def new_id(self) -> str:
        """A fresh id, unique everywhere, safe in a URL and a log."""

    def new_uuid(self) -> str:
        """A fresh uuid for a machine instance, in libvirt's form."""

    def new_token(self) -> str:
        """A fresh secret that nobody can guess, safe in a URL: 43 of [A-Za-z0-9_-], which are 32 bytes."""

    def new_mac(self, taken: Collection[str] = ()) -> str:
        """A fresh MAC address that is none of `taken`, with the prefix QEMU's machines have."""


class SystemClock:
    """The machine's own clock and randomness."""

    def now(self) -> datetime:
        """The time of day in UTC."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def jitter(self, spread: float) -> float:
        """A random number between -spread and +spread; not for secrets."""
        return random.uniform(-spread, spread)  # noqa: S311

    def new_id(self) -> str:
        """A random UUID in hexadecimal."""
        return uuid.uuid4().hex

    def new_uuid(self) -> str:
        """A random UUID with dashes."""
        return str(uuid.uuid4())

    def new_token(self) -> str:
        """32 bytes of the system's randomness, in base64 for URLs."""
        return secrets.token_urlsafe(32)

    def new_mac(self, taken: Collection[str] = ()) -> str:
        """52:54:00 and three random bytes."""
        while True:
            address = MAC_PREFIX + ":".join(f"{random.randrange(256):02x}" for _ in range(3))  # noqa: S311
            if address not in taken:
                return address
