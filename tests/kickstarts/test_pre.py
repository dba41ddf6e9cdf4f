"""%pre: which role, on which disks, over which interface; and what is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.kickstarts.installer import Installer
from tests.kickstarts.rendering import SYSTEMS, complaints, render, resolve, scripts

pytestmark = pytest.mark.slow

Make = Callable[..., Installer]

TOKEN = "Ab0_-" * 8 + "xyz"
CA = "0123456789abcdef" * 4
ED25519 = "AAAAC3NzaC1lZDI1NTE5AAAAI" + "B+/" * 14 + "s"
MINION = f"certmaster=cloud.example.org genome_token={TOKEN} genome_ca={CA}"
HASH = "$6$saltsalt$" + "aB3./" * 17
FILES = {f"genome-{name}.ks" for name in ("access", "network", "packages", "role", "storage")}

# The shell of each installer; busybox is what those of 2007 had.
SHELL_OF = {"F8": "busybox", "RHEL5": "busybox"}


def pre(version: str = "F42", **metadata: object) -> str:
    return scripts(version, render(version, **metadata))["pre"]


def refused(machine: Installer, script: str) -> str:
    """What it says on the console when it refuses; nothing may have been written then."""
    done = machine.run(script)
    assert done.returncode == 1, done.stdout
    assert machine.written() == set()
    assert "The installation has stopped" in machine.file("dev/console")
    return machine.file("dev/console").split("*** The installation has stopped: ")[1].strip()


@pytest.mark.parametrize("role", ["master", "minion"])
@pytest.mark.parametrize("version", SYSTEMS)
def test_the_kickstart_is_valid_with_what_pre_wrote(machine: Make, version: str, role: str) -> None:
    kickstart = render(version, root_password_hash=HASH)
    made = machine(SHELL_OF.get(version, "bash"), version)
    made.disk("sdb", 204800)
    made.command_line(f"genome_sshkey=ssh-ed25519,{ED25519} " + (MINION if role == "minion" else ""))
    done = made.run(scripts(version, kickstart)["pre"])
    assert done.returncode == 0, done.stdout
    assert made.written() == FILES
    assert complaints(version, resolve(kickstart, made.root / "tmp"), made.root) == ""


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox"])
@pytest.mark.parametrize("version", ["F42", "F8"])
def test_every_shell_decides_alike(machine: Make, version: str, shell: str) -> None:
    made = machine(shell, version)
    made.command_line(MINION)
    done = made.run(pre(version))
    assert done.returncode == 0, done.stdout
    assert f"certmaster='cloud.example.org'\ngenome_token='{TOKEN}'\ngenome_ca='{CA}'\n" in made.file(
        "tmp/genome.env"
    )
    assert "not found" not in done.stdout


def test_without_certmaster_the_machine_becomes_a_cloud_master(machine: Make) -> None:
    made = machine()
    assert made.run(pre()).returncode == 0
    assert "services --enabled=sshd,chronyd,httpd,certmaster,cloudmasterd\n" in made.file(
        "tmp/genome-role.ks"
    )
    assert "firewall --enabled --service=ssh,http,https --port=51235:tcp\n" in made.file("tmp/genome-role.ks")
    assert "8107" not in made.file("tmp/genome-role.ks")
    assert {"cloudmasterd", "httpd", "certmaster"} <= set(made.file("tmp/genome-packages.ks").split())
    assert "becomes a cloud master, on sda" in made.file("dev/console")


def test_with_certmaster_it_becomes_a_cloud_minion(machine: Make) -> None:
    made = machine()
    made.command_line("BOOT_IMAGE=x " + MINION + " quiet")
    assert made.run(pre()).returncode == 0
    assert "--port=51234:tcp" in made.file("tmp/genome-role.ks")
    assert {"cloudmasterd-minion", "qemu-kvm", "koan", "libvirt-daemon-kvm"} <= set(
        made.file("tmp/genome-packages.ks").split()
    )
    assert made.file("tmp/genome-network.ks").startswith("network --device=br0 --bridgeslaves=eth0 ")
    assert "becomes a cloud minion of cloud.example.org, on sda" in made.file("dev/console")


def test_what_is_secret_is_for_root_alone_and_in_no_included_file(machine: Make) -> None:
    made = machine()
    made.command_line(MINION)
    done = made.run(pre())
    assert TOKEN not in done.stdout + made.file("dev/console") + made.file("dev/tty1")
    assert (made.root / "tmp/genome.env").stat().st_mode & 0o777 == 0o600
    for name in made.written():
        assert TOKEN not in made.file(f"tmp/{name}")


HOSTILE = {
    "certmaster=$(reboot)": "certmaster is no host name",
    "certmaster=`reboot`": "certmaster is no host name",
    "certmaster=a;reboot": "certmaster is no host name",
    "certmaster=a'b": "certmaster is no host name",
    'certmaster="a': "certmaster is no host name",
    "certmaster=a|b": "certmaster is no host name",
    "certmaster=a&b": "certmaster is no host name",
    "certmaster=a\\nb": "certmaster is no host name",
    "certmaster=*": "certmaster is no host name",
    "certmaster=-n": "certmaster is no host name",
    "certmaster=-rf": "certmaster is no host name",
    "certmaster=../../etc": "certmaster is no host name",
    "certmaster=cloud..example.org": "certmaster is no host name",
    "certmaster=cloud.example.org:80": "certmaster is no host name",
    "certmaster=cl\u00f6ud.example.org": "certmaster is no host name",
    f"certmaster={'a' * 254}": "certmaster is no host name",
    "certmaster=": "certmaster is on the command line without a value",
    "certmaster": "certmaster is on the command line without a value",
    "certmaster=a certmaster=b": "certmaster is on the command line twice",
    f"certmaster=a genome_token={TOKEN}": "genome_ca is missing",
    f"certmaster=a genome_token={TOKEN[1:]} genome_ca={CA}": "must have 43 characters",
    f"certmaster=a genome_token={TOKEN[1:]}$ genome_ca={CA}": "genome_token is no enrolment token",
    f"certmaster=a genome_ca={CA[1:]}": "must have 64 hexadecimal digits",
    f"certmaster=a genome_ca={CA.upper()}": "lower-case",
    f"genome_token={TOKEN} genome_ca={CA}": "certmaster=NAME is missing",
    "genome_name=cloud1.example.org": "certmaster=NAME is missing",
    "certmaster=a genome_name=$(reboot)": "genome_name is no host name",
    "genome_report=file:///etc/shadow": "genome_report is no address",
    "genome_report=http://a/$(reboot)": "genome_report is no address",
    "genome_report=http://a/../x": "genome_report is no address",
    "genome_report=http://a@b/x": "genome_report is no address",
    "genome_report=http://a:8x/x": "genome_report is no address",
    "genome_report=http:///x": "genome_report is no address",
    "genome_sshkey=ssh-ed25519,AAAA$(reboot)": "genome_sshkey is no key",
    f"genome_sshkey=ssh-dss,{ED25519}": "genome_sshkey is no key",
    f"genome_sshkey={ED25519}": "genome_sshkey is no key",
    f"genome_sshkey=ssh-ed25519,{ED25519},x": "genome_sshkey is no key",
    "genome_sshkey=ssh-ed25519,AAAA": "genome_sshkey is no key",
    "genome_sshkey=": "genome_sshkey is on the command line without a value",
    "genome_disks=sda;reboot": "genome_disks is no list",
    "genome_disks=sdz": "there is no disk sdz; there are: sda",
    "genome_disks=../../etc": "there is no disk",
}


@pytest.mark.parametrize("version", ["F42", "F8"])
@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_command_line_is_refused(machine: Make, version: str, words: str) -> None:
    made = machine(SHELL_OF.get(version, "bash"), version)
    made.program("reboot", "#!/bin/sh\n: >/tmp/rebooted\n")
    made.command_line(words)
    assert HOSTILE[words] in refused(made, pre(version))
    assert not (made.root / "tmp/rebooted").exists()


def test_the_same_word_twice_is_one(machine: Make) -> None:
    made = machine()
    made.command_line(f"{MINION} {MINION}")
    assert made.run(pre()).returncode == 0


PROFILE = {
    "tree": ("", "has no tree"),
    "genome_repo": ("http://x/$(reboot)", "genome_repo is no address"),
    "root_password_hash": ("secret", "root_password_hash is not of a kind"),
    "genome_root_gb": ("20; reboot", "genome_root_gb is no number"),
    "genome_swap_gb": ("0", "genome_swap_gb is no number"),
    "genome_packages": ("koan;reboot", "genome_packages is no list"),
    "genome_disks": ("'; reboot; '", "genome_disks is no list"),
}


@pytest.mark.parametrize("version", ["F42", "RHEL5"])
@pytest.mark.parametrize("key", PROFILE)
def test_what_is_wrong_with_the_profile_is_said(machine: Make, version: str, key: str) -> None:
    value, text = PROFILE[key]
    made = machine(SHELL_OF.get(version, "bash"), version)
    assert text in refused(made, pre(version, **{key: value}))


def test_a_profile_of_an_unknown_system_must_name_the_repository(machine: Make) -> None:
    assert "genome_repo" in refused(machine(), pre(genome_system="", os_version=""))


COBBLERS = "$1$mF86/UHC$WvcIcX2t6crBz2onWxyac."
WEAK = (
    COBBLERS,
    "$1$saltsalt$aaaaaaaaaaaaaaaaaaaaaa",
    "!!",
    "*",
    "$6$",
    "$6$salt$short",
    f"$y$j9T$'{'x' * 40}'",
)


@pytest.mark.parametrize("hashed", WEAK)
def test_a_weak_password_hash_is_refused(machine: Make, hashed: str) -> None:
    assert "root_password_hash" in refused(machine(), pre(root_password_hash=hashed))


def test_cobblers_own_password_is_refused_where_md5_is_not(machine: Make) -> None:
    script = pre("F8", root_password_hash=COBBLERS)
    assert "whose password everybody knows" in refused(machine("busybox", "F8"), script)


def test_root_is_locked_unless_there_is_a_hash(machine: Make) -> None:
    made = machine()
    assert made.run(pre()).returncode == 0
    assert made.file("tmp/genome-access.ks") == "rootpw --lock\n"
    assert "Nobody will be able to log in" in made.file("dev/console")


def test_root_gets_the_hash_and_the_keys(machine: Make) -> None:
    made = machine()
    keys = ["ssh-ed25519,AAAA" + "a" * extra for extra in (64, 66, 67)]
    made.command_line(" ".join(f"genome_sshkey={key}" for key in keys))
    assert made.run(pre(root_password_hash=HASH)).returncode == 0
    lines = made.file("tmp/genome-access.ks").splitlines()
    assert lines[0] == f"rootpw --iscrypted {HASH}"
    for line, key in zip(lines[1:], keys):
        data = line.split()[-1].strip('"')
        assert base64.b64decode(data, validate=True) and data.rstrip("=") == key.split(",")[1]
    assert len(lines) == 4


@pytest.mark.parametrize(("version", "locked"), [("F8", "*"), ("RHEL5", "*")])
def test_root_is_locked_on_old_systems_too(machine: Make, version: str, locked: str) -> None:
    made = machine("busybox", version)
    assert made.run(pre(version)).returncode == 0
    assert made.file("tmp/genome-access.ks") == f"rootpw --iscrypted {locked}\n"


def test_only_disks_that_are_built_in_are_taken(machine: Make) -> None:
    made = machine(bare=True)
    made.disk("vda", 40960, "pci0000:00/virtio2")
    made.disk("nvme0n1", 204800, "pci0000:00/nvme/nvme0")
    made.disk("sda", 102400, "pci0000:00/usb2/2-1/host3")
    made.disk("sdb", 102400, "platform/host4/session1/target4")
    made.disk("sdc", 102400, "pci0000:00/host5/rport-5:0-1/target5")
    made.disk("sdd", 102400, removable=1)
    made.disk("sde", 102400, ro=1)
    made.disk("nvme0c0n1", 204800, hidden=1)
    made.disk("sdf", 0)
    made.disk("sr0", 700)
    assert made.run(pre()).returncode == 0
    storage = made.file("tmp/genome-storage.ks")
    assert "ignoredisk --only-use=nvme0n1,vda\n" in storage
    assert "bootloader --boot-drive=nvme0n1\n" in storage
    assert "volgroup genome pv.1 pv.2\n" in storage


@pytest.mark.parametrize(("shell", "version"), [("dash", "F42"), ("busybox", "F8")])
def test_neither_cards_nor_disks_that_others_may_have_are_taken(
    machine: Make, shell: str, version: str
) -> None:
    made = machine(shell, version, bare=True)
    made.disk("sda", 102400)
    made.tell("sda", "type", "0")
    made.tell("sda", "wwid", "naa.1")
    made.disk("sdb", 102400, "pci0000:00/host1/end_device-1:0")
    made.disk("sdc", 102400, "pci0000:00/host1/end_device-1:1")
    for path in ("sdb", "sdc"):
        made.tell(path, "wwid", "naa.2")
    made.disk("mmcblk0", 30720, "platform/mmc0")
    made.tell("mmcblk0", "type", "SD")
    made.disk("mmcblk1", 30720, "platform/mmc1")
    made.tell("mmcblk1", "type", "MMC")
    made.disk("nvme0n1", 102400, "virtual/nvme-fabrics/ctl/nvme0")
    made.tell("nvme0n1", "transport", "tcp")
    made.disk("nvme1n1", 102400, "virtual/nvme-subsystem/nvme-subsys1")
    made.tell("nvme1n1", "nvme1/transport", "rdma")
    made.disk("nvme2n1", 102400, "pci0000:00/nvme/nvme2")
    made.tell("nvme2n1", "transport", "pcie")
    assert made.run(pre(version)).returncode == 0
    assert "--drives=mmcblk1,nvme2n1,sda\n" in made.file("tmp/genome-storage.ks")


def test_the_disks_can_be_named(machine: Make) -> None:
    made = machine()
    made.disk("sdb", 102400, "pci0000:00/usb2/2-1/host3")
    made.disk("sdc", 102400)
    made.command_line("genome_disks=sdb")
    assert made.run(pre(genome_disks="sda,sdc")).returncode == 0
    assert "ignoredisk --only-use=sdb\n" in made.file("tmp/genome-storage.ks")


def test_an_old_raid_controllers_disk_goes_by_its_own_name(machine: Make) -> None:
    made = machine("busybox", "RHEL5", bare=True)
    made.disk("cciss!c0d0", 102400)
    assert made.run(pre("RHEL5")).returncode == 0
    assert "part pv.1 --size=1024 --grow --ondisk=cciss/c0d0\n" in made.file("tmp/genome-storage.ks")


def test_root_and_swap_are_of_fixed_size_and_machines_get_room(machine: Make) -> None:
    made = machine()
    made.command_line("certmaster=cloud.example.org")
    assert made.run(pre(genome_root_gb=30, genome_swap_gb=2)).returncode == 0
    storage = made.file("tmp/genome-storage.ks")
    assert "--name=root --fstype=xfs --size=30720\n" in storage
    assert "--name=swap --size=2048\n" in storage
    assert "logvol /var/lib/libvirt/images --vgname=genome --name=machines" in storage


def test_disks_that_are_too_small_are_said_to_be(machine: Make) -> None:
    made = machine(bare=True)
    made.card("eth0", route=True)
    made.disk("sda", 8192)
    made.disk("sdb", 10240)
    made.command_line("certmaster=cloud.example.org")
    said = "a cloud minion needs 30720 MB, here are 18432 MB: sda (8192 MB) sdb (10240 MB)"
    assert refused(made, pre()) == f"the disks are too small: {said}"


def test_a_machine_without_disks_is_told_so(machine: Make) -> None:
    assert refused(machine(bare=True), pre()).startswith("no disk was found")


def test_a_disk_of_many_terabytes_is_reckoned_rightly_by_old_shells(machine: Make) -> None:
    made = machine("busybox", "F8", bare=True)
    made.disk("sda", 20 * 1024 * 1024)
    assert made.run(pre("F8")).returncode == 0
    assert "clearpart --all --initlabel --drives=sda\n" in made.file("tmp/genome-storage.ks")


def test_the_bridge_stands_on_the_card_that_leads_out(machine: Make) -> None:
    made = machine(bare=True)
    made.disk("sda", 102400)
    made.card("eno1")
    made.card("eno2", route=True)
    made.command_line("certmaster=cloud.example.org")
    assert made.run(pre()).returncode == 0
    assert "--bridgeslaves=eno2 " in made.file("tmp/genome-network.ks")


@pytest.mark.parametrize("words", ["", "certmaster=cloud.example.org"])
def test_an_interface_of_a_hostile_name_is_refused(machine: Make, words: str) -> None:
    made = machine(bare=True)
    made.disk("sda", 102400)
    made.card("a';reboot;'", route=True)
    made.command_line(words)
    assert refused(made, pre()) == "the name of the network interface cannot be written in a kickstart"


def test_else_on_the_first_card_with_a_link(machine: Make) -> None:
    made = machine(bare=True)
    made.disk("sda", 102400)
    made.card("eno1", carrier=False)
    made.card("eno2")
    made.card("eno3")
    made.card("lo", real=False)
    made.command_line("certmaster=cloud.example.org")
    assert made.run(pre()).returncode == 0
    assert "--bridgeslaves=eno2 " in made.file("tmp/genome-network.ks")


def test_a_minion_without_a_link_is_refused(machine: Make) -> None:
    made = machine(bare=True)
    made.disk("sda", 102400)
    made.card("eno1", carrier=False)
    made.command_line("certmaster=cloud.example.org")
    assert refused(made, pre()).startswith("no network interface has a link")


def test_a_minion_that_is_reached_over_a_bond_is_refused(machine: Make) -> None:
    made = machine(bare=True)
    made.disk("sda", 102400)
    made.card("bond0", route=True, real=False)
    made.command_line("certmaster=cloud.example.org")
    assert "through bond0" in refused(made, pre())


@pytest.mark.parametrize(("version", "there"), [("F42", True), ("RHEL9", True), ("RHEL10", False)])
def test_koan_is_installed_where_there_is_one(machine: Make, version: str, there: bool) -> None:
    made = machine(version=version)
    made.command_line("certmaster=cloud.example.org")
    assert made.run(pre(version)).returncode == 0
    assert ("koan" in made.file("tmp/genome-packages.ks").split()) is there


def test_more_packages_can_be_asked_for(machine: Make) -> None:
    made = machine(version="RHEL10")
    made.command_line("certmaster=cloud.example.org")
    assert made.run(pre("RHEL10", genome_packages="koan,tmux @tools")).returncode == 0
    assert made.file("tmp/genome-packages.ks").splitlines()[-3:] == ["koan", "tmux", "@tools"]
