"""Addresses of minions: the hosts file, then the DNS."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

import pytest

from func.errors import MinionUnreachable
from func.overlord.resolve import FRESH_S, Resolver, ask_dns


class Dns:
    """Answers from a table and counts how often it was asked."""

    def __init__(self, **names: list[str]) -> None:
        self.names = names
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[name]


def test_the_hosts_file_comes_before_the_dns_and_is_read_again(tmp_path: Path) -> None:
    hosts, dns = tmp_path / "hosts", Dns(b=["10.0.0.9"])
    hosts.write_text("# minions\n127.0.0.2\tCloud1.example.org a # the first\n::1 a\n")
    resolver = Resolver(hosts, dns)
    resolver.refresh()
    assert resolver.resolve("cloud1.EXAMPLE.org").result(0) == ["127.0.0.2"]
    assert resolver.resolve("a").result(0) == ["127.0.0.2", "::1"]
    hosts.write_text("127.0.0.3 cloud1.example.org\n")
    resolver.refresh()
    assert resolver.resolve("cloud1.example.org").result(0) == ["127.0.0.3"]
    assert dns.asked == []
    hosts.unlink()
    resolver.refresh()
    assert resolver.resolve("b").result(60) == ["10.0.0.9"]


def test_a_bad_line_is_logged_and_spoils_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"cloud1 127.0.0.1\n\xff\xfe\n127.0.0.2 cloud2\n")
    resolver = Resolver(hosts, Dns())
    with caplog.at_level(logging.WARNING):
        resolver.refresh()
    assert "hosts, line 1: 'cloud1' is no IP address" in caplog.text
    assert resolver.resolve("cloud2").result(0) == ["127.0.0.2"]


def test_an_address_needs_no_look_up(tmp_path: Path) -> None:
    assert Resolver(tmp_path / "none", Dns()).resolve("192.0.2.1").result(0) == ["192.0.2.1"]


def test_an_answer_is_used_for_a_while_and_a_failure_shortly(tmp_path: Path) -> None:
    now, dns = [0.0], Dns(a=["10.0.0.1"])
    resolver = Resolver(tmp_path / "none", dns, lambda: now[0])
    for _ in range(3):
        assert resolver.resolve("a").result(60) == ["10.0.0.1"]
        with pytest.raises(MinionUnreachable, match=r"\[Errno -2\] Name or service not known \(looking up x"):
            resolver.resolve("x").result(60)
    assert sorted(dns.asked) == ["a", "x"]
    now[0] = FRESH_S - 1
    with pytest.raises(MinionUnreachable):
        resolver.resolve("x").result(60)
    assert resolver.resolve("a").result(60)
    assert sorted(dns.asked) == ["a", "x", "x"]
    now[0] = FRESH_S + 1
    assert resolver.resolve("a").result(60)
    assert dns.asked.count("a") == 2


def test_many_names_are_looked_up_by_a_few_threads(tmp_path: Path) -> None:
    release = threading.Event()

    def slow(name: str) -> list[str]:
        release.wait(60)
        return ["10.0.0.1"]

    before = threading.active_count()
    resolver = Resolver(tmp_path / "none", slow)
    futures = [resolver.resolve(f"m{n % 100}") for n in range(200)]
    assert threading.active_count() - before <= 32
    assert len(set(map(id, futures))) == 100, "one look-up a name"
    release.set()
    assert all(future.result(60) == ["10.0.0.1"] for future in futures)


def test_the_system_resolver_knows_localhost() -> None:
    assert set(ask_dns("localhost")) <= {"127.0.0.1", "::1"}
