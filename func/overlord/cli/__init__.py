"""The command `func`, one file for each of its commands."""

from __future__ import annotations

from func.overlord.cli.command import main

__all__ = ["main"]
