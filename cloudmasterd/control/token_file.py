"""The file that a new token goes into: nobody else reads it, and there is no token that is in none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from cloudmasterd.errors import Invalid


class TokenFile:
    """Opened before the token is made; it takes its place, over an older one, when that is written.

    Without a path nothing is written. Raises Invalid where no file can be made.
    """

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        self._part = None if path is None else path.with_name(f".{path.name}.part")

    def __enter__(self) -> TokenFile:
        if self._part is not None:
            try:
                self._part.unlink(missing_ok=True)
                os.close(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            except OSError as exc:
                raise Invalid(
                    f"the token cannot be written to {self._path}: {exc.strerror or exc}; none was made"
                ) from exc
        return self

    def __exit__(self, kind: object, exc: object, trace: object) -> None:
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    def write(self, secret: str) -> None:
        """Put the token there."""
        if self._path is not None and self._part is not None:
            self._part.write_text(f"{secret}\n", encoding="ascii")
            self._part.replace(self._path)
