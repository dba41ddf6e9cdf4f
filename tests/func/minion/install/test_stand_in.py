"""What virt-install is told in place of what koan says, and what is written down of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from func.minion.install import stand_in
from func.minion.install.stand_in import Order, Wrong, command_line, parse, virt_install

URI = "qemu+unix:///session?socket=/s"
UUID = "44444444-4444-4444-4444-444444444444"
KS = "http://cobbler.example.org/cblr/svc/op/ks/profile/F42"
TREE = "http://cobbler.example.org/cobbler/pub/tree/"
# As koan 3.0.1 says it.
KOAN = [
    "--connect", "qemu:///system", "--name", "web1.example.org", "--ram", "512", "--vcpus", "1",
    "--graphics", "vnc", "--virt-type", "kvm", "--machine", "pc", "--hvm", "--location", TREE,
    f"--extra-args=ks={KS} console=ttyS0 ", "--os-type", "linux",
    "--disk", "path=/dev/null,size=5,format=raw", "--network", "bridge=none",
    "--wait", "0", "--noautoconsole",
]  # fmt: skip


def an_order(**changes: Any) -> Order:
    values = {
        "uri": URI, "virt_install": "/usr/bin/virt-install", "qemu_img": "/usr/bin/qemu-img",
        "virt_type": "qemu", "uuid": UUID, "options": (("certmaster", "cloud.example.org"),),
    }  # fmt: skip
    return Order(**{**values, **changes})


def test_of_koans_words_only_what_is_booted_is_kept() -> None:
    assert virt_install(parse(KOAN), an_order()) == [
        f"--connect={URI}", f"--reinstall={UUID}", "--os-variant=generic", f"--location={TREE}",
        f"--extra-args=ks={KS} console=ttyS0 inst.ks={KS} certmaster=cloud.example.org",
        "--noautoconsole", "--noreboot",
    ]  # fmt: skip


def test_where_koan_decides_only_the_host_is_put_right() -> None:
    order = an_order(uuid=None, options=(), new_uuid=UUID)
    found = virt_install(parse([*KOAN, "--os-variant", "fedora42"]), order)
    assert found[:4] == [
        f"--connect={URI}",
        "--virt-type=qemu",
        "--osinfo=name=fedora42,detect=on,require=off",
        f"--uuid={UUID}",
    ]
    assert "--disk=path=/dev/null,size=5,format=raw" in found and "--ram=512" in found
    assert f"--extra-args=ks={KS} console=ttyS0 inst.ks={KS}" in found
    assert not [word for word in found if "qemu:///system" in word or "kvm" in word or "os-type" in word]


@pytest.mark.parametrize(("uri", "network"), [(URI, "user,mac=1"), ("qemu:///system", "bridge=br0,mac=1")])
def test_a_session_has_no_bridges(uri: str, network: str) -> None:
    found = virt_install(
        parse(["--name", "x", "--network", "bridge=br0,mac=1"]), an_order(uuid=None, uri=uri)
    )
    assert f"--network={network}" in found


def test_a_system_that_virt_install_has_no_name_for_is_looked_at() -> None:
    found = virt_install(parse([*KOAN, "--os-variant", "generic26"]), an_order(uuid=None))
    assert "--osinfo=detect=on,require=off" in found


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ("fedora8", False), ("fedora16", False), ("rhel5.2", False), ("centos6.0", False), ("fedora17", True),
        ("fedora42", True), ("rhel7.0", True), ("rhel10.0", True), ("generic26", True), ("", True),
    ],
)  # fmt: skip
def test_installers_of_today_are_told_of_the_kickstart_in_their_own_words(variant: str, told: bool) -> None:
    line = command_line({"--extra-args": f"ks={KS}", "--os-variant": variant}, ())
    assert line == (f"ks={KS} inst.ks={KS}" if told else f"ks={KS}")


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ("GenomeCloud-F8-i386", False), ("GenomeCloud-RHEL5U2-x86_64", False),
        ("GenomeCloud-F44-x86_64", True), ("GenomeCloud-RHEL10-x86_64", True), ("F8", True),
    ],
)  # fmt: skip
def test_the_name_of_our_profiles_tells_where_cobbler_does_not(profile: str, told: bool) -> None:
    line = command_line({"--extra-args": f"ks=http://c/{profile}"}, ())
    assert ("inst.ks=" in line) is told


def test_an_inst_ks_of_the_profile_stays_as_it_is() -> None:
    assert command_line({"--extra-args": f"ks={KS} inst.ks=hd:sda1"}, ()) == f"ks={KS} inst.ks=hd:sda1"


def test_our_options_take_the_place_of_the_profiles() -> None:
    ours = (("certmaster", "b"), ("genome_sshkey", "1"), ("genome_sshkey", "2"))
    line = command_line({"--extra-args": "certmaster=a genome_sshkey=0 quiet"}, ours)
    assert line == "quiet certmaster=b genome_sshkey=1 genome_sshkey=2"


def test_a_line_that_no_kernel_takes_is_refused() -> None:
    with pytest.raises(Wrong, match="are 2063 characters with the install tree, and .* takes 2047"):
        command_line({"--extra-args": "a" * 2050, "--location": "t/"}, ())


@pytest.mark.parametrize(("variant", "fits"), [("fedora8", False), ("rhel5.2", False), ("rhel6.0", True)])
def test_an_old_kernel_that_would_cut_ours_off_is_not_booted(variant: str, fits: bool) -> None:
    values = {"--extra-args": f"ks={KS}", "--location": TREE, "--os-variant": variant}
    ours = (("certmaster", "cloud.example.org"), ("genome_token", "T" * 43), ("genome_ca", "a" * 64))
    if fits:
        assert command_line(values, ours).endswith("a" * 64)
    else:
        with pytest.raises(Wrong, match="takes 255; give fewer"):
            command_line(values, ours)


@pytest.mark.parametrize("words", [["--pxe"], ["--import"]])
def test_a_profile_without_an_install_tree_is_refused(words: list[str]) -> None:
    with pytest.raises(Wrong, match="koan has no install tree"):
        virt_install(parse(["--name", "x", *words]), an_order())


@pytest.mark.parametrize("words", [["--cloud-init"], ["--name"], ["name"], ["--pxe=yes"], [""]])
def test_a_koan_that_says_something_else_is_not_guessed_at(words: list[str]) -> None:
    with pytest.raises(Wrong, match="known is koan 3.0"):
        parse(words)


# ------------------------------------------------------------------------------------- as koan meets it


class Folder:
    """A folder with an order in it, and programs that write down what they are told."""

    def __init__(self, path: Path, exit_code: int = 0) -> None:
        self.path = path
        self.told = path / "told"
        program = path / "program"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{self.told}\necho said\nexit {exit_code}\n')
        program.chmod(0o755)
        self.change()

    def change(self, **changes: Any) -> None:
        program = str(self.path / "program")
        order = an_order(virt_install=program, qemu_img=program, **changes)
        (self.path / stand_in.ORDER).write_text(json.dumps(order.__dict__))

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        bin_folder = Path(stand_in.__file__).parent / "bin"
        env = {
            "PATH": f"{bin_folder}:/usr/bin:/bin", stand_in.WORK: str(self.path),
            "FUNC_PYTHON": sys.executable, "FUNC_STAND_IN": stand_in.__file__,
        }  # fmt: skip
        return subprocess.run(
            [program, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
        )

    def has(self, name: str) -> str:
        return (self.path / name).read_text() if (self.path / name).exists() else ""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_path_leads_to_it_and_it_to_the_real_one(folder: Folder) -> None:
    done = folder.run("virt-install", *KOAN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "said\n", "")
    assert folder.told.read_text().splitlines() == virt_install(parse(KOAN), an_order())
    assert folder.has(stand_in.NAME) == folder.has(stand_in.STARTED) == "web1.example.org"


@pytest.mark.parametrize("words", [["--version"], ["--os-variant", "list"]])
def test_a_mere_question_is_passed_on(folder: Folder, words: list[str]) -> None:
    assert folder.run("virt-install", *words).stdout == "said\n"
    assert folder.told.read_text().splitlines() == words
    assert not folder.has(stand_in.NAME)


def test_one_that_failed_did_not_start_anything(tmp_path: Path) -> None:
    folder = Folder(tmp_path, exit_code=7)
    assert folder.run("virt-install", *KOAN).returncode == 7
    assert folder.has(stand_in.NAME) and not folder.has(stand_in.STARTED)


def test_what_is_wrong_is_said_as_virt_install_does(folder: Folder) -> None:
    done = folder.run("virt-install", "--name", "x", "--pxe")
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR    koan has no install tree")
    assert not folder.told.exists()


def test_a_disk_that_koan_makes_is_written_down_first(folder: Folder, tmp_path: Path) -> None:
    there = tmp_path / "there.img"
    there.touch()
    new = str(tmp_path / "new.img")
    for path in (new, str(there)):
        assert folder.run("qemu-img", "create", "-f", "raw", path, "5G").returncode == 0
    assert folder.has(stand_in.MADE).splitlines() == [new]
    assert folder.told.read_text().splitlines()[:4] == ["create", "-f", "raw", new]


@pytest.mark.parametrize(
    ("words", "code"), [((), 2), (("--import",), 0)], ids=["installed on", "there to be used"]
)
def test_a_disk_that_was_there_before_is_not_installed_on(
    folder: Folder, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    folder.change(uuid=None)
    disk = tmp_path / "web1-disk0"
    disk.touch()
    done = folder.run("virt-install", "--name", "web1", "--disk", f"path={disk},size=5,format=raw", *words)
    assert done.returncode == code
    assert (f"the disk {disk} is there already, and somebody's" in done.stderr) is (code == 2)
    assert folder.told.exists() is (code == 0)


def test_a_disk_that_koan_had_made_is_installed_on(folder: Folder, tmp_path: Path) -> None:
    folder.change(uuid=None)
    disk = tmp_path / "web1-disk0"
    assert folder.run("qemu-img", "create", "-f", "raw", str(disk), "5G").returncode == 0
    disk.touch()
    assert folder.run("virt-install", "--name", "web1", "--disk", f"path={disk},size=5").returncode == 0


def test_the_programs_that_stand_before_can_be_run() -> None:
    for path in (Path(stand_in.__file__).parent / "bin").iterdir():
        assert os.access(path, os.X_OK), path
