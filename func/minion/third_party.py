"""Load modules that others wrote from a folder; a broken one is logged and skipped."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import stat
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Optional

import func.minion.modules as package
from func.minion.modules.func_module import FuncModule

log = logging.getLogger(__name__)

PACKAGE = package.__name__
_OWN_FOLDER = str(Path(str(package.__file__)).parent)
_HINTS = {
    "func_module": "write `from func.minion.modules import func_module`",
    "codes": "write `from func.minion import codes`",
    "sub_process": "write `from func.minion import sub_process`",
}


def names(folder: Path) -> dict[str, Path]:
    """{wire name: file} of what may be modules there: a.py, b/__init__.py, b/c.py as `b.c`; sorted."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and all(part.isidentifier() and not part.startswith("_") for part in parts):
            found[".".join(parts)] = path
    return dict(sorted(found.items()))


def load(
    root: Path, files: Mapping[str, Path], folder: Path, taken: Collection[str]
) -> dict[str, FuncModule]:
    """The modules in those files of the folder, by wire name; `taken` are the names of our own."""
    if not files or not _is_safe(folder):
        return {}
    # So they find each other, and what they are derived from, by Func's own import names.
    package.__path__ = [_OWN_FOLDER, str(folder)]
    found = {}
    for name, path in files.items():
        if name.partition(".")[0] in taken:
            log.error("%s: skipped: %s is a module of Func itself; give the file another name", path, name)
        elif all(_is_safe(each) for each in (path, *_between(folder, path))):
            module = _load(root, name, path)
            if module is not None:
                found[name] = module
    return found


def _load(root: Path, name: str, path: Path) -> Optional[FuncModule]:
    try:
        kind = _class_of(_imported(name, path))
        if kind is None:
            return None  # others are made of it
        # Each call makes an instance, which has to know the root too.
        made: FuncModule = type(kind.__name__, (kind,), {"_root": root, "__module__": kind.__module__})()
        return made
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever others wrote, funcd goes on without it
        log.error("%s: skipped: %s: %s%s", path, type(exc).__name__, exc, _hint(exc))
        return None


def _imported(name: str, path: Path) -> ModuleType:
    full = f"{PACKAGE}.{name}"
    known = sys.modules.get(full)
    if known is not None and known.__file__ != str(path):
        del sys.modules[full]
    importlib.invalidate_caches()
    return importlib.import_module(full)


def _class_of(module: ModuleType) -> Optional[type[FuncModule]]:
    """The class of the module that is derived from FuncModule; the last by name, as in Func."""
    kinds = [
        kind
        for _, kind in sorted(vars(module).items())
        if inspect.isclass(kind) and issubclass(kind, FuncModule) and kind.__module__ == module.__name__
    ]
    if len(kinds) > 1:
        log.warning(
            "%s: has %d classes of wire methods: only %s counts", module.__file__, len(kinds), kinds[-1]
        )
    if not kinds:
        log.debug("%s: has no class derived from FuncModule: no wire module", module.__file__)
    return kinds[-1] if kinds else None


def _between(folder: Path, path: Path) -> list[Path]:
    return [parent for parent in path.parents if folder in parent.parents]


def _is_safe(path: Path) -> bool:
    """Whether nobody but its owner, root or this process's user, can change it: it runs with all rights."""
    try:
        found = path.stat()
    except OSError as exc:
        log.error("%s: skipped: %s", path, exc.strerror)
        return False
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (0, os.geteuid()):
        log.error("%s: skipped: others than root may write there: chown root, chmod go-w", path)
        return False
    return True


def _hint(exc: BaseException) -> str:
    if isinstance(exc, SyntaxError):
        return "; is it written for Python 2? 2to3 converts it"
    if isinstance(exc, ModuleNotFoundError) and exc.name in _HINTS:
        return f"; {_HINTS[exc.name]}"
    return ""
