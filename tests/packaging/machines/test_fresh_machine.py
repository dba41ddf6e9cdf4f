"""A fresh machine becomes a cloud master by dnf and systemctl, as the README says, and by nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.support import eventually
from tests.packaging.conftest import Built
from tests.packaging.machines import support
from tests.packaging.machines.conftest import Boot
from tests.packaging.machines.machine import Failed, Machine
from tests.packaging.machines.support import MASTER, MINION, SERVICES
from tools.rpm.lint import EXPOSURE

KEY, OWN_KEY = "/etc/pki/certmaster/ca/certmaster.key", "/var/lib/cloudmasterd/pki/cloudmaster.pem"
PASSWORD = "/var/lib/cloudmasterd/first-password"
REPLACE_SELF = "genome-replace-self-1.0.0-1.noarch.rpm"


@dataclass(frozen=True)
class Installed:
    """A machine on which dnf was run and the services were started; what was seen before they were."""

    machine: Machine
    dnf: str
    enabled: str
    verified: str


@pytest.fixture(scope="module")
def fresh(boot: Boot) -> Installed:
    """A cloud master."""
    machine = boot(MASTER)
    said = support.dnf(machine, "install cloudmasterd")
    enabled = machine.said("systemctl is-enabled cloudmasterd certmaster funcd")
    enabled += machine.said("systemctl is-active cloudmasterd certmaster funcd")
    verified = machine.said(f"rpm -V $(rpm -qa {support.OURS})")
    support.start_master(machine)
    return Installed(machine, said, enabled, verified)


def test_installing_starts_nothing(fresh: Installed) -> None:
    assert fresh.enabled.split() == ["disabled"] * 2 + ["disabledinactive"] + ["inactive"] * 2


def test_dnf_installs_without_a_fault(fresh: Installed) -> None:
    assert "Complete!" in fresh.dnf
    log = fresh.machine.run("cat /var/log/dnf.log /var/log/dnf.rpm.log")
    assert support.faults_of_dnf(log) == []


def test_rpm_finds_every_file_as_it_was_packed(fresh: Installed) -> None:
    assert fresh.verified == ""
    # The daemons write, but not into what is packaged.
    assert fresh.machine.said(f"rpm -V $(rpm -qa {support.OURS})") == ""


def test_all_services_are_up(fresh: Installed) -> None:
    for service in SERVICES:
        assert fresh.machine.said(f"systemctl is-active {service}") == "active", service
    assert fresh.machine.said("systemctl is-system-running") == "running"


@pytest.mark.parametrize("path", ["/", "/machines", "/machines/new", "/api/v1/clouds", "/readyz"])
def test_the_pages_come_through_apache(fresh: Installed, path: str) -> None:
    assert support.status_of(fresh.machine, path) == 200


def test_the_daemons_are_their_own_users(fresh: Installed) -> None:
    for service in ("cloudmasterd", "certmaster"):
        pid = support.main_pid(fresh.machine, service)
        assert fresh.machine.said(f"stat --format=%U /proc/{pid}") == service
    for path in (KEY, OWN_KEY, PASSWORD, "/var/lib/cloudmasterd/cloudmasterd.db"):
        assert fresh.machine.does(f"test -s {path}"), path
        assert not fresh.machine.does(f"setpriv --reuid=nobody --clear-groups cat {path}"), path


def test_the_cloud_master_cannot_read_the_key_of_the_authority(fresh: Installed) -> None:
    daemon = "setpriv --reuid=cloudmasterd --init-groups"
    assert not fresh.machine.does(f"{daemon} cat {KEY}")
    assert fresh.machine.does(f"{daemon} cat {KEY.replace('.key', '.crt')}")
    said = fresh.machine.said("systemctl show --property=InaccessiblePaths cloudmasterd")
    assert said == f"InaccessiblePaths=-{KEY}"


@pytest.mark.parametrize("unit", sorted(EXPOSURE))
def test_the_units_are_as_closed_as_was_promised(fresh: Installed, unit: str) -> None:
    said = fresh.machine.said(f"systemd-analyze security --no-pager --threshold={EXPOSURE[unit]} {unit}")
    assert fresh.machine.does(f"systemd-analyze security --threshold={EXPOSURE[unit]} {unit}"), said


def test_the_first_contact_says_what_is_missing(fresh: Installed) -> None:
    said = fresh.machine.said("cloudmasterctl status")
    assert len(said.splitlines()) == 3, said
    assert f"Browser view:   {support.URL}/" in said
    assert f"First password: in {PASSWORD}" in said
    assert "no cloud instance yet" in said
    assert "does not run" not in said and "sign in" not in said
    findings = fresh.machine.said("cloudmasterctl check")
    assert "FAULT" not in findings, findings


def sign_in(machine: Machine, url: str) -> str:
    """Type the first password into the form at an address; where the page with the machines is then."""
    curl = f"{support.CURL} -s -c /root/jar -b /root/jar"
    form = machine.run(f"rm -f /root/jar; {curl} {url}/login")
    csrf = "".join(re.findall('name="csrf" value="([^"]+)"', form))
    password = machine.run(f"cat {PASSWORD}").strip()
    fields = f"--data-urlencode csrf={csrf} --data-urlencode password@- -d user=admin -H 'Origin: {url}'"
    machine.run(f"{curl} -o /dev/null {fields} {url}/login", password)
    return machine.said(f"{curl} -L -o /dev/null -w '%{{url_effective}}' {url}/machines")


def test_the_first_password_opens_the_pages_over_tls(fresh: Installed) -> None:
    assert fresh.machine.said(f"stat --format='%a %U' {PASSWORD}") == "600 cloudmasterd"
    assert sign_in(fresh.machine, support.URL) == f"{support.URL}/machines"
    assert "__Host-cloudmasterd_session" in fresh.machine.read("/root/jar")


def test_no_password_is_taken_over_plain_http(fresh: Installed) -> None:
    plain = f"http://{MASTER}"
    assert sign_in(fresh.machine, plain).startswith(f"{plain}/login")


@pytest.mark.parametrize("path", ["/", "/machines", "/api/v1/clouds", "/api/v1/openapi.json"])
def test_nobody_in_particular_sees_nothing(fresh: Installed, path: str) -> None:
    assert support.status_of(fresh.machine, path, as_admin=False) in (401, 303)


def test_the_journal_says_where_the_password_is_and_not_what_it_is(fresh: Installed) -> None:
    password = fresh.machine.run(f"cat {PASSWORD}").strip()
    assert PASSWORD in fresh.machine.run("journalctl --unit=cloudmasterd")
    assert password not in fresh.machine.run("journalctl")


def test_only_what_the_firewall_lets_through_is_reached(fresh: Installed, boot: Boot) -> None:
    """The services of firewalld are real ones, and the port of the daemon itself is in none of them."""
    machine = fresh.machine
    if machine.said("firewall-cmd --state") != "running":
        pytest.skip("firewalld does not run in a machine on this kernel")
    other = boot(MINION)
    machine.connect(other)

    def reaches(port: int) -> bool:
        return other.does(f"curl -s -m 2 -o /dev/null http://{MASTER}:{port}/")

    assert not reaches(80)
    machine.run("firewall-cmd --permanent --add-service=cloudmasterd && firewall-cmd --reload")
    for port in (80, 51235):
        eventually(lambda port=port: reaches(port), f"port {port} to be reached")
    assert not reaches(8107)
    other.run(fetch_replace_self(machine))
    assert other.said("rpm -q genome-replace-self") == REPLACE_SELF.removesuffix(".rpm")
    assert "usage: genome-replace-self" in other.run("genome-replace-self --help")


def fetch_replace_self(cobbler_server: Machine) -> str:
    """Serve its package as a cobbler server does; the line of the README of 2008."""
    folder = "/var/www/html/cobbler/repo_mirror/f8-genome-noarch"
    cobbler_server.run(f"mkdir -p {folder} && cp /srv/shared/repo/packages/{REPLACE_SELF} {folder}")
    return f"COBBLER_REPO={MASTER}; rpm -i http://$COBBLER_REPO/cobbler/repo_mirror/f8-genome-noarch/{REPLACE_SELF}"


def test_what_is_killed_comes_back(fresh: Installed) -> None:
    machine = fresh.machine
    before = {name: support.main_pid(machine, name) for name in ("cloudmasterd", "certmaster")}
    machine.run(f"kill -9 {' '.join(before.values())}")
    for name, pid in before.items():
        support.wait_for_another_process(machine, name, pid)
    support.wait_until_ready(machine)
    assert machine.said("systemctl is-system-running") == "running"


def test_after_a_reboot_everything_is_up_again(fresh: Installed) -> None:
    assert support.faults_in_journal(fresh.machine) == []
    fresh.machine.reboot()
    support.wait_until_ready(fresh.machine)
    assert fresh.machine.said("systemctl is-system-running") == "running"
    assert support.faults_in_journal(fresh.machine) == []


def test_the_line_of_2008_gives_the_same(boot: Boot) -> None:
    machine = boot(MASTER)
    assert "cloudmasterd-2.0.0-1" in machine.run("yum -y install rubygem-cloudmasterd")
    support.start_master(machine)
    assert support.status_of(machine, "/") == 200


def test_without_its_signature_nothing_is_installed(boot: Boot, built: Built, shared: Path) -> None:
    machine = boot(MINION)
    (package,) = (shared / "repo/packages").glob("genome-kickstarts-*.rpm")
    unsigned = built.rpms / package.name
    package.write_bytes(unsigned.read_bytes())
    with pytest.raises(Failed, match="checksum|does not match|size"):
        machine.run("dnf -y --refresh install genome-kickstarts")
    # With metadata that are right for it, but not signed again.
    metadata = shared / "repo/packages/repodata/repomd.xml"
    metadata.write_bytes(metadata.read_bytes() + b"\n")
    with pytest.raises(Failed, match="Bad GPG signature"):
        machine.run("dnf -y --refresh install genome-kickstarts")
    # Nor where the metadata are not asked for their signature: the package itself has none.
    with pytest.raises(Failed, match="not signed"):
        machine.run(
            f"cp {shared_name(package)} /root && dnf -y install --setopt=localpkg_gpgcheck=1 /root/*.rpm"
        )
    support.publish(built.repo, shared)
    support.dnf(machine, "install genome-kickstarts")


def shared_name(package: Path) -> str:
    return f"/srv/shared/repo/packages/{package.name}"
