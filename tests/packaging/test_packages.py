"""The packages as a machine sees them: what is in them, what they need, who signed them, always the same."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import Built, run_tool
from tools.rpm import lint

pytestmark = pytest.mark.integration

OWN = (
    "cloudmasterd",
    "cloudmasterd-minion",
    "cloudmasterd-selinux",
    "func",
    "certmaster",
    "genome-replace-self",
    "genome-kickstarts",
)
# What is not root's, not 0644 or not 0755.
SPECIAL = {
    "cloudmasterd": {
        "/etc/cloudmasterd": "drwxr-x--- root cloudmasterd",
        "/etc/cloudmasterd/cloudmasterd.conf": "-rw-r----- root cloudmasterd",
        "/var/lib/cloudmasterd": "drwxr-x--- cloudmasterd cloudmasterd",
        "/var/lib/cloudmasterd/pki": "drwx------ cloudmasterd cloudmasterd",
    },
    "certmaster": {
        "/etc/pki/certmaster/ca": "drwxr-x--- certmaster certmaster",
        "/var/lib/certmaster": "drwxr-xr-x certmaster certmaster",
        "/var/lib/certmaster/certs": "drwxr-xr-x certmaster certmaster",
        "/var/lib/certmaster/csrs": "drwxr-xr-x certmaster certmaster",
        "/var/lib/certmaster/peers": "drwxr-xr-x certmaster certmaster",
        "/var/log/certmaster": "drwxr-x--- certmaster certmaster",
    },
    "func": {
        "/var/lib/func": "drwx--x--x root root",
        "/var/log/func": "drwxr-x--- root root",
        "/var/log/func/methods": "drwxr-x--- root root",
    },
    "genome-replace-self": {"/var/lib/genome-replace-self": "drwx------ root root"},
}
BETWEEN = "|"


def query(package: Path, *options: str) -> list[str]:
    command = ["rpm", "--query", "--package", "--nosignature", *options, str(package)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def files(package: Path) -> dict[str, str]:
    """{path: mode, owner and group} of a package."""
    form = "[%{FILENAMES}" + BETWEEN + "%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME}\n]"
    return dict(line.split(BETWEEN) for line in query(package, "--queryformat", form))


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", OWN)
def test_owners_and_modes_are_the_usual_ones_or_meant(built: Built, name: str) -> None:
    found = files(built.rpm(name))
    usual = {"drwxr-xr-x root root", "-rw-r--r-- root root"}
    programs = {path for path in found if re.match(r"/usr/s?bin/|.*/func/minion/install/bin/\w", path)}
    assert {found[path] for path in programs} <= {"-rwxr-xr-x root root"}
    special = {path: how for path, how in found.items() if how not in usual and path not in programs}
    assert special == SPECIAL.get(name, {})


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("cloudmasterd", ["/usr/bin/cloudmasterd", "/usr/lib/systemd/system/cloudmasterd.service",
                          "/usr/lib/systemd/system-preset/90-cloudmasterd.preset",
                          "/usr/lib/sysusers.d/cloudmasterd.conf", "/usr/lib/tmpfiles.d/cloudmasterd.conf",
                          "/etc/httpd/conf.d/cloudmasterd.conf",
                          "/usr/lib/firewalld/services/cloudmasterd.xml",
                          "/usr/share/doc/cloudmasterd/operations.md"]),
        ("certmaster", ["/usr/bin/certmaster-ca", "/etc/certmaster/certmaster.conf",
                        "/usr/lib/sysusers.d/certmaster.conf", "/etc/logrotate.d/certmaster",
                        "/usr/share/man/man8/certmaster-ca.8.gz"]),
        ("cloudmasterd-selinux", ["/usr/share/selinux/packages/targeted/cloudmasterd.pp.bz2",
                                  "/usr/share/selinux/packages/targeted/cloudmasterd-ports.cil"]),
        ("func", ["/usr/bin/func", "/usr/bin/funcd", "/etc/func/minion.conf", "/etc/func/minion-acl.d",
                  "/etc/logrotate.d/func", "/usr/share/man/man1/func.1.gz", "/usr/share/man/man8/funcd.8.gz",
                  "/usr/share/bash-completion/completions/func"]),
        ("cloudmasterd-minion", ["/etc/func/modules/Virt.conf", "/etc/func/modules/Machine.conf",
                                 "/etc/func/minion-acl.d/cloudmasterd.acl"]),
        ("genome-replace-self", ["/usr/sbin/genome-replace-self", "/etc/genome/replace-self.conf",
                                 "/usr/share/man/man8/genome-replace-self.8.gz"]),
        ("genome-kickstarts", ["/usr/share/genome/kickstarts/genome-cloud.ks",
                               "/usr/sbin/genome-register-profiles"]),
        ("cloudmasterd-release", ["/etc/yum.repos.d/cloudmasterd.repo",
                                  "/etc/pki/rpm-gpg/RPM-GPG-KEY-cloudmasterd"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_an_administrator_looks_for_is_there(built: Built, name: str, wanted: list[str]) -> None:
    assert set(wanted) <= set(files(built.rpm(name)))


def test_no_file_is_in_two_packages(built: Built) -> None:
    seen: dict[str, str] = {}
    for package in built.rpms.iterdir():
        for path, how in files(package).items():
            if not how.startswith("d"):
                assert path not in seen, f"{path} is in {package.name} and {seen[path]}"
                seen[path] = package.name


def test_the_python_packages_lie_where_the_asked_python_looks(built: Built) -> None:
    version = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout.strip()  # fmt: skip
    site = f"/usr/lib/python{version}/site-packages"
    found = files(built.rpm("cloudmasterd"))
    assert found[f"{site}/cloudmasterd-2.0.0.dist-info"].startswith("d")  # a directory, or rpm overlooks it
    assert f"{site}/cloudmasterd/app.py" in found
    assert any(path.startswith(f"{site}/cloudmasterd/__pycache__/app.") for path in found)
    assert f"python(abi) = {version}" in query(built.rpm("func"), "--requires")


def test_for_another_python_and_distribution_nothing_is_compiled(built: Built, elsewhere: Path) -> None:
    made = built.build(
        "rpms", elsewhere, "--pyabi", "3.14", "--dist", ".fc44", "--no-check", "--only", "cloudmasterd"
    )
    (package,) = made.glob("cloudmasterd-2.0.0-1.fc44.noarch.rpm")
    found = files(package)
    assert "/usr/lib/python3.14/site-packages/cloudmasterd/app.py" in found
    assert not [path for path in found if path.endswith(".pyc")]
    required = query(package, "--requires")
    assert "python(abi) = 3.14" in required
    assert "python3.14dist(sqlobject) >= 3.10" in required


def test_the_packages_need_what_they_use(built: Built) -> None:
    master = query(built.rpm("cloudmasterd"), "--requires")
    for wanted in ("httpd", "func = 2.0.0-1", "certmaster = 2.0.0-1"):
        assert wanted in master
    for name in ("cherrypy", "sqlobject", "mako", "pycdlib", "cryptography"):
        assert [line for line in master if re.match(rf"python3\.\d+dist\({name}\) >= ", line)], name
    assert "python3dist(cryptography) >= 36" in query(built.rpm("certmaster"), "--requires")
    minion = query(built.rpm("cloudmasterd-minion"), "--requires")
    for wanted in (
        "func = 2.0.0-1",
        "libvirt-daemon-kvm",
        "qemu-kvm",
        "python3-libvirt",
        "genome-replace-self",
    ):
        assert wanted in minion
    # Missing in EPEL 10, so the package must do without.
    assert "koan" in query(built.rpm("cloudmasterd-minion"), "--recommends")
    assert "koan" not in minion


def test_the_names_of_2008_lead_here(built: Built) -> None:
    package = built.rpm("cloudmasterd")
    assert "rubygem-cloudmasterd = 2.0.0-1" in query(package, "--provides")
    assert "rubygem-cloudmasterd < 2.0.0-1" in query(package, "--obsoletes")
    assert (built.rpms / "genome-replace-self-1.0.0-1.noarch.rpm").exists()
    # func and certmaster kept their names; theirs ended with 0.30 and 0.28.
    assert query(built.rpm("func"), "--queryformat", "%{VERSION}") == ["2.0.0"]


def test_edited_configuration_is_kept(built: Built) -> None:
    for name in OWN:
        package = built.rpm(name)
        form = "[%{FILENAMES} %{FILEFLAGS:fflags}\n]"
        flags = dict(line.split(" ") for line in query(package, "--queryformat", form))
        for path, how in files(package).items():
            if path.startswith("/etc/") and how.startswith("-"):
                assert flags[path] == "cn", f"{path}: %config(noreplace)"


def test_nothing_is_started_by_installing(built: Built) -> None:
    for name in ("cloudmasterd", "certmaster", "func"):
        scripts = "\n".join(query(built.rpm(name), "--scripts"))
        assert "preset" in scripts
        assert not re.search(r"systemctl\s+(--\S+\s+)*(start|enable)", scripts)


def test_every_command_and_every_daemon_has_its_manual_page(built: Built) -> None:
    found = {path for package in built.rpms.iterdir() for path in files(package)}
    pages = {
        re.sub(r"\.[1-8]\.gz$", "", path.rsplit("/", 1)[1]) for path in found if "/share/man/man" in path
    }
    ours = re.compile(r"/usr/s?bin/((cloudmaster|certmaster|func|genome-).*)")
    commands = {named[1] for named in map(ours.fullmatch, found) if named}
    assert {"cloudmasterd", "cloudmasterctl", "funcd", "certmaster-ca"} <= commands
    assert commands - pages == set()


def test_the_policy_is_asked_for_where_there_is_a_policy_alone(built: Built) -> None:
    required = query(built.rpm("cloudmasterd"), "--requires")
    assert "(cloudmasterd-selinux = 2.0.0-1 if selinux-policy-targeted)" in required
    scripts = "\n".join(query(built.rpm("cloudmasterd-selinux"), "--scripts"))
    folder = "/usr/share/selinux/packages/targeted"
    assert f"-i {folder}/cloudmasterd.pp.bz2 {folder}/cloudmasterd-ports.cil" in scripts
    assert "-r cloudmasterd-ports cloudmasterd" in scripts


def test_two_builds_in_different_places_give_the_same_packages(built: Built, elsewhere: Path) -> None:
    some = ("cloudmasterd", "genome-replace-self", "python-sqlobject", "python-six", "cloudmasterd-release")
    options = [option for name in some for option in ("--only", name)]
    made = hashes(built.build("rpms", elsewhere, "--no-check", *options))
    assert len(made) >= len(some)
    first = hashes(built.rpms)
    assert made == {name: first[name] for name in made}
    # rpm writes the paths of the build into source packages, so these are the same only in the same place.
    sources = hashes(elsewhere / "out/srpms")
    assert hashes(built.build("srpms", elsewhere, "--no-check", *options)) == sources


@pytest.fixture
def rpmdb(built: Built, tmp_path: Path) -> Iterator[list[str]]:
    """Options of rpm for a database that trusts the repository's key alone."""
    options = ["--dbpath", str(tmp_path / "rpmdb")]
    key = built.repo / "RPM-GPG-KEY-cloudmasterd"
    subprocess.run(["rpmkeys", *options, "--import", str(key)], check=True)
    yield options


def test_every_package_of_the_repository_is_signed(built: Built, rpmdb: list[str]) -> None:
    for kind, made in (("packages", built.rpms), ("source", built.srpms)):
        packages = sorted((built.repo / kind).glob("*.rpm"))
        assert [path.name for path in packages] == sorted(path.name for path in made.iterdir())
        done = subprocess.run(
            ["rpmkeys", *rpmdb, "--checksig", *map(str, packages)],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("digests signatures OK") == len(packages)


def test_a_package_that_was_changed_is_refused(built: Built, rpmdb: list[str], tmp_path: Path) -> None:
    package = next((built.repo / "packages").glob("certmaster-*.rpm"))
    data = bytearray(package.read_bytes())
    data[-100] ^= 1
    changed = tmp_path / package.name
    changed.write_bytes(data)
    done = subprocess.run(["rpmkeys", *rpmdb, "--checksig", str(changed)], capture_output=True, check=False)
    assert done.returncode != 0


def test_the_metadata_is_signed(built: Built, elsewhere: Path) -> None:
    gpg = ["gpg", "--homedir", str(elsewhere), "--batch", "--quiet"]
    subprocess.run([*gpg, "--import", str(built.repo / "RPM-GPG-KEY-cloudmasterd")], check=True)
    for kind in ("packages", "source"):
        data = built.repo / kind / "repodata/repomd.xml"
        command = [*gpg, "--verify", f"{data}.asc", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_dnf_finds_the_package_under_both_names(built: Built, tmp_path: Path) -> None:
    command = ["dnf", "--quiet", "--assumeyes", "--releasever=1", f"--installroot={tmp_path}/root"]
    command += [f"--setopt=cachedir={tmp_path}/cache", f"--repofrompath=ours,file://{built.repo}/packages"]
    command += ["--repo=ours", "--setopt=ours.repo_gpgcheck=1"]
    command += [f"--setopt=ours.gpgkey=file://{built.repo}/RPM-GPG-KEY-cloudmasterd"]
    command += ["repoquery", "--whatprovides"]
    try:
        for name in ("cloudmasterd", "rubygem-cloudmasterd"):
            done = subprocess.run([*command, name], capture_output=True, text=True, check=False)
            assert done.stdout.split() == ["cloudmasterd-0:2.0.0-1.noarch"], done.stderr
    finally:
        for keyring in tmp_path.glob("cache/*/pubring"):  # dnf leaves gpg's agent behind
            subprocess.run(["gpgconf", "--homedir", str(keyring), "--kill", "gpg-agent"], check=False)


def test_the_linter_finds_nothing_else_in_them(built: Built, tmp_path: Path) -> None:
    """All but rpmlint itself, which `make rpm-lint` runs."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    packages = sorted(built.rpms.iterdir())
    assert list(lint.scriptlet_complaints(packages)) == []
    lint.unpack(packages, tmp_path)
    for look in (
        lint.unit_complaints, lint.manual_complaints, lint.httpd_complaints, lint.firewall_complaints,
        lint.logrotate_complaints,
    ):  # fmt: skip
        assert list(look(tmp_path)) == []


def test_the_linter_finds_a_macro_that_nobody_defined(tmp_path: Path) -> None:
    if shutil.which("rpmbuild") is None:
        pytest.skip("needs rpmbuild")
    spec = tmp_path / "bad.spec"
    spec.write_text(
        "Name: bad\nVersion: 1\nRelease: 1\nSummary: Bad\nLicense: None\nBuildArch: noarch\n"
        "%description\nBad.\n%files\n%post\n%systemd_post_of_nowhere bad.service\n%preun\nif then\n"
    )
    subprocess.run(
        ["rpmbuild", "-bb", "--define", f"_topdir {tmp_path}", "--define", f"_rpmdir {tmp_path}", str(spec)],
        check=True, capture_output=True,
    )  # fmt: skip
    complaints = list(lint.scriptlet_complaints([tmp_path / "noarch/bad-1-1.noarch.rpm"]))
    assert len(complaints) == 2, complaints
    assert "%systemd_post_of_nowhere" in complaints[0]
    assert "Syntax error" in complaints[1] or "syntax error" in complaints[1]


def test_a_repository_without_packages_is_refused(tmp_path: Path) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("needs gpg")
    with pytest.raises(AssertionError, match="make rpms"):
        run_tool("repo.py", "--work", str(tmp_path), "--out", str(tmp_path))
