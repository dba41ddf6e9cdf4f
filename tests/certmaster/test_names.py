"""Which names are names, and how a minion finds its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from certmaster.errors import BadRequest, ConfigError
from certmaster.names import authority_name, check_host_name, find_minion_name


@dataclass(frozen=True)
class FakeNetwork:
    route: str = ""
    names: dict[str, str] = field(default_factory=dict)
    own: str = "localhost"

    def address_towards(self, host: str, port: int) -> str:
        assert (host, port) == ("certmaster", 51235)
        return self.route

    def reverse(self, address: str) -> str:
        return self.names.get(address, "")

    def host_name(self) -> str:
        return self.own


def find(network: FakeNetwork, minion_name: str = "", listen_addr: str = "") -> str:
    return find_minion_name(minion_name, "certmaster", 51235, listen_addr, network)


@pytest.mark.parametrize("name", ["a", "cloud1.example.org", "my_host", "x-1.example", "192.0.2.1", "a" * 63])
def test_host_names_and_addresses_pass(name: str) -> None:
    assert check_host_name(name) == name
    assert check_host_name(name.upper()) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "a,DNS:evil", "a b", "../a", "a/b", "a\\b", "-a", "a-", ".a", "a.", "a..b", "*.example.org",
        "a\n", "a\0b", "b\u00fccher.example", "\u212aelvin", "a" * 64, "x." * 32 + "x", "1.2.3",
        "192.0.2.256", "a.7", "master.example.org-CA-KEY", "x-ca-key", "host:1", "::1",
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(BadRequest, match=r".+"):
        check_host_name(name)


def test_an_authority_is_named_after_its_host_and_fits_into_a_certificate() -> None:
    assert authority_name("master.example.org") == "master.example.org-CA-KEY"
    assert len(authority_name("m" * 100)) == 64
    assert authority_name("m" * 100).endswith("m-CA-KEY")


def test_the_configured_name_wins_in_lower_case() -> None:
    network = FakeNetwork("192.0.2.1", {"192.0.2.1": "routed.example.org"})
    assert find(network, minion_name="Cloud1.Example.Org") == "cloud1.example.org"


def test_a_configured_name_that_cannot_be_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match="minion_name = a b"):
        find(FakeNetwork(), minion_name="a b")


def test_then_the_name_of_the_address_towards_the_certmaster() -> None:
    network = FakeNetwork("192.0.2.1", {"192.0.2.1": "Routed.example.org", "192.0.2.2": "heard.example.org"})
    assert find(network, listen_addr="192.0.2.2") == "routed.example.org"


def test_then_that_of_the_address_it_listens_on() -> None:
    network = FakeNetwork("127.0.0.1", {"127.0.0.1": "localhost", "192.0.2.2": "heard.example.org"}, "own")
    assert find(network, listen_addr="192.0.2.2") == "heard.example.org"


def test_then_the_host_name_then_the_address() -> None:
    assert find(FakeNetwork("192.0.2.1", {}, "own.example.org")) == "own.example.org"
    assert find(FakeNetwork("192.0.2.1", {}, "localhost.localdomain")) == "192.0.2.1"


def test_a_machine_without_a_name_is_told_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match="set minion_name"):
        find(FakeNetwork("127.0.0.1", {"127.0.0.1": "localhost"}))


def test_the_real_network_finds_some_name_or_says_what_to_set() -> None:
    try:
        assert find_minion_name("", "127.0.0.1", 51235)
    except ConfigError as exc:
        assert "minion_name" in str(exc)
