"""What the cloud master remembers: a database that takes and gives dataclasses."""

from cloudmasterd.store.store import Store

__all__ = ["Store"]
