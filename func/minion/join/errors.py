"""What keeps a machine from joining."""

from __future__ import annotations

from func.errors import FuncError


class JoinRefused(FuncError):
    """The machine was not joined; the text says why, and what was changed is as it was before."""
