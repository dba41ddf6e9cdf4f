"""The INI files of certmaster and Func."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from certmaster import config
from certmaster.config import Setting
from certmaster.errors import ConfigError

SETTINGS = (
    Setting("port", 51235, "port", limits=(0, 65535)),
    Setting("timeout", 0.5, "seconds"),
    Setting("sign", False, "sign at once"),
    Setting("dir", Path("/etc/pki"), "a directory"),
    Setting("unset", Path(), "a file, or nothing"),
    Setting("modules", (), "a list"),
    Setting("log_level", "INFO", "how much", choices=config.LOG_LEVELS),
    Setting("name", "", "a name"),
)


def read(tmp_path: Path, text: str, root: Path = Path("/")) -> dict[str, object]:
    path = tmp_path / "x.conf"
    path.write_text(text)
    return config.read_main(path, SETTINGS, root)


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    read = config.load_certmaster_config(tmp_path)
    assert (read.listen_port, read.autosign, read.cert_extension) == (51235, False, "cert")
    assert read.certroot == tmp_path / "var/lib/certmaster/certs"
    minion = config.load_minion_config(tmp_path)
    assert (minion.certmaster, minion.certmaster_port) == ("localhost", 51235)
    assert minion.cert_dir == tmp_path / "etc/pki/certmaster"


def test_the_file_lies_below_the_root_unless_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc/certmaster").mkdir(parents=True)
    (tmp_path / "etc/certmaster/certmaster.conf").write_text("[main]\nlisten_port = 1\n")
    other = tmp_path / "other.conf"
    other.write_text("[main]\nlisten_port = 2\n")
    assert config.load_certmaster_config(tmp_path).listen_port == 1
    assert config.load_certmaster_config(tmp_path, other).listen_port == 2


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    text = "[main]\nport=1 ; of many\ntimeout=2\nsign=Yes\ndir=/srv/x\nmodules=a, b  c,d\n"
    text += "log_level=debug\nname=%h\n"
    assert read(tmp_path, text, Path("/root")) == {
        "port": 1, "timeout": 2.0, "sign": True, "dir": Path("/root/srv/x"), "unset": Path(),
        "modules": ("a", "b", "c", "d"), "log_level": "DEBUG", "name": "%h",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "value"),
    [("0", False), ("no", False), ("False", False), ("1", True), ("YES", True), ("true", True)],
)
def test_booleans_are_written_as_func_writes_them(tmp_path: Path, word: str, value: bool) -> None:
    assert read(tmp_path, f"[main]\nsign = {word}\n")["sign"] is value


def test_an_empty_path_stays_unset(tmp_path: Path) -> None:
    assert read(tmp_path, "[main]\ndir =\n", Path("/root"))["dir"] == Path()


def test_other_sections_and_unknown_keys_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert read(tmp_path, "[other]\nport = 1\n[main]\nprot = 2\n")["port"] == 51235
    assert "'prot'" in caplog.text


def test_a_key_that_looks_mistyped_is_told_with_the_one_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert read(tmp_path, "[main]\nprot = 2\nsgin = yes\n")["sign"] is False
    assert "'prot': ignored; is port meant?" in caplog.text
    assert "'sgin': ignored; is sign meant?" in caplog.text
    caplog.clear()
    read(tmp_path, "[main]\nport = 1\nprot = 2\npuppet_minions = yes\n")
    assert caplog.text == ""


@pytest.mark.parametrize("text", ["", "# nothing\n", "[DEFAULT]\nx = 1\n"])
def test_a_file_without_any_section_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text)["port"] == 51235


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff[main]\nport = 1\n")["port"] == 1


def test_the_last_of_several_lines_counts(tmp_path: Path) -> None:
    assert read(tmp_path, "[main]\nport = 1\nport = 2\n[main]\nname = x\n")["port"] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[main]\nport = many\n", "port = many: write a whole number"),
        ("[main]\nport = 65536\n", "write a number from 0 to 65535"),
        ("[main]\ntimeout = soon\n", "write a number"),
        ("[main]\nsign = perhaps\n", "sign = perhaps: write yes or no"),
        ("[main]\nlog_level = loud\n", "write one of DEBUG, INFO"),
        ("[Main]\nport = 1\n", "no section [main], only [Main]: its settings belong below [main]"),
        ("port = 1\n", "line 1: 'port = 1' stands before any section"),
        ("[main]\nport = 1\nnonsense\n", "line 3"),
    ],
)
def test_what_cannot_be_names_file_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "x.conf" in str(caught.value)


def test_a_file_that_cannot_be_read_is_no_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.read_main(tmp_path, SETTINGS, Path("/"))
    (tmp_path / "latin").write_bytes(b"[main]\nname = \xe4\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.read_main(tmp_path / "latin", SETTINGS, Path("/"))


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(config.ROOT_VARIABLE, raising=False)
    assert config.root() == Path("/")
    monkeypatch.setenv(config.ROOT_VARIABLE, "/srv/cloud")
    assert config.root() == Path("/srv/cloud")
    assert config.below(config.root(), Path("/etc/x")) == Path("/srv/cloud/etc/x")
    assert config.below(config.root(), Path("etc/x")) == Path("/srv/cloud/etc/x")
