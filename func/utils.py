"""What programs for Func 0.30 import to tell an error from a value."""

from __future__ import annotations

from func.wire import REMOTE_ERROR, is_remote_error

__all__ = ["REMOTE_ERROR", "is_error"]

is_error = is_remote_error
