"""Keep and check passwords with scrypt, so that neither the database nor the clock gives one away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Optional

from cloudmasterd.clock import Clock
from cloudmasterd.errors import TooManyAttempts
from cloudmasterd.password_rules import MAX_BYTES, NUL, to_bytes

log = logging.getLogger(__name__)

AT_ONCE = 2  # each takes a processor, and 32 MB
# How many may be checked or wait for it; a thread that waits serves nobody.
STRANGERS = 4
KNOWN = 2  # their places are kept free of strangers, who might come in crowds to keep them out
PATIENCE_S = 3.0
BUSY_S = 5  # after that long it may be tried again

_SALT_BYTES = 16
_KEY_BYTES = 32
_PHC = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{4,128})\$([A-Za-z0-9+/]{16,128})"
)
_MOST_BYTES = 256 << 20  # what a spoiled database may make us take, and do
_MOST_P = 16


@dataclass(frozen=True)
class Cost:
    """How much work a try is: 2**ln rounds over blocks of 128*r bytes, p times over.

    The usual one is what OWASP's Password Storage Cheat Sheet asks for in 32 MB.
    """

    ln: int = 15
    r: int = 8
    p: int = 3

    @property
    def work(self) -> int:
        """What an attacker has to do for a guess, in units that only compare."""
        return (1 << self.ln) * self.r * self.p

    @property
    def memory_bytes(self) -> int:
        """What one run takes."""
        return 128 * self.r << self.ln

    @property
    def sound(self) -> bool:
        """Whether it is one that scrypt knows (RFC 7914, section 2), and that we are ready to run."""
        return 1 <= self.ln < 16 * self.r and 1 <= self.p <= _MOST_P and self.memory_bytes <= _MOST_BYTES


@dataclass(frozen=True)
class _Kept:
    """A PHC text, read."""

    cost: Cost
    salt: bytes
    key: bytes


class Passwords:
    """Makes and checks the PHC texts of passwords, a few at a time. Any thread may call it.

    `runs` counts how often scrypt was run: a wrong name costs as much as a wrong password.
    """

    def __init__(
        self,
        clock: Clock,
        cost: Cost = Cost(),
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._clock = clock
        self._cost = cost
        self._patience_s = patience_s
        self._strangers = threading.BoundedSemaphore(STRANGERS)
        self._known = threading.BoundedSemaphore(KNOWN)
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self.runs = 0

    def hash(self, password: str) -> str:
        """The PHC text to keep for a password: $scrypt$ln=15,r=8,p=3$SALT$KEY. TooManyAttempts when busy."""
        salt = hashlib.sha256(self._clock.new_token().encode("ascii")).digest()[:_SALT_BYTES]
        key = self._run(to_bytes(password), salt, self._cost, _KEY_BYTES, known=True)
        cost = self._cost
        return f"$scrypt$ln={cost.ln},r={cost.r},p={cost.p}${_to_base64(salt)}${_to_base64(key)}"

    def check(self, password: str, phc: Optional[str], *, known: bool = False) -> bool:
        """Whether a password is the one of a PHC text; without one False, after just as much work.

        `known` is whoever has signed in from there before. Raises TooManyAttempts when others are checked
        now, and too many wait.
        """
        kept = None if phc is None else _read(phc)
        if phc is not None and kept is None:
            log.error("a password in the database is no scrypt hash that can be used: set it anew")
        given = to_bytes(password)
        if kept is None or len(given) > MAX_BYTES or NUL in password:
            self._run(given[:MAX_BYTES], bytes(_SALT_BYTES), self._cost, _KEY_BYTES, known=known)
            return False
        key = self._run(given, kept.salt, kept.cost, len(kept.key), known=known)
        return hmac.compare_digest(key, kept.key)

    def is_weak(self, phc: str) -> bool:
        """Whether a password is kept with less work than one would be now."""
        kept = _read(phc)
        return kept is None or kept.cost.work < self._cost.work

    def _run(self, password: bytes, salt: bytes, cost: Cost, length: int, *, known: bool) -> bytes:
        with self._slot(self._known if known else self._strangers):
            with self._lock:
                self.runs += 1
            return hashlib.scrypt(
                password,
                salt=salt,
                n=1 << cost.ln,
                r=cost.r,
                p=cost.p,
                maxmem=2 * cost.memory_bytes + (1 << 20),
                dklen=length,
            )

    @contextmanager
    def _slot(self, line: threading.BoundedSemaphore) -> Iterator[None]:
        if not line.acquire(blocking=False):
            raise _busy()
        try:
            if not self._slots.acquire(timeout=self._patience_s):
                raise _busy()
            try:
                yield
            finally:
                self._slots.release()
        finally:
            line.release()


def _busy() -> TooManyAttempts:
    return TooManyAttempts(
        f"too many passwords are being checked at this moment: try again in {BUSY_S} s", BUSY_S
    )


def _read(phc: str) -> Optional[_Kept]:
    found = _PHC.fullmatch(phc)
    if found is None:
        return None
    cost = Cost(*(int(number) for number in found.groups()[:3]))
    if not cost.sound:
        return None
    salt, key = (_from_base64(text) for text in found.groups()[3:])
    return None if salt is None or key is None else _Kept(cost, salt, key)


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _from_base64(text: str) -> Optional[bytes]:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
