"""The SELinux policy, compiled as the packages have it compiled."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cloudmasterd.settings import SETTINGS
from func.config import MINION_SETTINGS

SOURCE = Path(__file__).resolve().parents[2] / "packaging/selinux"
MAKEFILE = Path("/usr/share/selinux/devel/Makefile")
# The program that semodule has translate a module when it loads it.
TRANSLATORS = ("/usr/libexec/selinux/hll/pp", "/usr/lib/selinux/hll/pp")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The compiled module, in the language that the store of policies has it in."""
    translator = next((one for one in TRANSLATORS if Path(one).exists()), None)
    if not MAKEFILE.exists() or translator is None:
        pytest.skip("needs SELinux's headers: make setup-rpm installs them")
    folder = tmp_path_factory.mktemp("selinux") / "source"
    shutil.copytree(SOURCE, folder)
    make = ["make", "-C", str(folder), "-f", str(MAKEFILE), "NAME=targeted", "cloudmasterd.pp"]
    done = subprocess.run(make, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout.lower()
    command = [translator, str(folder / "cloudmasterd.pp")]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_apache_may_connect_to_the_cloud_master_and_nothing_else_is_allowed_to_it(policy: str) -> None:
    allowed = re.findall(r"\(allow httpd_t .*\)", policy)
    assert allowed == ["(allow httpd_t cloudmasterd_port_t (tcp_socket (name_connect)))"]


def test_no_domain_is_made_permissive_but_the_one_written_for_another_certmaster(policy: str) -> None:
    assert re.findall(r"\(typepermissive (\w+)\)", policy) == ["certmaster_t"]


def test_the_ports_are_those_of_the_settings_and_their_names_are_declared(policy: str) -> None:
    ports = dict(
        re.findall(
            r"^\(portcon tcp (\d+) \(system_u object_r (\w+) \(\(s0\) \(s0\)\)\)\)$",
            (SOURCE / "cloudmasterd-ports.cil").read_text(),
            re.MULTILINE,
        )
    )
    master = next(str(one.default) for one in SETTINGS if one.key == "listen_port")
    minion = next(str(one.default) for one in MINION_SETTINGS if one.key == "listen_port")
    assert ports == {master: "cloudmasterd_port_t", minion: "func_port_t"}
    for name in ports.values():
        assert f"(type {name})" in policy
        assert re.search(rf"\(typeattributeset port_type \([^)]*\b{name}\b", policy)
