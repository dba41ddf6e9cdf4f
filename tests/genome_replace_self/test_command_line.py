"""The installer's kernel command line."""

from __future__ import annotations

import pytest
from genome_replace_self import command_line
from genome_replace_self.cobbler import Profile
from genome_replace_self.errors import CobblerFailed, Usage

URL = "http://cobbler.example.org/cblr/svc/op/ks/profile/P"


def profile(name: str = "P", os_version: str = "", arch: str = "x86_64") -> Profile:
    return Profile(name, "d", arch, os_version, "http://c/vmlinuz", "http://c/initrd.img", URL)


@pytest.mark.parametrize(
    ("name", "os_version", "legacy", "limit"),
    [
        ("GenomeCloud-F8-i386", "", True, 255),
        ("GenomeCloud-RHEL5U2-x86_64", "", True, 255),
        ("GenomeCloud-RHEL5U2-x86_64", "rhel5", True, 255),
        ("mine", "rhel5", True, 255),
        ("mine", "centos6", True, 2047),
        ("mine", "fedora16", True, 2047),
        ("mine", "fedora17", False, 2047),
        ("mine", "rhel7", False, 2047),
        ("GenomeCloud-F42-x86_64", "", False, 2047),
        ("GenomeCloud-RHEL10-x86_64", "rhel9", False, 2047),
        ("mine", "", False, 2047),
    ],
)
def test_old_installers_are_told_in_their_own_words(
    name: str, os_version: str, legacy: bool, limit: int
) -> None:
    made = profile(name, os_version)
    assert command_line.options(made, [], [], "")[0] == ("ks=" if legacy else "inst.ks=") + URL
    assert command_line.limit(made) == limit


def test_consoles_stay_and_the_machines_disks_do_not() -> None:
    running = "BOOT_IMAGE=/vmlinuz root=UUID=1 ro console=tty0 console=ttyS0,115200n8 console=$(x) quiet"
    made = command_line.options(profile(), [("certmaster", "cloud.example.org")], ["nomodeset"], running)
    assert made == [
        f"inst.ks={URL}", "console=tty0", "console=ttyS0,115200n8", "nomodeset",
        "certmaster=cloud.example.org",
    ]  # fmt: skip


def test_a_configured_console_takes_the_place_of_the_running_ones() -> None:
    assert command_line.options(profile(), [], ["console=hvc0"], "console=tty0")[1:] == ["console=hvc0"]


def test_a_command_line_that_would_be_cut_off_is_refused_with_what_is_long() -> None:
    old = profile("GenomeCloud-F8-i386")
    command_line.check_length(old, "x" * 255, [])
    with pytest.raises(Usage) as caught:
        command_line.check_length(old, "x" * 256, [("genome_ca", "0" * 64)])
    assert "keeps 255 characters" in str(caught.value) and "has 256; of these, metadata: genome_ca 74" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("machine", "arch"),
    [("x86_64", "x86_64"), ("x86_64", "i386"), ("x86_64", ""), ("i686", "i386"), ("aarch64", "aarch64")],
)
def test_a_profile_for_this_processor_is_taken(machine: str, arch: str) -> None:
    command_line.check_arch(profile(arch=arch), machine)


@pytest.mark.parametrize(
    ("machine", "arch"), [("x86_64", "aarch64"), ("i686", "x86_64"), ("aarch64", "x86_64")]
)
def test_a_profile_for_another_processor_is_refused(machine: str, arch: str) -> None:
    with pytest.raises(CobblerFailed, match=f"is for {arch}, and this machine is {machine}"):
        command_line.check_arch(profile(arch=arch), machine)
