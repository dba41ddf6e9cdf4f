"""Func's configuration files: defaults, what old files say, and what is wrong in them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from func.config import load_minion_config, load_overlord_config
from func.errors import ConfigError


def write(root: Path, name: str, text: str) -> Path:
    path = root / "etc/func" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[main]\n" + text)
    return path


def test_without_files_the_defaults_of_func_hold(tmp_path: Path) -> None:
    minion, overlord = load_minion_config(tmp_path), load_overlord_config(tmp_path)
    assert (minion.listen_port, minion.use_certmaster, minion.certmaster_overrides_acls) == (
        51234,
        True,
        True,
    )
    assert minion.acl_dir == tmp_path / "etc/func/minion-acl.d"
    assert (minion.ca_file, minion.cert_file, minion.key_file, minion.crl_location) == (None,) * 4
    assert (minion.module_list, minion.minion_name, minion.listen_addr) == ((), "", "")
    assert (overlord.listen_port, overlord.socket_timeout, overlord.backend) == (51234, 0, "conf")
    assert overlord.group_db == tmp_path / "etc/func/groups"
    assert overlord.hosts_file == tmp_path / "etc/func/hosts"
    assert (overlord.key_file, overlord.allow_unknown_minions) == (None, False)


def test_a_historic_file_is_read(tmp_path: Path) -> None:
    write(tmp_path, "minion.conf", """
# configuration for minions
log_level = DEBUG
acl_dir = /etc/func/minion-acl.d
listen_addr =
listen_port = '51234'
""".replace("'", ""))  # fmt: skip
    write(tmp_path, "overlord.conf", """socket_timeout = 2.5 ; seconds
allow_unknown_minions = yes
key_file =
group_db =
cert_file = /etc/pki/func/overlord.cert
nobody_knows = this
""")  # fmt: skip
    minion, overlord = load_minion_config(tmp_path), load_overlord_config(tmp_path)
    assert (minion.log_level, minion.listen_addr) == ("DEBUG", "")
    assert (overlord.socket_timeout, overlord.allow_unknown_minions, overlord.key_file) == (2.5, True, None)
    assert overlord.cert_file == tmp_path / "etc/pki/func/overlord.cert"
    assert overlord.group_db == tmp_path / "etc/func/groups"


def test_a_file_named_by_the_caller_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "elsewhere", "mine.conf", "listen_port = 4\nmodule_list = test, virt\n")
    config = load_minion_config(tmp_path, path)
    assert (config.listen_port, config.module_list) == (4, ("test", "virt"))
    assert config.root == tmp_path


@pytest.mark.parametrize(
    ("load", "name", "line"),
    [
        (load_minion_config, "minion.conf", "listen_port = many"),
        (load_minion_config, "minion.conf", "listen_port = 70000"),
        (load_minion_config, "minion.conf", "use_certmaster = perhaps"),
        (load_overlord_config, "overlord.conf", "socket_timeout = -1"),
        (load_overlord_config, "overlord.conf", "listen_port = 0"),
        (load_overlord_config, "overlord.conf", "log_level = LOUD"),
        (load_overlord_config, "overlord.conf", "backend = sqlite"),
    ],
)
def test_a_bad_value_is_named_with_its_file(
    tmp_path: Path, load: Callable[[Path], object], name: str, line: str
) -> None:
    path = write(tmp_path, name, line + "\n")
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert str(path) in str(error.value) and line in str(error.value)
