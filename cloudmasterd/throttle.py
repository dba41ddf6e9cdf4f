"""Hold up those who guess passwords, and nobody else for good."""

from __future__ import annotations

import ipaddress
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from cloudmasterd.clock import Clock
from cloudmasterd.errors import TooManyAttempts

LONGEST_WAIT_S = 900
FORGOTTEN_S = 3600  # after the last failure
MOST_KEPT = 10_000  # of each kind; the oldest go

# How many failures are free; each one more doubles the wait, from a second on.
FREE_OF_ADDRESS = 20  # many people may be behind one
FREE_OF_ACCOUNT = 10
FREE_OF_PAIR = 5


@dataclass(frozen=True)
class Attempt:
    """A try that was let through: it counts as failed until it is known that it was not.

    `known` says that the account has signed in from this network before.
    """

    account: str
    network: str
    known: bool = False


@dataclass(frozen=True)
class _Failures:
    number: int
    last: float


class _Counter:
    """Failures by key, each key with so many free."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._kept: OrderedDict[str, _Failures] = OrderedDict()

    def number(self, key: str, now: float) -> int:
        found = self._kept.get(key)
        return 0 if found is None or now - found.last >= FORGOTTEN_S else found.number

    def wait_s(self, key: str, now: float) -> float:
        over = self.number(key, now) - self._free
        if over < 0:
            return 0.0
        # no power beyond what is needed: it would not fit into a float some day
        longest = LONGEST_WAIT_S if over > 16 else min(LONGEST_WAIT_S, 2**over)
        return self._kept[key].last + longest - now

    def add(self, key: str, now: float) -> None:
        self._kept[key] = _Failures(self.number(key, now) + 1, now)
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def take_back(self, key: str) -> None:
        found = self._kept.get(key)
        if found is not None and found.number > 1:
            self._kept[key] = _Failures(found.number - 1, found.last)
        else:
            self._kept.pop(key, None)

    def forget(self, key: str) -> None:
        self._kept.pop(key, None)


class Throttle:
    """Counts failures by account, by network and by both, in memory. Any thread may call it.

    Where somebody signed in before, only failures with that name from there count: others cannot hold them
    up. Anybody else waits for the failures of their network, and for those of the account when their
    network has failed too. So a network that never failed always has a try, however many fail elsewhere.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_account = _Counter(FREE_OF_ACCOUNT)
        self._by_network = _Counter(FREE_OF_ADDRESS)
        self._by_pair = _Counter(FREE_OF_PAIR)
        self._known: OrderedDict[str, None] = OrderedDict()

    def admit(self, account: str, address: str) -> Attempt:
        """Let a try through, or raise TooManyAttempts; whether the account exists makes no difference."""
        now = self._clock.monotonic()
        with self._lock:
            attempt = self._attempt(account, address)
            wait_s = math.ceil(self._wait_s(attempt, now))
            if wait_s <= 0:
                self._by_account.add(attempt.account, now)
                self._by_network.add(attempt.network, now)
                self._by_pair.add(_pair(attempt), now)
                return attempt
        raise TooManyAttempts(
            f"too many wrong passwords for this name or from this address: try again in {wait_s} s", wait_s
        )

    def succeeded(self, attempt: Attempt) -> None:
        """It was the right password: that one can be told from those who guess from now on."""
        with self._lock:
            self._by_account.take_back(attempt.account)
            self._by_network.take_back(attempt.network)
            self._by_pair.forget(_pair(attempt))
            self._remember(attempt)

    def take_back(self, attempt: Attempt) -> None:
        """Nobody looked at the password: it was no try."""
        with self._lock:
            self._by_account.take_back(attempt.account)
            self._by_network.take_back(attempt.network)
            self._by_pair.take_back(_pair(attempt))

    def know(self, account: str, address: str) -> None:
        """The account is known to have signed in from there."""
        with self._lock:
            self._remember(Attempt(account, network_of(address)))

    def _attempt(self, account: str, address: str) -> Attempt:
        plain = Attempt(account, network_of(address))
        return replace(plain, known=_pair(plain) in self._known)

    def _wait_s(self, attempt: Attempt, now: float) -> float:
        pair = self._by_pair.wait_s(_pair(attempt), now)
        if attempt.known:
            return pair
        waits = [pair, self._by_network.wait_s(attempt.network, now)]
        if self._by_network.number(attempt.network, now):
            waits.append(self._by_account.wait_s(attempt.account, now))
        return max(waits)

    def _remember(self, attempt: Attempt) -> None:
        self._known[_pair(attempt)] = None
        self._known.move_to_end(_pair(attempt))
        if len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)


def network_of(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 address, which is one connection's."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def _pair(attempt: Attempt) -> str:
    return f"{attempt.account} {attempt.network}"
