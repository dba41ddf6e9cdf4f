"""The settings: what is read, what is refused and in which words, and the page that documents them."""

from __future__ import annotations

import os
import socket
from dataclasses import fields
from pathlib import Path

import pytest

from cloudmasterd.cobbler import Address
from cloudmasterd.config import SETTINGS, Config, documentation, load_config, shown_settings
from cloudmasterd.errors import ConfigError
from cloudmasterd.flavors import Flavor
from cloudmasterd.placement import Policy
from cloudmasterd.rights import Role

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        file = tmp_path / "cloudmasterd.conf"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        return file

    return write


def complaint(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return str(caught.value)


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    config = load_config(root=tmp_path)
    assert (config.listen_addr, config.listen_port) == ("127.0.0.1", 8107)
    assert (config.poll_interval_s, config.minion_timeout_s, config.breaker_max_interval_s) == (15, 10, 300)
    assert (config.reserve_memory_min_mb, config.reserve_memory_percent, config.machine_overhead_mb) == (
        1024,
        5,
        128,
    )
    assert config.placement_policy is Policy.MOST_FREE_MEMORY
    assert [flavor.name for flavor in config.flavors] == ["tiny", "small", "medium", "large"]
    assert (config.tasks_per_cloud, config.task_patience_s, config.shutdown_timeout_s) == (4, 600, 120)
    assert (config.behind_proxy, config.proxy_addr) == (False, ("127.0.0.1", "::1"))
    assert (config.proxy_secret_file, config.remote_user_role) == (None, None)
    assert (config.session_idle_s, config.session_max_s) == (3600, 43200)
    assert config.log_level == "INFO"


def test_the_name_is_the_host_name_where_none_is_given(tmp_path: Path) -> None:
    assert load_config(root=tmp_path).name == socket.gethostname()


def test_every_setting_is_a_field_of_the_config_and_the_other_way_round() -> None:
    assert [setting.key for setting in SETTINGS] == [field.name for field in fields(Config)]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.key)
def test_a_default_would_be_accepted_from_a_file(setting) -> None:
    assert setting.parse(setting.show(setting.default)) == setting.default


def test_a_file_is_read(write) -> None:
    text = "\ufeff# head\n[main]\nlisten_port = 80 ; as before\n  name=a = b\n;x\nlog_level = debug\r\n"
    config = load_config(write(text))
    assert (config.listen_port, config.name, config.log_level) == (80, "a = b", "DEBUG")


def test_policy_and_flavors_are_read_in_the_order_given(write) -> None:
    config = load_config(write("[main]\nplacement_policy = Pack\nflavors = xl = 16384:8:160 ,s=1024:1:10\n"))
    assert config.placement_policy is Policy.PACK
    assert config.flavors == (Flavor("xl", 16384, 8, 160), Flavor("s", 1024, 1, 10))


def test_a_cloud_may_do_without_flavors(write) -> None:
    assert load_config(write("[main]\nflavors =\n")).flavors == ()


def test_the_default_file_lies_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "etc/cloudmasterd").mkdir(parents=True)
    (tmp_path / "etc/cloudmasterd/cloudmasterd.conf").write_text("[main]\nlisten_port = 99\n")
    assert load_config(root=tmp_path).listen_port == 99


def test_paths_lie_below_the_root_whether_configured_or_not(write, tmp_path: Path) -> None:
    config = load_config(write("[main]\nfunc_root = /func\n"), tmp_path / "r")
    assert config.func_root == tmp_path / "r/func"
    assert config.database == tmp_path / "r/var/lib/cloudmasterd/cloudmasterd.db"


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    assert (
        complaint(tmp_path / "no.conf")
        == f"{tmp_path}/no.conf: there is no such file; name one that is there with --config"
    )


def test_a_directory_in_place_of_the_file_is_an_error_with_the_reason(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"{tmp_path} cannot be read: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_says_why(write) -> None:
    file = write("[main]\n")
    file.chmod(0)
    assert complaint(file) == f"{file} cannot be read: Permission denied"


def test_a_file_that_is_not_utf8_says_where(write) -> None:
    assert complaint(write("[main]\nname = \udcff\n")).endswith("is not text in UTF-8: byte 15 is wrong")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[main]\n\nlisten_prot = 1\n", 3, "unknown key 'listen_prot': did you mean listen_port?"),
        ("[main]\nListen-Port = 1\n", 2, "unknown key 'Listen-Port': did you mean listen_port?"),
        ("[main]\ncolour = red\n", 2, "unknown key 'colour': the keys are listen_addr, listen_port, "),
        ("[main]\nlisten_port = 1\n# x\nlisten_port = 1\n", 4, "listen_port is set already, in line 2"),
        ("[main]\nlisten_port\n", 2, "'listen_port' has no '=': write key = value"),
        ("listen_port = 1\n", 1, "listen_port stands above any section: write [main] before it"),
        ("[main]\n[other]\n", 2, "unknown section '[other]': every setting stands in [main]"),
        ("[main]\nlisten_port = 0\n", 2, "listen_port = '0' is not right: give a whole number from 1"),
        ("[main]\nlisten_port = 8_1\n", 2, "give a whole number from 1 to 65535"),
        ("[main]\npoll_interval_s = 1.5\n", 2, "poll_interval_s = '1.5' is not right"),
        ("[main]\npoll_interval_s =\n", 2, "poll_interval_s = '' is not right"),
        ("[main]\nreserve_memory_percent = 101\n", 2, "a whole number from 0 to 100"),
        ("[main]\nlog_level = LOUD\n", 2, "give one of DEBUG, INFO, WARNING, ERROR"),
        ("[main]\nlisten_addr = 1.2.3.4.5\n", 2, "give an IP address such as 127.0.0.1"),
        ("[main]\ndatabase = db.sqlite\n", 2, "database = 'db.sqlite' is not right: give an absolute path"),
        ("[main]\nplacement_policy = full\n", 2, "give one of most-free-memory, pack, spread"),
        ("[main]\nflavors = small\n", 2, "e.g. small=2048:1:20; 'small' has no '='"),
        ("[main]\nflavors = Small=2048:1:20\n", 2, "'Small' is no name: at most 32 of a-z, 0-9"),
        ("[main]\nflavors = s=2048:1\n", 2, "'s' has 2 numbers, not 3"),
        ("[main]\nflavors = s=2048:1:20,\n", 2, "'' has no '='"),
        ("[main]\nflavors = s=63:1:20\n", 2, "from 64 to 16777216 for memory_mb of 's', not '63'"),
        ("[main]\nflavors = s=64:1.5:20\n", 2, "a whole number from 1 to 1024 for vcpus of 's', not '1.5'"),
        ("[main]\nflavors = s=64:1:0\n", 2, "a whole number from 1 to 65536 for disk_gb of 's', not '0'"),
        ("[main]\nflavors = s=64:1:1, s=65:1:1\n", 2, "give each name once; 's' stands there 2 times"),
        ("[main]\nflavors = " + ",".join(f"f{n}=64:1:1" for n in range(51)) + "\n", 2, "at most 50 of them"),
        ("[main]\ntasks_per_cloud = 0\n", 2, "a whole number from 1 to 64"),
        ("[main]\ntask_patience_s = 1\n", 2, "a whole number from 10 to 86400"),
        ("[main]\nshutdown_timeout_s = 1\n", 2, "a whole number from 5 to 3600"),
        ("[main]\nbehind_proxy = maybe\n", 2, "behind_proxy = 'maybe' is not right: give yes or no"),
        ("[main]\nproxy_addr = proxy.example.org\n", 2, "IP addresses joined with commas, such as 127.0.0.1"),
        ("[main]\nproxy_addr =\n", 2, "IP addresses joined with commas"),
        ("[main]\nproxy_addr = 10.0.0.0/8\n", 2, "IP addresses joined with commas"),
        ("[main]\nproxy_secret_file = secret\n", 2, "give an absolute path"),
        ("[main]\nremote_user_role = admin\n", 2, "give one of none, viewer, operator"),
        ("[main]\nsession_idle_s = 0\n", 2, "a whole number from 1 to 86400"),
        ("[main]\nname = " + "x" * 101 + "\n", 2, "at most 100 printable characters"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_would_be_right(
    write, text: str, line: int, words: str
) -> None:
    file = write(text)
    told = complaint(file)
    assert told.startswith(f"{file}:{line}: ")
    assert words in told
    assert "\n" not in told


def test_the_breaker_cannot_be_faster_than_the_interval(write) -> None:
    told = complaint(write("[main]\npoll_interval_s = 60\nbreaker_max_interval_s = 30\n"))
    assert "breaker_max_interval_s = 30 is less than poll_interval_s = 60" in told


def test_a_session_cannot_be_idle_for_longer_than_it_lasts(write) -> None:
    told = complaint(write("[main]\nsession_max_s = 600\n"))
    assert "session_max_s = 600 is less than session_idle_s = 3600" in told


def test_a_cloud_behind_a_proxy_that_signs_people_in(write, tmp_path: Path) -> None:
    text = (
        "[main]\nbehind_proxy = Yes\nproxy_addr = 192.0.2.1, 2001:DB8:0::1\n"
        "proxy_secret_file = /etc/cloudmasterd/proxy-secret\nremote_user_role = Viewer\n"
    )
    config = load_config(write(text), tmp_path)
    assert config.behind_proxy
    assert config.proxy_addr == ("192.0.2.1", "2001:db8::1")
    assert config.proxy_secret_file == tmp_path / "etc/cloudmasterd/proxy-secret"
    assert config.remote_user_role is Role.VIEWER
    assert load_config(write(shown_settings(config))) == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "proxy_secret_file = /s\n",
            "proxy_secret_file is set and behind_proxy is not: set behind_proxy = yes",
        ),
        ("behind_proxy = yes\nremote_user_role = viewer\n", "= viewer needs proxy_secret_file"),
    ],
)
def test_a_setting_that_would_have_no_effect_is_an_error(write, text: str, words: str) -> None:
    assert words in complaint(write("[main]\n" + text))


@pytest.mark.parametrize("address", ["0.0.0.0", "::1", "cloud.example.org", "localhost"])
def test_addresses_and_host_names_are_accepted(write, address: str) -> None:
    assert load_config(write(f"[main]\nlisten_addr = {address}\n")).listen_addr == address


def test_the_shown_settings_are_a_file_that_gives_them_again(write, tmp_path: Path) -> None:
    config = load_config(write("[main]\nname = Küche\nlisten_port = 9000\n"), tmp_path)
    assert load_config(write(shown_settings(config))) == config


def test_the_documentation_is_up_to_date() -> None:
    committed = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
    assert committed == documentation(), "run: cloudmasterd --list-settings > docs/configuration.md"


def test_a_cobbler_server_is_named_by_host_or_address(write) -> None:
    assert load_config(write("[main]\ncobbler_server = cobbler.example.org\n")).cobbler_server == Address(
        "cobbler.example.org", 80
    )
    assert load_config(write("[main]\ncobbler_server = https://cobbler\n")).cobbler_server == Address(
        "cobbler", 443, True
    )
    assert load_config(write("[main]\ncobbler_server =\n")).cobbler_server is None
    assert "a host name such as cobbler.example.org" in complaint(write("[main]\ncobbler_server = a b\n"))
