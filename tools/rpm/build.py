"""Build the source packages and the packages: `build.py srpms`, `build.py rpms`.

On Fedora and RHEL rpmbuild's own macros are used; elsewhere spec/compat stands in for them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import specs
from key import Key, find_key
from tarball import pack

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    """What to build, for whom, where."""

    root: Path
    work: Path
    out: Path
    pyabi: str
    dist: str
    release: str
    repo_url: str
    check_python: str
    cache: Path
    only: tuple[str, ...]
    with_checks: bool

    @property
    def sources(self) -> Path:
        """Where the tarballs lie that rpmbuild reads."""
        return self.work / "SOURCES"

    @property
    def with_wheels(self) -> bool:
        """Whether the packages are for a machine without Fedora's or EPEL's Python packages."""
        return not self.dist and not is_native()


def is_native() -> bool:
    """Whether this is a distribution whose rpm has Fedora's macros."""
    command = ["rpm", "--eval", "%{?fedora}%{?rhel}"]
    return bool(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def rpmbuild(plan: Plan, *arguments: str) -> None:
    """Run rpmbuild, its output in a log that is shown when it fails; raises CalledProcessError."""
    command = ["rpmbuild", "--define", f"_topdir {plan.work}", "--define", f"baserelease {plan.release}"]
    if plan.dist:
        command += ["--define", f"dist {plan.dist}"]
    if not plan.with_checks:
        command.append("--nocheck")
    if not is_native():
        compat = plan.root / "spec/compat"
        # --load comes first: what it defines must not undo what is defined here.
        command[1:1] = ["--nodeps", "--load", str(compat / "macros.compat")]
        for name, value in {
            "compat_dir": compat,
            "pyabi": plan.pyabi,
            "check_python": plan.check_python,
        }.items():
            command += ["--define", f"{name} {value}"]
    log = plan.work / "rpmbuild.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run([*command, *arguments], stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        print("".join(log.open(encoding="utf-8").readlines()[-60:]), file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command[0])


def prepare_sources(plan: Plan, key: Key) -> Iterator[Path]:
    """Put together what the specs are made of; gives the specs to build, those others need first."""
    shutil.rmtree(plan.sources, ignore_errors=True)
    plan.sources.mkdir(parents=True)
    folder = plan.root / "spec"
    for name in specs.SDISTS:
        yield folder / f"{name}.spec"
    _download(plan, folder / "sdists.txt", "--no-binary")
    if plan.with_wheels:
        yield from _wheel_specs(plan, folder)
    for name, content in specs.OWN.items():
        spec = folder / f"{name}.spec"
        if content:
            where = plan.root / content
            parts = [where] if content == "." else [plan.root / "LICENSE", where]
            version = specs.version_of(spec)
            data = pack(plan.root, parts, f"{name}-{version}", specs.epoch_of(spec))
            (plan.sources / f"{name}-{version}.tar.gz").write_bytes(data)
        yield spec
    for user in ("cloudmasterd", "certmaster"):
        shutil.copyfile(plan.root / f"packaging/sysusers/{user}.conf", plan.sources / f"{user}.sysusers")
    shutil.copyfile(plan.root / "LICENSE", plan.sources / "LICENSE")
    repo = (plan.root / "packaging/yum/cloudmasterd.repo.in").read_text(encoding="utf-8")
    (plan.sources / "cloudmasterd.repo").write_text(repo.replace("@URL@", plan.repo_url.rstrip("/")))
    (plan.sources / "RPM-GPG-KEY-cloudmasterd").write_bytes(key.public())


def _download(plan: Plan, pins: Path, how: str) -> list[Path]:
    """The files of the pins, from the index where they are not here yet; pip checks their hashes."""
    cache = plan.cache / pins.stem
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", how, ":all:", "--require-hashes", "--dest", str(cache)]
    wanted = pins.read_text(encoding="utf-8")
    stamp = cache / "stamp"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(cache, ignore_errors=True)
        # Those for other Pythons as well: which are packaged is decided by PYABI, not by who downloads.
        lines = [f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n" for pin in specs.read_pins(pins)]
        listing = plan.work / pins.name
        listing.write_text("".join(lines), encoding="utf-8")
        subprocess.run([*command, "--requirement", str(listing)], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    files = [path for path in sorted(cache.iterdir()) if path != stamp]
    for path in files:
        shutil.copyfile(path, plan.sources / path.name)
    return files


def _wheel_specs(plan: Plan, folder: Path) -> Iterator[Path]:
    from packaging.markers import Marker

    template = (folder / "wheel.spec.in").read_text(encoding="utf-8")
    pins = {specs.normalized(pin.name): pin for pin in specs.read_pins(folder / "wheels.txt")}
    made = _emptied(plan.work / "wheel-specs")
    for wheel in _download(plan, folder / "wheels.txt", "--only-binary"):
        pin = pins[specs.normalized(wheel.name.split("-")[0])]
        if pin.marker and not Marker(pin.marker).evaluate({"python_version": plan.pyabi}):
            continue
        spec = made / f"python-{pin.rpm_name}.spec"
        spec.write_text(specs.wheel_spec(template, pin, wheel), encoding="utf-8")
        yield spec


def build_srpms(plan: Plan, key: Key) -> list[Path]:
    """Make the source packages anew."""
    folder = _emptied(plan.out / "srpms")
    made = _emptied(plan.work / "SPECS")
    for template in list(prepare_sources(plan, key)):
        if plan.only and template.stem not in plan.only:
            continue
        spec = Path(shutil.copyfile(template, made / template.name))
        for path in (spec, *plan.sources.iterdir()):  # a source package keeps their times, too
            os.utime(path, (specs.epoch_of(spec),) * 2)
        print(f"srpms: {spec.stem}", flush=True)
        rpmbuild(plan, "--define", f"_srcrpmdir {folder}", "-bs", str(spec))
    return sorted(folder.glob("*.src.rpm"))


def build_rpms(plan: Plan, key: Key) -> None:
    """Make the packages anew, each out of its source package, so that those are known to be whole."""
    srpms = build_srpms(plan, key)
    folder = _emptied(plan.out / "rpms")
    for srpm in srpms:
        print(f"rpms: {srpm.name.removesuffix('.src.rpm')}", flush=True)
        # One folder for all of them: the Makefile's targets and the tests look there.
        flat = "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"
        rpmbuild(
            plan, "--define", f"_rpmdir {folder}", "--define", f"_rpmfilename {flat}", "--rebuild", str(srpm)
        )


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build.py", description=__doc__)
    add = parser.add_argument
    add("what", choices=("srpms", "rpms"))
    add("--pyabi", default="", help="the Python that will run the packages (default: the one this runs on)")
    add("--dist", default="", help="the distribution in the release, e.g. .fc44")
    add("--release", default="1", help="the release number of cloudmasterd (default: 1)")
    add("--repo-url", default="file:///srv/cloudmasterd/repo", help="where the repository will be")
    add("--gpg-key", default="", help="the key of the repository (default: one made for tests)")
    add("--root", type=Path, default=CHECKOUT, help="the checkout")
    add("--work", type=Path, help="where to build (default: build/rpm of the checkout)")
    add("--out", type=Path, help="where the packages go (default: dist of the checkout)")
    add("--cache", type=Path, help="what is fetched once (default: build/rpm-cache of the checkout)")
    add("--check-python", help="the Python for %%check (default: .venv of the checkout)")
    add("--only", action="append", default=[], metavar="SPEC", help="one spec; repeatable")
    add("--no-check", action="store_true", help="leave out the tests of the packages")
    return parser


def _plan(given: argparse.Namespace) -> Plan:
    root = given.root.resolve()
    return Plan(
        root=root,
        work=(given.work or root / "build/rpm").resolve(),
        out=(given.out or root / "dist").resolve(),
        cache=(given.cache or root / "build/rpm-cache").resolve(),
        pyabi=given.pyabi or ".".join(map(str, sys.version_info[:2])),
        dist=given.dist,
        release=given.release,
        repo_url=given.repo_url,
        check_python=given.check_python or str(root / ".venv/bin/python"),
        only=tuple(given.only),
        with_checks=not given.no_check,
    )


def main() -> int:
    """Read the arguments and build; 1 with what rpmbuild said when it fails."""
    given = _parser().parse_args()
    plan = _plan(given)
    # A source package keeps the modes of what it is made of, and those depend on how a checkout was made.
    os.umask(0o022)
    plan.work.mkdir(parents=True, exist_ok=True)
    key = find_key(given.gpg_key, plan.work / "gnupg")
    try:
        (build_srpms if given.what == "srpms" else build_rpms)(plan, key)
    except (subprocess.CalledProcessError, ValueError) as exc:
        print(f"{given.what}: {exc}", file=sys.stderr)
        return 1
    finally:
        key.let_go()
    return 0


if __name__ == "__main__":
    sys.exit(main())
