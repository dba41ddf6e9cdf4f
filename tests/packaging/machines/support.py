"""What tests of several machines do and look for on them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.support import eventually
from tests.packaging.machines.machine import Machine
from tools.rpm.lint import LITERAL_MACRO

MASTER, MINION = "cloud.example.org", "cloud1.example.org"
ADDRESSES = {MASTER: "10.77.0.1", MINION: "10.77.0.2"}
SERVICES = ("cloudmasterd", "certmaster", "httpd")
URL = f"https://{MASTER}"
HEADER, CERTIFICATE = "/root/admin-header", "/etc/pki/tls/certs/localhost.crt"
CURL = f"curl --cacert {CERTIFICATE}"
OURS = "cloudmasterd 'cloudmasterd-*' func certmaster 'genome-*' 'python3-*'"


def python_of(tree: Path) -> str:
    """The version of Python of a tree, e.g. 3.11."""
    return (tree / "usr/bin/python3").readlink().name.removeprefix("python")


def version_in(tree: Path, package: str) -> str:
    """The version of a package of the tree, without the distribution's part."""
    command = ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show", "--showformat=${Version}", package]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return said.split("-")[0]


def add_a_migration(source: Path) -> None:
    """Make a copy of the checkout the one of a later release, whose database an earlier one cannot read."""
    with (source / "cloudmasterd/store/schema.py").open("a", encoding="utf-8") as schema:
        schema.write(
            "\nMIGRATIONS = (*MIGRATIONS, Migration(MIGRATIONS[-1].version + 1,"
            ' ("CREATE TABLE of_a_later_release (id INTEGER PRIMARY KEY)",)))\n'
        )


def publish(repo: Path, shared: Path) -> None:
    """Put a repository where the machines look for it, in place of what is there."""
    shutil.rmtree(shared / "repo", ignore_errors=True)
    shutil.copytree(repo, shared / "repo")


def dnf(machine: Machine, command: str) -> str:
    """What dnf said; raises Failed, also over what dnf itself ends with 0 at."""
    said = machine.run(f"dnf -y --refresh {command}")
    assert not faults_of_dnf(said), said
    return said


def faults_of_dnf(said: str) -> list[str]:
    """The lines of dnf about scriptlets that failed, files that are in the way, and macros left as text."""
    # rpm's own words, and those of a shell in a scriptlet.
    bad = re.compile(r"scriptlet failed|[Ee]rror in |cpio|conflict|Traceback|^(error|warning):")
    lines = [line for line in said.splitlines() if not line.endswith(".rpmsave")]  # as it should be
    return [line for line in lines if bad.search(line) or LITERAL_MACRO.search(line)]


def start_master(machine: Machine) -> None:
    """As the README has it, and wait until it answers; root there has a token of the admin's then."""
    machine.run("systemctl enable --now cloudmasterd httpd")
    wait_until_ready(machine)
    if not machine.does(f"test -e {HEADER}"):
        machine.run("cloudmasterctl token create --user admin --title rpm-test --file /root/token")
        machine.write(HEADER, f"Authorization: Bearer {machine.read('/root/token')}")


def lend(master: Machine, other: Machine) -> None:
    """Root of another machine gets root's token, and the certificate that Apache signed itself."""
    for path in (HEADER, CERTIFICATE):
        other.write(path, master.read(path))


def wait_until_ready(machine: Machine) -> None:
    """Until the cloud master answers through Apache."""
    try:
        eventually(lambda: status_of(machine, "/readyz", as_admin=False) == 200, "an answer", 180)
    except AssertionError as exc:
        told = machine.said(f"{CURL} -sS {URL}/readyz 2>&1; journalctl --no-pager --boot --lines=50")
        raise AssertionError(f"{machine.name} is not ready: {told}") from exc


def main_pid(machine: Machine, service: str) -> str:
    """The process of a service; "0" where it does not run."""
    return machine.said(f"systemctl show --value --property=MainPID {service}")


def wait_for_another_process(machine: Machine, service: str, pid: str) -> None:
    """Until systemd has started a service again that ended."""
    eventually(lambda: main_pid(machine, service) not in ("0", pid), f"{service} to be started again", 180)


def status_of(machine: Machine, path: str, *, as_admin: bool = True) -> int:
    """The HTTP status of a page, through Apache."""
    known = f"-H @{HEADER}" if as_admin else ""
    return int(machine.said(f"{CURL} -s -o /dev/null -w '%{{http_code}}' {known} {URL}{path}") or 0)


def rest(machine: Machine, path: str, *, method: str = "GET", body: Any = None) -> Any:
    """The cloud master's REST answer, as this machine gets it through Apache."""
    more = f"-X {method}"
    if body is not None:
        more += " -H 'Content-Type: application/json' --data-binary @-"
    said = machine.run(
        f"{CURL} -sS --fail-with-body -H @{HEADER} {more} {URL}/api/v1{path}",
        "" if body is None else json.dumps(body),
    )
    return json.loads(said) if said else None


def journal(machine: Machine, *options: str) -> list[str]:
    """Lines of the journal, without what a machine in a sandbox says of itself."""
    command = " ".join(("journalctl --boot --quiet --no-pager --output=short", *options))
    return [line for line in machine.run(command).splitlines() if "Failed to set fd limit" not in line]


def faults_in_journal(machine: Machine) -> list[str]:
    """Errors of whoever, and tracebacks and scriptlets that failed whatever their priority."""
    found = journal(machine, "--priority=err")
    bad = ("Traceback", "scriptlet", "Operation not permitted", "Permission denied", "Read-only file system")
    return found + [line for line in journal(machine) if any(word in line for word in bad)]
