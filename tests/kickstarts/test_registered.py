"""genome-register-profiles and a real cobbler server: register, again, render, and around its cache."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cobbler.bench import PASSWORD, USER, Bench, Unavailable
from tests.kickstarts.installer import Installer
from tests.kickstarts.rendering import FOLDER, complaints, resolve, scripts
from tests.kickstarts.test_pre import MINION, SHELL_OF

pytestmark = pytest.mark.integration

DISTROS = {
    "Fedora-8-i386": "i386",
    "RHEL-5.2-x86_64": "x86_64",
    "Fedora-42-x86_64": "x86_64",
    "RHEL-9-x86_64": "x86_64",
}
REGISTERED = {
    "GenomeCloud-F8-i386": "F8", "GenomeCloud-RHEL5U2-x86_64": "RHEL5", "GenomeCloud-F42-x86_64": "F42",
    "GenomeCloud-RHEL9-x86_64": "RHEL9",
}  # fmt: skip
F42 = "GenomeCloud-F42-x86_64"


@pytest.fixture(scope="module")
def cobbler() -> Iterator[Bench]:
    try:
        with Bench() as bench:
            for name, arch in DISTROS.items():
                tree = {
                    "autoinstall_meta": {"tree": f"http://@@http_server@@/cblr/links/{name}"},
                    "arch": arch,
                }
                bench.register(name, distro=tree)
            yield bench
    except Unavailable as exc:
        pytest.skip(str(exc))


Register = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def register(cobbler: Bench, tmp_path: Path) -> Register:
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")

    def run(*arguments: str, password: Path = secret) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, FOLDER / "genome-register-profiles", "--server", cobbler.url, "--user", USER]
        return subprocess.run(
            [*map(str, argv), "--password-file", str(password), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    return run


@pytest.fixture
def registered(register: Register) -> None:
    done = register()
    assert done.returncode == 0, done.stderr + done.stdout


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in json.loads(done.stdout)["outcomes"]}


def test_a_first_run_creates_and_a_second_has_nothing_to_do(cobbler: Bench, register: Register) -> None:
    before = cobbler.call("last_modified_time")
    dry = register("--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert f"profile {F42}: would be created, of the distro Fedora-42-x86_64\n" in dry.stdout
    assert cobbler.call("last_modified_time") == before
    assert not cobbler.call("has_item", "profile", F42)
    assert "genome-cloud.ks" not in cobbler.call("get_autoinstall_templates", cobbler.token())

    first = register("--json")
    assert first.returncode == 0, first.stderr
    made = outcomes(first)
    assert {name for name, state in made.items() if state == "created"} == {
        *REGISTERED, "genome-cloud.ks", "genome-cloud-legacy.ks",
    }  # fmt: skip
    assert made["GenomeCloud-Rocky9-x86_64"] == "skipped"

    after = cobbler.call("last_modified_time")
    second = register()
    assert second.returncode == 0
    assert second.stdout.endswith("nothing to do\n")
    assert "created" not in second.stdout and "updated" not in second.stdout
    assert cobbler.call("last_modified_time") == after


def test_the_password_is_in_nothing_that_is_said(register: Register) -> None:
    done = register("--json")
    assert f'"{PASSWORD}"' not in done.stdout
    assert "unencrypted" not in done.stderr  # it speaks to this machine


@pytest.mark.parametrize("role", ["master", "minion"])
@pytest.mark.parametrize("name", REGISTERED)
def test_what_cobbler_renders_is_a_valid_kickstart(
    cobbler: Bench, registered: None, machine: Callable[..., Installer], name: str, role: str
) -> None:
    version = REGISTERED[name]
    kickstart = cobbler.get(f"/cblr/svc/op/autoinstall/profile/{name}").text
    assert "url --url=http://cobbler.example.org/cblr/links/" in kickstart
    made = machine(SHELL_OF.get(version, "bash"), version)
    made.command_line(MINION if role == "minion" else "")
    done = made.run(scripts(version, kickstart)["pre"])
    assert done.returncode == 0, done.stdout
    assert complaints(version, resolve(kickstart, made.root / "tmp"), made.root) == ""
    assert "http://cobbler.example.org/cobbler/repo_mirror/" in made.file("tmp/genome-role.ks")


@pytest.mark.parametrize("name", REGISTERED)
def test_koan_gets_to_see_the_kickstart_and_its_tree(cobbler: Bench, registered: None, name: str) -> None:
    done = cobbler.run([cobbler.koan, "--display", f"--server={cobbler.server}", f"--profile={name}"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"autoinst  : http://cobbler.example.org/cblr/svc/op/ks/profile/{name}\n" in done.stdout
    assert "install_tree: http://cobbler.example.org/cblr/links/" in done.stdout


def modify(cobbler: Bench, name: str, **fields: object) -> None:
    token = cobbler.token()
    handle = cobbler.call("get_profile_handle", name, token)
    for key, value in fields.items():
        cobbler.call("modify_profile", handle, key, value, token)
    cobbler.call("save_profile", handle, token)


def test_a_profile_that_cobblers_cache_lost_the_kickstart_of_is_refreshed(
    cobbler: Bench, registered: None, register: Register
) -> None:
    modify(cobbler, F42, comment="saved by hand")
    assert not cobbler.call("get_profile_as_rendered", F42).get("kickstart"), "cobbler no longer has the bug"
    done = register(F42)
    assert (done.returncode, done.stdout) == (0, f"profile {F42}: refreshed\n")
    assert cobbler.call("get_profile_as_rendered", F42)["kickstart"]


def test_an_administrators_settings_stay_and_a_template_comes_back(
    cobbler: Bench, registered: None, register: Register
) -> None:
    name = "GenomeCloud-F8-i386"
    modify(
        cobbler,
        name,
        virt_ram=3333,
        autoinstall_meta={"root_password_hash": "$1$a$b"},
        autoinstall="/sample.ks",
    )
    cobbler.call("write_autoinstall_template", "genome-cloud-legacy.ks", "# lost\n", cobbler.token())
    done = register(name)
    assert done.returncode == 0, done.stderr
    assert "template genome-cloud-legacy.ks: updated\n" in done.stdout
    assert f"profile {name}: updated, autoinstall, autoinstall_meta\n" in done.stdout
    found = cobbler.call("get_profile", name)
    assert found["virt_ram"] == 3333
    assert found["autoinstall_meta"] == {"root_password_hash": "$1$a$b", "genome_system": "f8"}
    assert register(name).stdout == "nothing to do\n"
    modify(cobbler, name, autoinstall_meta={"genome_system": "f8"})


def test_a_distro_can_be_named(cobbler: Bench, registered: None, register: Register) -> None:
    rocky = "GenomeCloud-Rocky9-x86_64"
    assert register(rocky, "--distro", f"{rocky}=none").returncode == 1
    done = register(rocky, "--distro", f"{rocky}=RHEL-9-x86_64")
    assert done.returncode == 0, done.stderr
    assert cobbler.call("get_profile", rocky)["distro"] == "RHEL-9-x86_64"
    cobbler.call("remove_profile", rocky, cobbler.token())


def test_a_profile_asked_for_by_name_without_its_distro_is_a_failure(
    registered: None, register: Register
) -> None:
    done = register("GenomeCloud-Alma10-x86_64")
    assert done.returncode == 1
    assert "cobbler distro add --name=AlmaLinux-10-x86_64" in done.stdout


def test_a_kickstart_that_does_not_render_is_a_failure(
    cobbler: Bench, registered: None, register: Register, tmp_path: Path
) -> None:
    for file in ("profiles.json", "genome-cloud.ks"):
        (tmp_path / file).write_text((FOLDER / file).read_text())
    (tmp_path / "genome-cloud.ks").write_text("#if broken\n")
    done = register(F42, "--templates", str(tmp_path))
    assert done.returncode == 1
    assert f"profile {F42}: failed" in done.stdout
    assert register(F42).returncode == 0


def test_a_wrong_password_ends_with_4(register: Register, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong\n")
    done = register(password=tmp_path / "wrong")
    assert done.returncode == 4
    assert "does not take this password of cobbler" in done.stderr


def test_another_server_than_cobbler_ends_with_4(cobbler: Bench, register: Register) -> None:
    done = register("--server", f"{cobbler.url}/elsewhere")
    assert done.returncode == 4
    assert "is no cobbler server" in done.stderr
