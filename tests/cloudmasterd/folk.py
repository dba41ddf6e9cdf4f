"""The people of a cloud master over a real database, with passwords that cost next to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from cloudmasterd.access import Access
from cloudmasterd.accounts import FIRST_ADMIN, SessionLimits
from cloudmasterd.first import FirstPassword
from cloudmasterd.passwords import Cost, Passwords
from cloudmasterd.people import People
from cloudmasterd.rights import Role
from cloudmasterd.store import Store
from tests.blank import blank
from tests.fakes import FakeClock

WEAK = Cost(ln=2, r=1, p=1)
LIMITS = SessionLimits(idle_s=3600, max_s=43200)
HERE, THERE, ELSEWHERE = "192.0.2.1", "198.51.100.7", "203.0.113.9"
PASSWORD = "four words in a row"
OTHER = "another four words here"


class Folk:
    """An admin, people and the way in; `close` closes the database."""

    def __init__(self, folder: Path, *, cost: Cost = WEAK, **settings: Any) -> None:
        self.path = folder / "cloudmasterd.db"
        self.clock = FakeClock()
        self.store = Store(blank(self.path), clock=self.clock)
        self.passwords = Passwords(self.clock, cost)
        self.first = FirstPassword(self.path)
        self.people = People(self.store, self.clock, self.passwords, limits=LIMITS, first=self.first)
        self.people.create_user(FIRST_ADMIN, Role.ADMIN, PASSWORD)
        self.access = self.new_access(**settings)

    def new_access(self, passwords: Optional[Passwords] = None, **settings: Any) -> Access:
        """The way in as after a restart of the daemon, with other passwords when they are given."""
        return Access(self.store, self.clock, passwords or self.passwords, limits=LIMITS, **settings)

    def log_in(self, name: str = FIRST_ADMIN, password: str = PASSWORD, address: str = HERE) -> str:
        """The secret of a new session."""
        return self.access.log_in(name, password, address, "a browser")[0]

    def close(self) -> None:
        self.store.close()
