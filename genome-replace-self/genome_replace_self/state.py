"""What is remembered between preparing and cancelling: the old default boot entry, what koan brought."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from genome_replace_self.bootloader import Entry
from genome_replace_self.errors import BootFailed

STATE_FILE = Path("/var/lib/genome-replace-self/state.json")


@dataclass(frozen=True)
class State:
    """Written before koan runs, so that a crash in the middle can be undone as well; no metadata is in it."""

    server: str
    profile: str
    kernel: str
    initrd: str
    old_default: Entry


@contextmanager
def alone(path: Path = STATE_FILE) -> Iterator[None]:
    """Hold the state's folder; raises BootFailed while another run holds it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as exc:
        raise BootFailed(f"{path.parent} cannot be had: {exc.strerror}") from exc
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BootFailed("another genome-replace-self is at work on this machine") from exc
        yield
    finally:
        os.close(folder)


def read(path: Path = STATE_FILE) -> Optional[State]:
    """What was written, None when there is nothing; raises BootFailed for a file that is not ours."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return State(**{**values, "old_default": Entry(**values["old_default"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError) as exc:
        raise BootFailed(
            f"{path} cannot be read ({exc}), so nothing is known of the old boot entry: see `grubby"
            " --info=ALL`, choose with `grubby --set-default=KERNEL`, and remove that file"
        ) from exc


def write(state: State, path: Path = STATE_FILE) -> None:
    """Have the state on the disk, for root alone; raises BootFailed."""
    new = path.with_suffix(".new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(state), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as exc:
        raise BootFailed(f"the old boot entry cannot be noted in {path}: {exc.strerror}") from exc


def remove(path: Path = STATE_FILE) -> None:
    """Forget it."""
    path.unlink(missing_ok=True)
