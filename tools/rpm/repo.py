"""Make a signed repository of the packages in dist: `repo.py`, after `build.py rpms`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from key import Key, find_key

CHECKOUT = Path(__file__).resolve().parents[2]
KEY_FILE = "RPM-GPG-KEY-cloudmasterd"


def make_repo(out: Path, key: Key) -> Path:
    """Put signed copies of the packages into OUT/repo, with signed metadata; the folder.

    What build.py made stays unsigned beside it: a signature holds the time it was made, so only unsigned
    packages can be compared byte by byte.
    """
    repo = out / "repo"
    shutil.rmtree(repo, ignore_errors=True)
    for kind, made in (("packages", out / "rpms"), ("source", out / "srpms")):
        packages = sorted(made.glob("*.rpm"))
        if not packages:
            raise ValueError(f"{made}: no packages: `make rpms` makes them")
        folder = repo / kind
        folder.mkdir(parents=True)
        copies = [Path(shutil.copy(package, folder)) for package in packages]
        key.sign_packages(copies)
        # The time of the metadata is that of the newest package, so that the same packages give the same.
        command = ["createrepo_c", "--quiet", "--no-database", "--set-timestamp-to-revision", "--revision"]
        subprocess.run([*command, _newest(packages), str(folder)], check=True)
        key.sign_beside(folder / "repodata/repomd.xml")
    (repo / KEY_FILE).write_bytes(key.public())
    return repo


def _newest(packages: list[Path]) -> str:
    command = ["rpm", "--query", "--package", "--nosignature", "--queryformat", "%{BUILDTIME}\n"]
    done = subprocess.run([*command, *map(str, packages)], check=True, stdout=subprocess.PIPE, text=True)
    return str(max(map(int, done.stdout.split())))


def main() -> int:
    """Read the arguments and make the repository; 1 with the reason where that fails."""
    parser = argparse.ArgumentParser(prog="repo.py", description=__doc__)
    parser.add_argument("--gpg-key", default="", help="a key of your keyring (default: one made for tests)")
    parser.add_argument("--work", type=Path, default=CHECKOUT / "build/rpm", help="where the test key is")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "dist", help="where the packages are")
    given = parser.parse_args()
    key = find_key(given.gpg_key, given.work.resolve() / "gnupg")
    try:
        print(f"repo: {make_repo(given.out.resolve(), key)}")
    except (subprocess.CalledProcessError, ValueError) as exc:
        print(f"repo: {exc}", file=sys.stderr)
        return 1
    finally:
        key.let_go()
    return 0


if __name__ == "__main__":
    sys.exit(main())
