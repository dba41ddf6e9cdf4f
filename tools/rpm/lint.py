"""Look for faults in the packages of dist: `lint.py`, after `build.py rpms`.

rpmlint is one of several checks, because rpmbuild and dnf end with 0 over scriptlets that are broken and
units that systemd does not understand.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

CHECKOUT = Path(__file__).resolve().parents[2]
# Those with a spec of their own; the others are unpacked wheels, whose content is other people's.
OWN = (
    "cloudmasterd",
    "certmaster",
    "func",
    "genome-",
    "python3-pycdlib",
    "python3-pydispatcher",
    "python3-sqlobject",
)
EXPOSURE = {
    "cloudmasterd.service": 20,
    "certmaster.service": 20,
    "funcd.service": 50,
}  # tenths, by systemd-analyze
# A macro that nobody defined stays in a scriptlet as it was written.
LITERAL_MACRO = re.compile(r"%\{?[?!]?[A-Za-z_]{3,}")
_QUERY = ("rpm", "--query", "--package", "--nosignature")
_SCRIPTLETS = ("%{PREIN}", "%{POSTIN}", "%{PREUN}", "%{POSTUN}", "%{PRETRANS}", "%{POSTTRANS}")
_BETWEEN = "\n#---\n"
HTTPD_MODULES = (
    "mpm_event",
    "unixd",
    "authz_core",
    "authz_host",
    "alias",
    "headers",
    "proxy",
    "proxy_http",
    "rewrite",
    "headers",
)
HTTPD_MODULE_DIRS = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")


def run(command: Sequence[str]) -> tuple[int, str]:
    """Exit code and everything that was printed."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    return done.returncode, done.stdout


def rpmlint_complaints(rpms: Sequence[Path], specs: Path, rpmlint: str) -> Iterator[str]:
    """What rpmlint finds in packages with a spec of our own, where it calls anything an error."""
    ours = [str(path) for path in rpms if path.name.startswith(OWN)]
    code, text = run(
        [rpmlint, "--config", str(specs / "rpmlint.toml"), *ours, *map(str, specs.glob("*.spec"))]
    )
    # It says for every package that it has no dictionary to look its spelling up in.
    print("".join(line for line in text.splitlines(keepends=True) if "enchant" not in line))
    if code:
        yield "rpmlint: see above"


def scriptlet_complaints(rpms: Sequence[Path]) -> Iterator[str]:
    """Macros that were not expanded, and shells that cannot read their scriptlet."""
    for path in rpms:
        _, text = run([*_QUERY, "--scripts", "--triggers", str(path)])
        for found in LITERAL_MACRO.finditer(text):
            yield f"{path.name}: {found.group()} stands in a scriptlet: no such macro when it was built"
        _, scripts = run([*_QUERY, "--queryformat", _BETWEEN.join(_SCRIPTLETS), str(path)])
        for script in scripts.split(_BETWEEN):
            if script not in ("", "(none)"):
                done = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
                if done.returncode:
                    yield f"{path.name}: {done.stderr.strip()}"


def unit_complaints(tree: Path) -> Iterator[str]:
    """What systemd does not understand or finds too open."""
    # Units of other packages that ours name; only their being there counts.
    known = Path("/usr/lib/systemd/system")
    units = tree / "usr/lib/systemd/system"
    ours = sorted(path.name for path in units.glob("*.service"))
    for path in known.glob("*.target"):
        if not (units / path.name).exists():
            shutil.copy(path, units)
    code, text = run(["systemd-analyze", "verify", "--man=no", f"--root={tree}", *ours])
    if code or text:
        yield f"systemd-analyze verify: {text.strip()}"
    for unit in ours:
        limit = EXPOSURE.get(unit, 100)
        command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={limit}"]
        code, text = run([*command, str(units / unit)])
        print(text.strip().splitlines()[-1])
        if code:
            yield f"{unit}: more exposed than {limit / 10}: see systemd-analyze security --offline=true"


def manual_complaints(tree: Path) -> Iterator[str]:
    """What mandoc finds in manual pages."""
    for page in sorted((tree / "usr/share/man").rglob("*.[1-8]*")):
        code, text = run(["mandoc", "-Tlint", "-Wwarning", str(page)])
        if code:
            yield text.strip()


def httpd_complaints(tree: Path) -> Iterator[str]:
    """What Apache does not understand."""
    server = shutil.which("httpd") or shutil.which("apache2") or "/usr/sbin/apache2"
    folder = next((Path(name) for name in HTTPD_MODULE_DIRS if Path(name).is_dir()), None)
    if folder is None or not Path(server).exists():
        print("httpd: not installed here, its configuration was not looked at")
        return
    lines = [f'ServerRoot "{tree}"', "ServerName cloud.example.org", "Listen 127.0.0.1:8080"]
    for module in HTTPD_MODULES:
        if (folder / f"mod_{module}.so").exists():  # some are built in
            lines.append(f"LoadModule {module}_module {folder}/mod_{module}.so")
    lines += [f"ErrorLog {tree}/error_log", f"Include {tree}/etc/httpd/conf.d/*.conf"]
    (tree / "httpd-test.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    code, text = run([server, "-t", "-f", str(tree / "httpd-test.conf")])
    if code:
        yield f"{server} -t: {text.strip()}"


def logrotate_complaints(tree: Path) -> Iterator[str]:
    """What logrotate does not understand."""
    program = shutil.which("logrotate") or "/usr/sbin/logrotate"
    for path in sorted((tree / "etc/logrotate.d").glob("*")):
        if not Path(program).exists():
            print("logrotate: not installed here, its configuration was not looked at")
            return
        # The users of the packages are not there where the packages are made.
        text = re.sub(r"^\s*su .*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as copy:
            copy.write(text)
            copy.flush()
            code, said = run([program, "--debug", "--state", "/dev/null", copy.name])
        if code or "error:" in said:
            yield f"{path.name}: logrotate: {said.strip()}"


def firewall_complaints(tree: Path) -> Iterator[str]:
    """Services that are not XML, and the port nobody but this machine's proxy may reach."""
    for path in sorted((tree / "usr/lib/firewalld/services").glob("*.xml")):
        ports = [one.get("port") for one in ElementTree.parse(path).getroot().iter("port")]
        if "8107" in ports:
            yield f"{path.name}: opens 8107, which belongs behind the proxy"


def unpack(rpms: Sequence[Path], tree: Path) -> None:
    """Lay the files of our packages into one tree."""
    for path in rpms:
        if path.name.startswith(OWN):
            with subprocess.Popen(["rpm2cpio", str(path)], stdout=subprocess.PIPE) as archive:
                command = ["cpio", "--extract", "--make-directories", "--quiet", "--no-absolute-filenames"]
                subprocess.run(command, stdin=archive.stdout, cwd=tree, check=True)


def main() -> int:
    """Print every complaint; 1 where there is one."""
    parser = argparse.ArgumentParser(prog="lint.py", description=__doc__)
    parser.add_argument("--out", type=Path, default=CHECKOUT / "dist", help="where the packages are")
    parser.add_argument("--rpmlint", default="rpmlint", help="the program (default: the one in $PATH)")
    given = parser.parse_args()
    rpms, srpms = sorted(given.out.glob("rpms/*.rpm")), sorted(given.out.glob("srpms/*.rpm"))
    if not rpms:
        print(f"rpm-lint: {given.out}/rpms: no packages: `make rpms` makes them", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        unpack(rpms, tree)
        complaints = [
            *rpmlint_complaints([*rpms, *srpms], CHECKOUT / "spec", given.rpmlint),
            *scriptlet_complaints(rpms),
            *unit_complaints(tree),
            *manual_complaints(tree),
            *httpd_complaints(tree),
            *firewall_complaints(tree),
            *logrotate_complaints(tree),
        ]
    for complaint in complaints:
        print(f"rpm-lint: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
