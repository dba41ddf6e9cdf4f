"""How people get in is checked: what could be read on the way, or by whom it should not be."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from cloudmasterd.config import Config, load_config
from cloudmasterd.control.check_door import check_door
from cloudmasterd.control.findings import Finding, Level
from cloudmasterd.first import FirstPassword

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """As the packages have it: on the loopback, behind Apache on the same machine."""
    there = replace(load_config(root=tmp_path), behind_proxy=True)
    there.database.parent.mkdir(parents=True)
    return there


@pytest.fixture
def leave_password(config: Config) -> Callable[..., Path]:
    def leave(age: timedelta) -> Path:
        file = FirstPassword(config.database)
        file.write("abcde-fghij-kmnop-qrstu")
        os.utime(file.path, ((NOW - age).timestamp(),) * 2)
        return file.path

    return leave


def found(config: Config) -> Finding:
    (finding,) = check_door(config, NOW)
    return finding


def test_the_packaged_way_is_well(config: Config) -> None:
    assert found(config).level is Level.OK


@pytest.mark.parametrize(
    ("changes", "seen", "remedy"),
    [
        ({"behind_proxy": False}, "everybody comes from this machine", "behind_proxy = yes"),
        (
            {"behind_proxy": False, "listen_addr": "192.0.2.1"},
            "listens on 192.0.2.1 port 8107 in plain HTTP: from other machines nobody can sign in",
            "a web server in front that speaks TLS",
        ),
        ({"listen_addr": "0.0.0.0"}, "passes by the web server in front", "listen_addr = 127.0.0.1"),
        ({"listen_addr": "cloud.example.org"}, "passes by the web server", "listen_addr = 127.0.0.1"),
    ],
)
def test_an_address_that_is_reached_past_the_web_server_is_found(
    config: Config, changes: dict[str, object], seen: str, remedy: str
) -> None:
    finding = found(replace(config, **changes))
    assert finding.level is Level.WARN
    assert seen in finding.seen and remedy in finding.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"listen_addr": "0.0.0.0", "proxy_addr": ("192.0.2.7",)},
        {"behind_proxy": False, "public_url": "http://127.0.0.1:8107/"},
        {"listen_addr": "::1"},
        {"listen_addr": "localhost"},
    ],
    ids=["a web server on another machine", "no web server", "IPv6", "by name"],
)
def test_other_ways_that_are_well(config: Config, changes: dict[str, object]) -> None:
    assert found(replace(config, **changes)).level is Level.OK


@pytest.mark.parametrize(("mode", "text"), [(0o644, SECRET), (0o600, "short"), (0o600, "")])
def test_a_secret_that_is_none_is_found_and_not_shown(
    config: Config, tmp_path: Path, mode: int, text: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    file.chmod(mode)
    finding = found(replace(config, proxy_secret_file=file))
    assert finding.level is Level.FAULT and str(file) in finding.seen
    assert not text or text not in finding.seen + finding.remedy


def test_a_secret_of_the_daemons_own_is_well(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0o640)
    assert found(replace(config, proxy_secret_file=file)).level is Level.OK


def test_a_first_password_may_stand_for_a_week(config: Config, leave_password: Callable[..., Path]) -> None:
    leave_password(timedelta(days=6))
    assert found(config).level is Level.OK


def test_a_first_password_that_nobody_changed_is_found(
    config: Config, leave_password: Callable[..., Path]
) -> None:
    file = leave_password(timedelta(days=8))
    finding = found(config)
    assert finding.level is Level.WARN
    assert finding.seen == f"the first password of admin stands in {file} since 8 days, unchanged"
    assert "change it" in finding.remedy
