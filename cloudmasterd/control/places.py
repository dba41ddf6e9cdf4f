"""Say which files a backup of the cloud master holds, where they belong, and whose they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from cloudmasterd.config import DEFAULT_FILE, Config
from cloudmasterd.errors import BackupError
from cloudmasterd.first import FirstPassword
from cloudmasterd.func_fabric import FuncFiles, func_files

_KEYS = (".key", ".pem")
ASIDE = ".before-restore-"  # in the names of what a restore put aside


class Kind(Enum):
    """What a file is for."""

    CONFIG = "configuration"
    AUTHORITY = "authority"
    IDENTITY = "identity"  # this machine's own key and certificate
    MASTER = "cloud master"  # its own key and certificate, with which it calls cloud instances
    CERTMASTER = "certmaster"
    DATABASE = "database"
    PASSWORD = "first password"  # noqa: S105  of the database beside it
    IMAGE = "image"


@dataclass(frozen=True)
class Owner:
    """User and group, as the packages have them."""

    user: str
    group: str


ROOT = Owner("root", "root")
CERTMASTER = Owner("certmaster", "certmaster")
MASTER = Owner("cloudmasterd", "cloudmasterd")
CONFIG_OF_MASTER = Owner("root", "cloudmasterd")


@dataclass(frozen=True)
class Place:
    """A file, or a directory with all or only the first level of what is below it."""

    kind: Kind
    path: Path
    owner: Owner
    dir_mode: int = 0o755
    hidden: int = 0  # mode bits that no file here may have
    deep: bool = True
    suffix: str = ""

    def mode(self, path: Path, found: int) -> int:
        """The mode of a file here: as it was found, but a secret is nobody else's."""
        secret = 0o077 if path.suffix in _KEYS else 0
        return found & 0o777 & ~(self.hidden | secret)

    def holds(self, path: Path) -> bool:
        """Whether a file of that path belongs here."""
        if path == self.path:
            return True
        if not path.name.endswith(self.suffix):
            return False
        return self.path in path.parents if self.deep else path.parent == self.path


@dataclass(frozen=True)
class Places:
    """All places of one cloud master below `root`."""

    root: Path
    config_file: Path
    database: Path
    listed: tuple[Place, ...]
    func: FuncFiles

    def find(self, kind: Kind, path: Path) -> Place:
        """The place of that kind that holds a path; raises BackupError."""
        for place in self.listed:
            if place.kind is kind and place.holds(path):
                return place
        raise BackupError(f"{path} is no place for a file of the kind {kind.value!r}")

    def moved_to(self, root: Path) -> Places:
        """The same places below another root."""

        def move(path: Path) -> Path:
            return root / path.relative_to(self.root)

        func = replace(
            self.func,
            config_dirs=tuple(map(move, self.func.config_dirs)),
            cadir=move(self.func.cadir),
            cert_dir=move(self.func.cert_dir),
            state=tuple(map(move, self.func.state)),
            tokens=move(self.func.tokens),
            hosts_file=move(self.func.hosts_file),
        )
        listed = tuple(replace(place, path=move(place.path)) for place in self.listed)
        return Places(root, move(self.config_file), move(self.database), listed, func)

    def relative(self, path: Path) -> str:
        """A path as it stands in a backup; raises BackupError for one that is not below the root."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError as exc:
            raise BackupError(
                f"{path} is not below {self.root}: a backup holds what is below one root; give --root"
            ) from exc


def places(config: Config, config_file: Path, root: Path) -> Places:
    """Where everything is, by the settings; raises ConfigError for those of certmaster and Func."""
    func = func_files(config.func_root)
    main = root / Path(DEFAULT_FILE).relative_to("/").parent
    listed = [
        Place(Kind.DATABASE, config.database, MASTER, 0o750, hidden=0o077),
        Place(Kind.PASSWORD, FirstPassword(config.database).path, MASTER, 0o750, hidden=0o077),
        Place(Kind.AUTHORITY, func.cadir, CERTMASTER, 0o750),
        Place(Kind.IDENTITY, func.cert_dir, ROOT, deep=False),
        Place(Kind.MASTER, config.pki_dir, MASTER, 0o700),
        *(_state(func, path) for path in func.state),
        Place(Kind.CONFIG, main, CONFIG_OF_MASTER, 0o750, hidden=0o027),
        Place(Kind.CONFIG, config_file, CONFIG_OF_MASTER, 0o750, hidden=0o027),
        *_secret(config),
        *(Place(Kind.CONFIG, path, ROOT) for path in func.config_dirs),
        Place(Kind.IMAGE, config.image_dir, MASTER, 0o700, hidden=0o077, deep=False, suffix=".img"),
    ]
    return Places(root, config_file, config.database, tuple(listed), func)


def _secret(config: Config) -> Iterator[Place]:
    if config.proxy_secret_file is not None:
        yield Place(Kind.CONFIG, config.proxy_secret_file, CONFIG_OF_MASTER, hidden=0o027)


def _state(func: FuncFiles, path: Path) -> Place:
    if path == func.tokens:
        return Place(Kind.CERTMASTER, path, CERTMASTER, 0o700, hidden=0o077)
    return Place(Kind.CERTMASTER, path, CERTMASTER)


def files_of(place: Place) -> Iterator[Path]:
    """The files of a place, sorted; raises BackupError where a directory cannot be listed.

    Hidden files are locks and files that are being written; symbolic links and what is no file are left out.
    """
    if not place.path.is_dir():
        if _is_file(place.path):
            yield place.path
        return
    found: list[Path] = []
    for folder, names, files in os.walk(place.path, onerror=_refuse):
        names[:] = [name for name in names if place.deep and not _is_aside(name)]
        found += [Path(folder, name) for name in files if not name.startswith(".") and not _is_aside(name)]
    yield from sorted(path for path in found if place.holds(path) and _is_file(path))


def _is_aside(name: str) -> bool:
    return ASIDE in name


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise BackupError(f"{path} cannot be looked at: {exc.strerror}") from exc


def _refuse(exc: OSError) -> None:
    raise BackupError(f"{exc.filename} cannot be listed: {exc.strerror}; run this as root") from exc


def all_files(listed: Sequence[Place]) -> Iterator[tuple[Place, Path]]:
    """Every file once, under the first place that holds it; the database is no part of this."""
    seen: set[Path] = set()
    for place in listed:
        if place.kind is Kind.DATABASE:
            continue
        for path in files_of(place):
            if path not in seen:
                seen.add(path)
                yield place, path
