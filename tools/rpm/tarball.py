"""Pack part of the checkout into a tarball whose bytes depend on the files alone."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

# What a build, a test or an editor leaves behind; everything with a leading dot is left out as well.
LEFT_OUT = ("build", "dist", "var", "__pycache__")
LEFT_OUT_SUFFIXES = (".egg-info", ".pyc", "~", ".orig", ".rej")


def pack(root: Path, sources: Sequence[Path], prefix: str, epoch: int) -> bytes:
    """A .tar.gz of `sources`, which lie below `root`; each is named relative to it, below `prefix`.

    A source that is the whole of `root` brings all of its content. Owners, times and the order are fixed, and
    of the modes only whether a file is executable is kept.
    """
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for source in sources:
            for path in sorted(_files(source)):
                _add(tar, path, f"{prefix}/{path.relative_to(root)}", epoch)
    packed = io.BytesIO()
    # No name and no time in gzip's own header.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=epoch) as file:
        file.write(body.getvalue())
    return packed.getvalue()


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for path in source.iterdir():
        if path.name.startswith(".") or path.name in LEFT_OUT or path.name.endswith(LEFT_OUT_SUFFIXES):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def _add(tar: tarfile.TarFile, path: Path, name: str, epoch: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = epoch
    if path.is_symlink():
        entry.type = tarfile.SYMTYPE
        entry.linkname = str(path.readlink())
        tar.addfile(entry)
        return
    data = path.read_bytes()
    entry.size = len(data)
    entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    tar.addfile(entry, io.BytesIO(data))
