"""%post and the first start: what is on the machine in the end, and what must not be."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from func.config import load_minion_config as load_func_minion_config
from func.minion.cloudmaster import acl_path, acl_text
from tests.kickstarts.installer import Installer
from tests.kickstarts.rendering import render, scripts
from tests.kickstarts.test_pre import CA, ED25519, MINION, SHELL_OF, TOKEN

pytestmark = pytest.mark.slow

Make = Callable[..., Installer]

SYSROOT = {"F8": "mnt/sysimage", "RHEL5": "mnt/sysimage"}
FOLDERS = (
    "root", "etc/systemd/system", "etc/NetworkManager/system-connections", "var/log/anaconda",
    "etc/sysconfig/network-scripts", "etc/yum.repos.d", "boot/grub",
)  # fmt: skip


def installed(made: Installer, words: str = "", version: str = "F42", **before: str) -> str:
    """Run %pre and %post on a system that has the files of `before`; gives the folder of the system."""
    root = SYSROOT.get(version, "mnt/sysroot")
    for folder in FOLDERS:
        (made.root / root / folder).mkdir(parents=True)
    for path, text in before.items():
        (made.root / root / path).write_text(text)
    made.program("chroot", '#!/bin/sh\necho "$@" >>/tmp/chroot.log\n')
    made.command_line(words)
    found = scripts(version, render(version))
    for name in ("pre", "post"):
        done = made.run(found[name])
        assert done.returncode == 0, f"%{name}: {done.stdout}"
    return root


def first_start(made: Installer, root: str) -> str:
    """Start the new system for the first time; gives what it called of the programs of its system."""
    for name in ("setsebool", "restorecon", "systemctl"):
        made.program(name, f'#!/bin/sh\necho {name} "$@" >>/tmp/called\n')
    script = made.file(f"{root}/etc/genome/first-start")
    for path in ("/root", "/var/log", "/etc/genome", "/etc/systemd"):
        script = script.replace(f" {path}", f" /{root}{path}")
    done = made.run(script)
    assert done.returncode == 0, done.stdout
    return made.file("tmp/called")


@pytest.mark.parametrize("version", ["F42", "RHEL9", "RHEL10", "F8", "RHEL5"])
def test_a_minion_can_enrol_by_itself(machine: Make, version: str) -> None:
    made = machine(SHELL_OF.get(version, "bash"), version)
    root = installed(made, MINION, version)
    assert made.file(f"{root}/etc/certmaster/minion.conf") == (
        f"[main]\ncertmaster = cloud.example.org\nca_fingerprint = {CA}\ntoken_file = /etc/certmaster/token\n"
    )
    token = made.root / root / "etc/certmaster/token"
    assert token.read_text() == f"{TOKEN}\n"
    assert token.stat().st_mode & 0o777 == 0o600
    assert (token.parent / "minion.conf").stat().st_mode & 0o777 == 0o644
    assert not (made.root / "tmp/genome.env").exists()


@pytest.mark.parametrize("version", ["F42", "RHEL9", "F8", "RHEL5"])
def test_a_minion_lets_the_cloud_master_call_what_it_needs_and_nobody_else(
    machine: Make, version: str
) -> None:
    made = machine(SHELL_OF.get(version, "bash"), version)
    root = installed(made, MINION, version)
    acl = acl_path(made.root / root / "etc/func/minion-acl.d")
    assert acl.read_text() == acl_text()
    assert acl.stat().st_mode & 0o777 == 0o644
    assert load_func_minion_config(made.root / root).certmaster_overrides_acls is False


def test_what_the_package_brought_is_newer_than_the_kickstart_and_stays(machine: Make) -> None:
    made = machine()
    folder = made.root / "mnt/sysroot/etc/func/minion-acl.d"
    folder.mkdir(parents=True)
    acl_path(folder).write_text("cloudmaster@* = of.the.package\n")
    installed(made, MINION)
    assert acl_path(folder).read_text() == "cloudmaster@* = of.the.package\n"


@pytest.mark.parametrize("version", ["F42", "F8"])
def test_a_minion_goes_by_the_name_its_token_is_for(machine: Make, version: str) -> None:
    made = machine(SHELL_OF.get(version, "bash"), version)
    root = installed(made, f"{MINION} genome_name=cloud7.example.org", version)
    assert made.file(f"{root}/etc/func/minion.conf") == (
        "[main]\ncertmaster_overrides_acls = no\nminion_name = cloud7.example.org\n"
    )


@pytest.mark.parametrize("version", ["F42", "F8"])
def test_a_minion_without_a_token_waits_to_be_signed(machine: Make, version: str) -> None:
    made = machine(SHELL_OF.get(version, "bash"), version)
    root = installed(made, "certmaster=cloud.example.org", version)
    assert made.file(f"{root}/etc/certmaster/minion.conf") == "[main]\ncertmaster = cloud.example.org\n"
    assert not (made.root / root / "etc/certmaster/token").exists()


def test_certmaster_understands_the_file(machine: Make) -> None:
    from certmaster.config import load_minion_config

    made = machine()
    root = made.root / installed(made, MINION)
    config = load_minion_config(root)
    assert (config.certmaster, config.ca_fingerprint) == ("cloud.example.org", CA)
    assert config.token_file.read_text().strip() == TOKEN


def test_a_master_gets_nothing_of_a_minion(machine: Make) -> None:
    made = machine()
    root = installed(made, f"genome_sshkey=ssh-ed25519,{ED25519}")
    assert not (made.root / root / "etc/certmaster").exists()
    assert not (made.root / root / "etc/libvirt").exists()
    assert made.file("tmp/chroot.log") == "/mnt/sysroot systemctl enable genome-first-start.service\n"


def test_the_bridge_has_the_card_to_itself_and_its_address(machine: Make) -> None:
    made = machine()
    folder = "etc/NetworkManager/system-connections"
    card = (
        "[connection]\nid=eth0\ntype=ethernet\nautoconnect=true\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n"
    )
    port = "[connection]\nid=br0_port_1\ntype=ethernet\ninterface-name=eth0\nmaster=br0\nslave-type=bridge\n"
    other = "[connection]\nid=eth1\ntype=ethernet\ninterface-name=eth1\n"
    bridge = "[connection]\nid=br0\ntype=bridge\ninterface-name=br0\n\n[bridge]\nstp=false\n"
    files = {
        f"{folder}/eth0.nmconnection": card, f"{folder}/br0_port_1.nmconnection": port,
        f"{folder}/eth1.nmconnection": other,
        f"{folder}/br0.nmconnection": bridge,
    }  # fmt: skip
    root = installed(made, "certmaster=cloud.example.org", **files)
    lines = made.file(f"{root}/{folder}/eth0.nmconnection").splitlines()
    assert lines[:2] == ["[connection]", "autoconnect=false"]
    assert "autoconnect=true" not in lines
    assert made.file(f"{root}/{folder}/br0_port_1.nmconnection") == port
    assert made.file(f"{root}/{folder}/eth1.nmconnection") == other
    assert made.file(f"{root}/{folder}/br0.nmconnection").endswith(
        "[bridge]\nmac-address=52:54:00:12:34:56\nstp=false\n"
    )


def test_the_storage_pool_is_one_that_libvirt_takes(machine: Make) -> None:
    made = machine()
    root = installed(made, "certmaster=cloud.example.org")
    pool = made.file(f"{root}/etc/libvirt/storage/default.xml")
    libvirt = pytest.importorskip("libvirt", reason="libvirt's binding is not there for this Python")
    connection = libvirt.open("test:///default")
    try:
        assert connection.storagePoolDefineXML(pool.replace("default<", "other<")).name() == "other"
    finally:
        connection.close()
    link = made.root / root / "etc/libvirt/storage/autostart/default.xml"
    assert str(link.readlink()) == "/etc/libvirt/storage/default.xml"
    assert "/mnt/sysroot systemctl enable virtqemud.socket" in made.file("tmp/chroot.log")


SECRETS = f"BOOT_IMAGE=x genome_token={TOKEN} genome_report=http://a/install/Secret-Word_1 quiet\n"


def test_the_first_start_takes_the_token_out_of_the_logs(machine: Make) -> None:
    made = machine()
    root = installed(made, MINION)
    logs = {
        "root/original-ks.cfg": "text\n",
        "var/log/anaconda/journal.log": f"kernel: {SECRETS}",
    }
    for path, text in logs.items():
        (made.root / root / path).write_text(text)
    called = first_start(made, root)
    assert "restorecon -R" in called and "systemctl disable genome-first-start.service" in called
    assert made.file(f"{root}/root/original-ks.cfg") == "text\n"
    assert made.file(f"{root}/var/log/anaconda/journal.log") == (
        "kernel: BOOT_IMAGE=x genome_token=(removed) genome_report=(removed) quiet\n"
    )
    assert holding(made, root, TOKEN) == [f"{root}/etc/certmaster/token"]
    assert not (made.root / root / "etc/genome/first-start").exists()
    assert not (made.root / root / "etc/systemd/system/genome-first-start.service").exists()


def holding(made: Installer, root: str, text: str) -> list[str]:
    """The files of the installed system that hold a text."""
    files = [path for path in (made.root / root).rglob("*") if path.is_file() and not path.is_symlink()]
    return [path.relative_to(made.root).as_posix() for path in files if text in path.read_text()]


def test_the_first_start_of_a_master_lets_httpd_connect(machine: Make) -> None:
    made = machine()
    root = installed(made)
    assert "setsebool -P httpd_can_network_connect on\n" in first_start(made, root)


def test_the_unit_of_the_first_start_is_sound(machine: Make) -> None:
    made = machine()
    root = installed(made)
    unit = made.root / root / "etc/systemd/system/genome-first-start.service"
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no systemd-analyze on this machine")
    assert unit.name not in done.stderr, done.stderr


@pytest.mark.parametrize("version", ["F8", "RHEL5"])
def test_old_installers_leave_no_token_behind(machine: Make, version: str) -> None:
    made = machine("busybox", version)
    files = {
        "root/anaconda-ks.cfg": f'bootloader --append="{SECRETS.strip()}"\n',
        "var/log/anaconda.syslog": SECRETS,
        "boot/grub/grub.conf": f"kernel /vmlinuz ro {SECRETS}", "var/log/messages": "nothing\n",
    }  # fmt: skip
    root = installed(made, MINION, version, **files)
    assert holding(made, root, TOKEN) == [f"{root}/etc/certmaster/token"]
    assert holding(made, root, "Secret-Word") == []
    assert made.file(f"{root}/boot/grub/grub.conf").endswith("genome_report=(removed) quiet\n")
    assert made.file(f"{root}/var/log/messages") == "nothing\n"


@pytest.mark.parametrize("version", ["F8", "RHEL5"])
def test_old_systems_get_their_bridge_keys_and_repository(machine: Make, version: str) -> None:
    made = machine("busybox", version)
    root = installed(made, f"certmaster=cloud.example.org genome_sshkey=ssh-ed25519,{ED25519}", version)
    assert "BRIDGE=br0\n" in made.file(f"{root}/etc/sysconfig/network-scripts/ifcfg-eth0")
    assert "HWADDR=52:54:00:12:34:56\n" in made.file(f"{root}/etc/sysconfig/network-scripts/ifcfg-eth0")
    assert "TYPE=Bridge\n" in made.file(f"{root}/etc/sysconfig/network-scripts/ifcfg-br0")
    assert made.file(f"{root}/root/.ssh/authorized_keys").startswith("ssh-ed25519 AAAA")
    assert (made.root / root / "root/.ssh").stat().st_mode & 0o777 == 0o700
    assert "baseurl=http://cobbler.example.org/cobbler/repo_mirror/" in made.file(
        f"{root}/etc/yum.repos.d/genome.repo"
    )


def test_an_old_master_lets_httpd_connect(machine: Make) -> None:
    made = machine("busybox", "F8")
    installed(made, "", "F8")
    assert "/usr/sbin/setsebool -P httpd_can_network_connect 1" in made.file("tmp/chroot.log")
