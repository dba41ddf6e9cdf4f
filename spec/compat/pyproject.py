"""Build, install, list, import and compile Python projects where Fedora's %pyproject_* macros are absent.

Wheels are unpacked by hand and not by pip, because pip installs for the Python it runs on, into the
directories of this distribution; what is made here is for another machine's.
"""

from __future__ import annotations

import argparse
import configparser
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

# In a wheel's .data directory, and where it goes below /usr. Headers and platlib are for compiled code.
DATA_DIRS = {"scripts": "bin", "data": "."}
LICENSES = ("LICEN", "COPYING", "NOTICE", "AUTHORS")


class BuildError(Exception):
    """The project cannot be packaged this way; the text says why."""


def build(into: Path) -> None:
    """Build the wheel of the project in the current directory, with the build tools that are installed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--wheel-dir", str(into), "."]
    # Everything about a wheel that could differ from build to build is a time or an order.
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run(command, check=True, env=env)


def install(wheels: Path, root: Path, python: str) -> None:
    """Unpack every wheel in the directory below `root`; raises BuildError."""
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise BuildError(f"{wheels}: no wheel in there: %pyproject_wheel makes it")
    for path in found:
        with zipfile.ZipFile(path) as wheel:
            _unpack(wheel, root, python)


def _unpack(wheel: zipfile.ZipFile, root: Path, python: str) -> None:
    site = site_packages(root, python)
    for entry in wheel.infolist():
        where = PurePosixPath(entry.filename)
        if entry.is_dir() or where.name == "RECORD":  # rpm has its own record
            continue
        target = site / where
        if where.parts[0].endswith(".data"):
            kind = where.parts[1]
            if kind not in (*DATA_DIRS, "purelib"):
                raise BuildError(f"{wheel.filename}: {where}: compiled code is not packaged here")
            base = site if kind == "purelib" else root / "usr" / DATA_DIRS[kind]
            target = base.joinpath(*where.parts[2:])
        data = wheel.read(entry)
        is_script = target.parent == root / "usr/bin"
        if is_script:
            data = _with_shebang(data, python)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        # Of the modes a wheel carries pip keeps one thing: whether a file is executable.
        is_executable = is_script or entry.external_attr >> 16 & 0o111
        target.chmod(0o755 if is_executable else 0o644)
        if where.name == "entry_points.txt":
            _make_scripts(data.decode(), root, python)
        if where.parts[0].endswith(".dist-info") and where.name == "METADATA":
            (target.parent / "INSTALLER").write_text("rpm\n")


def _make_scripts(text: str, root: Path, python: str) -> None:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    if not parser.has_section("console_scripts"):
        return
    for name, reference in parser["console_scripts"].items():
        module, _, function = reference.split("[")[0].strip().partition(":")
        script = root / "usr/bin" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(
            f"{shebang(python)}\nimport sys\n\nfrom {module} import {function.split('.')[0]}\n\n"
            f'if __name__ == "__main__":\n    sys.exit({function}())\n'
        )
        script.chmod(0o755)


def shebang(python: str) -> str:
    """The first line of a script, as Fedora has it: neither the user's site nor the script's directory."""
    options = "-sP" if _version(python) >= (3, 11) else "-s"
    return f"#!/usr/bin/python3 {options}"


def _with_shebang(data: bytes, python: str) -> bytes:
    first, _, rest = data.partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        return shebang(python).encode() + b"\n" + rest
    return data


def list_files(root: Path, python: str, globs: Sequence[str], with_scripts: bool) -> list[str]:
    """The lines of a %files section for the modules that the globs name, and for the metadata."""
    site = site_packages(root, python)
    lines: list[str] = []
    for glob in globs:
        found = [path for path in sorted(site.glob(glob)) if path.is_dir()]
        single = sorted(site.glob(f"{glob}.py"))
        if not found and not single:
            raise BuildError(f"no module fits {glob!r} in {site}")
        lines += [_below(root, path) + "/" for path in found]
        lines += [_below(root, path) for path in single]
        if is_own(python):  # elsewhere nothing is compiled
            lines += [f"{_below(root, site)}/__pycache__/{path.stem}.*.pyc" for path in single]
    for metadata in sorted(site.glob("*.dist-info")):
        lines.append(_below(root, metadata) + "/")
        for path in sorted(metadata.rglob("*")):
            if path.is_file() and path.name.upper().startswith(LICENSES):
                lines.append(f"%license {_below(root, path)}")
    if with_scripts:
        lines += [_below(root, path) for path in sorted((root / "usr/bin").glob("*"))]
    return lines


def _below(root: Path, path: Path) -> str:
    return f"/{path.relative_to(root)}"


def compile_all(root: Path, python: str) -> None:
    """Compile what was installed, where this Python is the one that will run it.

    The bytecode checks itself against the hash of its source and not against a time, because rpm sets the
    times of the sources later.
    """
    site = site_packages(root, python)
    if not site.is_dir() or not is_own(python):
        return
    command = [sys.executable, "-m", "compileall", "-q", "-f", "-s", str(root), "-p", "/"]
    command += ["--invalidation-mode", "checked-hash", str(site)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def import_all(root: Path, python: str, with_python: str, without: Sequence[str]) -> None:
    """Import every module that was installed; what they import themselves comes from `with_python`."""
    site = site_packages(root, python)
    names = [name for name in sorted(_modules(site)) if not any(fnmatchcase(name, glob) for glob in without)]
    if not names:
        raise BuildError(f"nothing to import in {site}")
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[2:]:\n"
        "    module = importlib.import_module(name)\n"
        "    assert module.__file__.startswith(sys.argv[1]), f'{name} is {module.__file__}'\n"
    )
    env = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    # Not from where the sources lie: what is in the package is to be imported.
    command = [with_python, "-c", program, str(site), *names]
    subprocess.run(command, check=True, env=env, cwd=root)
    print(f"imported {len(names)} modules")


def _modules(site: Path) -> Iterator[str]:
    for path in site.rglob("*.py"):
        parts = path.relative_to(site).with_suffix("").parts
        if all(part.isidentifier() for part in parts):
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def site_packages(root: Path, python: str) -> Path:
    """Where Fedora's Python of that version looks."""
    return root / f"usr/lib/python{python}/site-packages"


def is_own(python: str) -> bool:
    """Whether this very Python is of the version the packages are for."""
    return _version(python) == sys.version_info[:2]


def _version(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split("."))


def main() -> int:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(prog="pyproject.py", description=__doc__)
    parser.add_argument("what", choices=("wheel", "install", "files", "import", "compile"))
    parser.add_argument("--root", type=Path)
    parser.add_argument("--python")
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--with", dest="with_python", default=sys.executable)
    parser.add_argument("-e", dest="without", action="append", default=[], metavar="GLOB")
    parser.add_argument("-t", action="store_true", dest="top", help="accepted, everything is imported anyway")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    try:
        if arguments.what == "wheel":
            build(arguments.into)
        elif arguments.what == "install":
            install(arguments.source, arguments.root, arguments.python)
        elif arguments.what == "files":
            globs = [name for name in arguments.names if name != "+auto"]
            auto = len(globs) < len(arguments.names)
            lines = list_files(arguments.root, arguments.python, globs, with_scripts=auto)
            arguments.into.write_text("\n".join(lines) + "\n")
        elif arguments.what == "import":
            import_all(arguments.root, arguments.python, arguments.with_python, arguments.without)
        else:
            compile_all(arguments.root, arguments.python)
    except BuildError as exc:
        print(f"pyproject.py: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
