"""Settings declared as classes of options, by the names third-party modules of Func import."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from certmaster.config import (
    BaseConfig,
    BoolOption,
    FloatOption,
    IntOption,
    ListOption,
    Option,
    read_config,
)
from certmaster.errors import ConfigError
from certmaster.options import SelectionOption


class Base(BaseConfig):
    name = Option("x")


class Config(Base):
    count = IntOption(3)
    share = FloatOption("0.5")
    on = BoolOption(True)
    words = ListOption(["a"])
    none = ListOption()
    kind = SelectionOption("big", ("big", "small"))
    other = 5  # no option


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "a.conf").write_text(text)
    return tmp_path / "a.conf"


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    config = read_config(tmp_path / "none.conf", Config)
    assert (config.name, config.count, config.on, config.words, config.none) == ("x", 3, True, ["a"], [])
    assert config.share == 0.5  # Func's own classes have defaults as texts
    assert list(config.iterkeys()) == ["count", "kind", "name", "none", "on", "share", "words"]
    assert config.isoption("name")
    assert not config.isoption("other")
    with pytest.raises(KeyError):
        config.optionobj("other")


def test_a_file_says_otherwise(tmp_path: Path) -> None:
    text = "[main]\ncount = 7\nshare = 1.5\non = No\nwords = a, b  c\nkind = small\nunknown = 1\n"
    config = read_config(str(written(tmp_path, text)), Config)
    assert (config.count, config.share, config.on, config.words) == (7, 1.5, False, ["a", "b", "c"])
    assert config.kind == "small"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    config = read_config(tmp_path / "none.conf", Config)
    config.words = ["p", "q"]
    config.on = "no"
    config.count = "12"
    stream = io.StringIO()
    config.write(stream)
    again = read_config(written(tmp_path, stream.getvalue()), Config)
    assert list(again.iteritems()) == list(config.iteritems())
    assert (again.words, again.on, again.count) == (["p", "q"], False, 12)


def test_two_of_a_class_share_nothing(tmp_path: Path) -> None:
    one, two = Config(), Config()
    one.words.append("more")
    one.count = 9
    assert (two.words, two.count) == (["a"], 3)


@pytest.mark.parametrize("line", ["count = many", "share = x", "on = maybe", "kind = huge"])
def test_a_wrong_value_is_named_with_its_file(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=f"a.conf: {line}: "):
        read_config(written(tmp_path, f"[main]\n{line}\n"), Config)
