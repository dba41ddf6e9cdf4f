"""genome-register-profiles: what it decides, and what it refuses before it speaks to a server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from genome_register_profiles import cli
from genome_register_profiles.catalogue import Profile, choose, load_catalogue
from genome_register_profiles.deciding import changes, fields_of, find_distro
from genome_register_profiles.errors import Usage

from tests.kickstarts.rendering import FOLDER, SYSTEMS
from tests.ports import held_port

PROFILES = load_catalogue(FOLDER)
PROGRAM = FOLDER / "genome-register-profiles"


def profile(name: str) -> Profile:
    return next(each for each in PROFILES if each.name == name)


F8 = profile("GenomeCloud-F8-i386")
F42 = profile("GenomeCloud-F42-x86_64")


def distro(name: str, arch: str = "x86_64", os_version: str = "") -> dict[str, str]:
    return {"name": name, "arch": arch, "os_version": os_version}


def test_the_catalogue_has_the_profiles_of_2008_and_todays() -> None:
    names = {each.name for each in PROFILES}
    assert names >= {
        "GenomeCloud-F8-i386", "GenomeCloud-F8-x86_64",
        "GenomeCloud-RHEL5U2-i386", "GenomeCloud-RHEL5U2-x86_64",
        "GenomeCloud-F42-x86_64", "GenomeCloud-RHEL9-x86_64", "GenomeCloud-RHEL10-x86_64",
        "GenomeCloud-Rocky9-x86_64", "GenomeCloud-Alma10-x86_64",
    }  # fmt: skip
    assert len(names) == len(PROFILES)


@pytest.mark.parametrize("each", PROFILES, ids=lambda each: each.name)
def test_every_profile_is_whole(each: Profile) -> None:
    assert (FOLDER / each.kickstart).is_file()
    assert each.name.endswith(each.distro.arch)
    assert each.metadata["genome_system"] in {system for _, system in SYSTEMS.values()} | {"f43", "f44"}
    # What the hint tells people to import must be found afterwards.
    named = re.search(r"--name=(\S+)", each.distro.how)
    assert named is not None
    made = named[1] if "distro add" in each.distro.how else f"{named[1]}-{each.distro.arch}"
    assert find_distro(each, [distro(made, each.distro.arch, each.distro.os_version)], None) == (made, "")


FITTING = {
    ("GenomeCloud-F8-i386", "Fedora-8-i386"): True,
    ("GenomeCloud-F8-i386", "f8-i386"): True,
    ("GenomeCloud-F8-i386", "Fedora-38-i386"): False,
    ("GenomeCloud-F8-i386", "Fedora-80-i386"): False,
    ("GenomeCloud-F42-x86_64", "fedora42"): True,
    ("GenomeCloud-F42-x86_64", "fedora-42-x86_64"): True,
    ("GenomeCloud-F42-x86_64", "fedora-4-2"): False,
    ("GenomeCloud-RHEL5U2-x86_64", "RHEL-5.2-x86_64"): True,
    ("GenomeCloud-RHEL5U2-x86_64", "rhel5u2-x86_64"): True,
    ("GenomeCloud-RHEL5U2-x86_64", "RHEL-5.12-x86_64"): False,
    ("GenomeCloud-RHEL5U2-x86_64", "RHEL-5.4-x86_64"): False,
    ("GenomeCloud-RHEL9-x86_64", "RHEL-9.6-x86_64"): True,
    ("GenomeCloud-RHEL9-x86_64", "Rocky-9-x86_64"): False,
    ("GenomeCloud-RHEL10-x86_64", "RHEL-10-x86_64"): True,
    ("GenomeCloud-Rocky9-x86_64", "rocky9"): True,
    ("GenomeCloud-Alma9-x86_64", "AlmaLinux-9.6-x86_64"): True,
}


@pytest.mark.parametrize(("name", "found"), FITTING)
def test_a_distro_is_known_by_its_name(name: str, found: str) -> None:
    wanted = profile(name)
    chosen, why = find_distro(wanted, [distro(found, wanted.distro.arch)], None)
    assert (chosen == found) is FITTING[name, found]
    assert bool(why) is not FITTING[name, found]


def test_a_distro_of_another_system_or_architecture_is_not_taken() -> None:
    assert (
        find_distro(F42, [distro("Fedora-42", os_version="fedora35"), distro("F42", "aarch64")], None)[0]
        == ""
    )


def test_without_a_distro_it_says_how_to_import_one() -> None:
    why = find_distro(F8, [], None)[1]
    assert "cobbler import --name=Fedora-8 --arch=i386" in why
    assert "--distro GenomeCloud-F8-i386=DISTRO" in why


def test_two_distros_that_fit_are_named() -> None:
    why = find_distro(F42, [distro("f42-a"), distro("Fedora-42-b")], None)[1]
    assert "Fedora-42-b, f42-a" in why and "--distro" in why


def test_a_distro_that_was_asked_for_must_be_there_and_of_the_architecture() -> None:
    there = [distro("mine"), distro("small", "i386")]
    assert find_distro(F42, there, "mine") == ("mine", "")
    assert find_distro(F42, there, "none") == ("", "cobbler has no distro none; it has mine, small")
    assert find_distro(F42, there, "small") == ("", "the distro small is for i386, the profile for x86_64")


def test_what_an_administrator_has_set_stays() -> None:
    there = {
        "distro": "other", "autoinstall": "/genome-cloud-legacy.ks", "virt_ram": 8192,
        "autoinstall_meta": {"genome_system": "f9", "root_password_hash": "x"},
        "kernel_options": {"ksdevice": "eth1"},
    }  # fmt: skip
    assert changes(F8, there, None) == {}


def test_what_is_missing_is_added_to_what_is_there() -> None:
    there = {**fields_of(F8, "d"), "autoinstall": "/sample.ks", "autoinstall_meta": {"a": "b"}}
    assert changes(F8, there, "d") == {
        "autoinstall": "/genome-cloud-legacy.ks",
        "autoinstall_meta": {"a": "b", "genome_system": "f8"},
    }
    inherited = {**there, "autoinstall_meta": "<<inherit>>"}
    assert changes(F8, inherited, "e")["distro"] == "e"
    assert changes(F8, inherited, None)["autoinstall_meta"] == {"genome_system": "f8"}


def test_profiles_are_chosen_by_name_or_glob() -> None:
    assert [each.name for each in choose(PROFILES, ["*-F8-*"])] == [
        "GenomeCloud-F8-i386",
        "GenomeCloud-F8-x86_64",
    ]
    assert choose(PROFILES, []) == PROFILES
    with pytest.raises(Usage, match="no profile GenomeCloud-F7"):
        choose(PROFILES, ["GenomeCloud-F42-x86_64", "GenomeCloud-F7"])


URLS = {
    "cobbler.example.org": "http://cobbler.example.org/cobbler_api",
    "cobbler.example.org:8080": "http://cobbler.example.org:8080/cobbler_api",
    "https://cobbler.example.org": "https://cobbler.example.org/cobbler_api",
    "https://cobbler.example.org/": "https://cobbler.example.org/cobbler_api",
    "http://a/other_api": "http://a/other_api",
}


@pytest.mark.parametrize("server", URLS)
def test_the_servers_address(server: str) -> None:
    assert cli.url_of(server) == URLS[server]


@pytest.mark.parametrize("server", ["", "ftp://a", "http://", "a:b", "http://user:word@a", "http://a/?x"])
def test_an_address_that_is_none_is_refused(server: str) -> None:
    with pytest.raises(Usage, match="--server"):
        cli.url_of(server)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What it says when it ends with 2."""
    try:
        code = cli.main([*argv])
    except SystemExit as exc:
        code = int(exc.code or 0)
    assert code == 2
    return capsys.readouterr().err


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("\n")
    known = ("--server", "127.0.0.1:1", "--user", "u", "--password-file", str(secret))
    assert "--server" in refused(capsys)
    assert "no profile x" in refused(capsys, *known, "x")
    assert "first line is empty" in refused(capsys, *known)
    assert "write PROFILE=DISTRO" in refused(capsys, *known, "--distro", "x")
    assert "not among the profiles" in refused(capsys, *known, "--distro", "x=y")
    assert "No such file" in refused(capsys, *known[:-1], str(tmp_path / "none"))
    assert "--templates" in refused(capsys, *known, "--templates", str(tmp_path))
    (tmp_path / "profiles.json").write_text('[{"name": "x"}]')
    assert "is no catalogue of profiles" in refused(capsys, *known, "--templates", str(tmp_path))


def test_without_a_terminal_a_password_file_is_needed() -> None:
    argv = [sys.executable, PROGRAM, "--server", "a", "--user", "u"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--password-file" in done.stderr


def test_a_server_that_does_not_answer_ends_with_4(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("word\n")
    with held_port() as port:
        argv = ["--server", f"127.0.0.1:{port}", "--user", "u", "--password-file", str(tmp_path / "password")]
        assert cli.main(argv) == 4
    assert f"http://127.0.0.1:{port}/cobbler_api does not answer" in capsys.readouterr().err


def test_the_catalogue_is_plain_json() -> None:
    assert len(json.loads((FOLDER / "profiles.json").read_text())) == len(PROFILES)
