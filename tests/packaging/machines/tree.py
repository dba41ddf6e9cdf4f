"""The tree that machines boot: a small Debian with systemd, dnf, Apache and libvirt, made once and kept.

    python3 tests/packaging/machines/tree.py      make it, or find it made; prints where it is

It comes from the mirrors that apt of this machine uses, a minute the first time, and stays in `.venvs/tree`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CACHE = Path(__file__).resolve().parents[3] / ".venvs" / "tree"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "rpm", "dnf", "gpg", "gpg-agent",
    # compiled, so the packages of ours leave them to the distribution
    "python3", "python3-cryptography", "python3-markupsafe", "python3-setuptools",
    "python3-libvirt", "libvirt0", "apache2", "firewalld", "netbase", "logrotate", "curl", "openssl",
    "iproute2", "procps",
)  # fmt: skip
LEFT_OUT = ("doc", "info", "locale", "man")
# What else of apt's settings a mirror may need; the rest concerns the machine that they are of.
_SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")


class CannotBeMade(Exception):
    """This machine has not what the tree is made with; the text says what."""


def why_not() -> str:
    """Why no machine can be booted here; empty where nothing is known to be in the way."""
    if os.geteuid() != 0:
        return "needs root, to boot machines"
    programs = ("systemd-nspawn", "unshare", "nsenter", "setpriv", "ip", "mmdebstrap", "apt-get")
    missing = [program for program in programs if shutil.which(program) is None]
    return f"needs {', '.join(missing)}: make setup-test" if missing else ""


def tree() -> Path:
    """The tree, made where it is not there yet; raises CannotBeMade."""
    release = _release()
    wanted = repr((release, PACKAGES, LEFT_OUT))
    made = CACHE / hashlib.sha256(wanted.encode()).hexdigest()[:12]
    if not made.exists():
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            _make(Path(name), release)
            (Path(name) / "root").rename(made)
    return made


def _release() -> str:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    if said.get("ID") != "debian" or "VERSION_CODENAME" not in said:
        raise CannotBeMade("the tree is made of Debian, by a Debian machine")
    return said["VERSION_CODENAME"]


def _make(folder: Path, release: str) -> None:
    form = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian"]
    sources = sorted(line for line in set(_run(command).splitlines()) if f" {release}" in line)
    if not sources:
        raise CannotBeMade(f"apt knows nothing of {release}: apt-get update")
    (folder / "sources").write_text("\n".join(sources) + "\n", encoding="utf-8")
    settings = [line for line in _run(["apt-config", "dump"]).splitlines() if line.startswith(_SETTINGS)]
    (folder / "settings").write_text("\n".join(settings) + "\n", encoding="utf-8")
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--aptopt={folder}/settings"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
    # Its Apache is started by the unit that Fedora would have; what the mirrors need is nobody's business.
    command += ["--customize-hook=systemctl --root=$1 --quiet mask apache2.service"]
    command += ["--customize-hook=rm -f $1/etc/apt/apt.conf.d/99mmdebstrap"]
    _run([*command, release, str(folder / "root"), str(folder / "sources")])


def _run(argv: list[str]) -> str:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise CannotBeMade(f"{argv[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        if why_not():
            raise CannotBeMade(why_not())
        print(tree())
    except CannotBeMade as exc:
        sys.exit(f"tree: {exc}")
