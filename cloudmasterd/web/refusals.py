"""Keep a flood of refused requests out of the audit record: so many of each address, the rest counted."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union

from cloudmasterd.clock import Clock

WINDOW_S = 60.0
RECORDED = 30  # of each address in a window
ADDRESSES = 1000  # that are remembered, the latest


@dataclass
class _Seen:
    since: float
    count: int = 0
    left_out: int = 0


class Refusals:
    """How many refused requests each address had lately; thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._forgotten = 0  # left out, of addresses that are not remembered any more

    def admit(self, address: str) -> Optional[Mapping[str, Union[int, str]]]:
        """What to say beside the record of a refused request; None when it is only counted."""
        with self._lock:
            seen = self._take(_network(address))
            seen.count += 1
            if seen.count > RECORDED:
                seen.left_out += 1
                return None
            told: dict[str, Union[int, str]] = {}
            left_out, seen.left_out = seen.left_out + self._forgotten, 0
            self._forgotten = 0
            if left_out:
                told["left_out"] = left_out
            if seen.count == RECORDED:
                told["from_now_on"] = f"counted only, for {WINDOW_S:.0f} s at most"
            return told

    def _take(self, network: str) -> _Seen:
        now = self._clock.monotonic()
        seen = self._seen.setdefault(network, _Seen(now))
        self._seen.move_to_end(network)
        if now - seen.since >= WINDOW_S:
            seen.since, seen.count = now, 0
        if len(self._seen) > ADDRESSES:
            self._forgotten += self._seen.popitem(last=False)[1].left_out
        return seen


def _network(address: str) -> str:
    """What one who sends may have many of: an IPv6 address counts as its /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
