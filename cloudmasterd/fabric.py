"""How the cloud master talks to cloud instances: the seam behind which Func stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional, Protocol

from cloudmasterd.errors import FabricError


@dataclass(frozen=True)
class Call:
    """A method of a module of Func, e.g. Call("virt.inventory", ("",))."""

    method: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What one cloud instance answered: a value or an error, never both."""

    cloud: str
    value: Any = None
    error: Optional[FabricError] = None

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None


class Fabric(Protocol):
    """Calls methods on cloud instances. Safe to use from several threads.

    A call carries the id of the request it is made for (`request_ids.working_for`) into the audit log there.
    """

    def list_clouds(self) -> list[str]:
        """Names of all cloud instances whose certificates this master's certmaster signed, sorted."""

    def certificate_expires_at(self, cloud: str) -> Optional[datetime]:
        """When the certificate signed for a cloud instance ends; None where it is not known."""

    def call(self, cloud: str, method: str, *args: Any, timeout_s: Optional[float] = None) -> Any:
        """Call one cloud instance and return its value; raises FabricError."""

    def ask_all(
        self, calls: Mapping[str, Call], timeout_s: Optional[float] = None
    ) -> Iterator[Sequence[Answer]]:
        """Call many cloud instances at once.

        Yields groups of answers as they come in, each cloud instance once, the slowest no later than the
        deadline; never raises because one of them is dead.
        """
