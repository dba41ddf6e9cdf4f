"""The file of a backup: a gzipped tar whose first member says what the others are, with their checksums."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Callable, Protocol

from cloudmasterd.control.places import Kind
from cloudmasterd.errors import BackupError

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST = 64 * 2**20
BLOCK = 2**20

_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True)
class Entry:
    """One file: its path below the root, its mode, how long it is and its SHA-256."""

    path: str
    kind: Kind
    mode: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds, and of what; times are RFC 3339."""

    version: str
    schema: int
    created_at: str
    host: str
    authority: str
    with_images: bool
    config_file: str
    database: str
    entries: tuple[Entry, ...]

    def to_json(self) -> bytes:
        """As it stands in the file."""
        body = asdict(self)
        body["format"] = FORMAT
        for entry in body["entries"]:
            entry["kind"], entry["mode"] = entry["kind"].value, f"{entry['mode']:04o}"
        return json.dumps(body, indent=1, sort_keys=True).encode()


class Source(Protocol):
    """Something to read bytes from."""

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; none at the end."""


Open = Callable[[Entry], IO[bytes]]
Take = Callable[[Entry, Source], None]


def write(stream: IO[bytes], manifest: Manifest, open_entry: Open, at: float) -> None:
    """Write the whole file into a stream; raises OSError, and BackupError for a file that changed."""
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=6, format=tarfile.PAX_FORMAT) as tar:
        body = manifest.to_json()
        tar.addfile(_info(MANIFEST, len(body), 0o600, at), io.BytesIO(body))
        for entry in manifest.entries:
            with open_entry(entry) as source:
                try:
                    tar.addfile(_info(entry.path, entry.size, entry.mode, at), source)
                except OSError as exc:
                    raise BackupError(f"/{entry.path} cannot be copied: {exc}") from exc


def _info(name: str, size: int, mode: int, at: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, int(at)
    return info


def read_manifest(file: Path) -> Manifest:
    """What a backup says that it holds, not checked any further; raises BackupError."""
    with _opened(file) as tar:
        return _first(tar, file)


def read(file: Path, take: Take = lambda entry, data: None) -> Manifest:
    """Check every byte of a backup; raises BackupError naming what is wrong.

    `take` is handed each entry with its data, which it may read whole, in part or not at all. What it is
    given is checked only when this function has returned.
    """
    with _opened(file) as tar:
        manifest = _first(tar, file)
        due = {entry.path: entry for entry in manifest.entries}
        while (info := tar.next()) is not None:
            entry = due.pop(info.name, None)
            data = tar.extractfile(info) if info.isreg() else None
            if entry is None or data is None:
                raise BackupError(f"{file} holds {info.name!r}, which its list does not name")
            checked = _Checked(data)
            take(entry, checked)
            if (checked.finish(), checked.count) != (entry.sha256, entry.size):
                raise BackupError(f"{file} is damaged: {info.name} is not what its checksum says")
        if due:
            raise BackupError(f"{file} is not whole: {min(due)} is missing, and {len(due) - 1} more")
    return manifest


class _Checked:
    """Sums up what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._sum = hashlib.sha256()
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._source.read(size)
        self._sum.update(data)
        self.count += len(data)
        return data

    def finish(self) -> str:
        """The checksum of everything, the rest included."""
        while self.read(BLOCK):
            continue
        return self._sum.hexdigest()


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:gz") as tar:
            yield tar
    except _BROKEN as exc:
        raise BackupError(f"{file} is no backup of a cloud master, or damaged: {exc}") from exc
    except OSError as exc:
        raise BackupError(f"{file} cannot be read: {exc.strerror or exc}") from exc


def _first(tar: tarfile.TarFile, file: Path) -> Manifest:
    info = tar.next()
    data = None if info is None or not info.isreg() else tar.extractfile(info)
    if info is None or data is None or info.name != MANIFEST or info.size > MAX_MANIFEST:
        raise BackupError(f"{file} is no backup of a cloud master: it does not begin with {MANIFEST}")
    try:
        body = json.loads(data.read())
        if body["format"] > FORMAT:
            raise BackupError(
                f"{file} was written by cloudmasterd {body.get('version')}, in a form that this one does not"
                " know: install that one, or a newer one"
            )
        return _manifest(body)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise BackupError(f"{file}: its {MANIFEST} cannot be understood: {exc!r}") from exc


def _manifest(body: dict[str, Any]) -> Manifest:
    entries = tuple(
        Entry(
            _plain_path(one["path"]), Kind(one["kind"]), int(one["mode"], 8) & 0o777, int(one["size"]),
            str(one["sha256"]),
        )
        for one in body["entries"]
    )  # fmt: skip
    _refuse_twice([entry.path for entry in entries])
    return Manifest(
        str(body["version"]), int(body["schema"]), str(body["created_at"]), str(body["host"]),
        str(body["authority"]), bool(body["with_images"]), _plain_path(body["config_file"]),
        _plain_path(body["database"]), entries,
    )  # fmt: skip


def _plain_path(text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or str(path) != text or "\0" in text:
        raise ValueError(f"{text!r} is no path below a root")
    return text


def _refuse_twice(paths: Sequence[str]) -> None:
    if len(set(paths)) != len(paths):
        raise ValueError("a path is named twice")
