"""Client as Func's users know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from func import wire
from func.errors import ConfigError, FuncError, NoMinions
from func.overlord.client import Client, Overlord
from tests.func.overlord.farm import Farm, reply, says, write_root

NAMES = ["cloud1.example.org", "cloud2.example.org"]


@pytest.fixture
def root(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CERTMASTER_ROOT", str(tmp_path))
    return write_root(tmp_path, farm, NAMES)


def test_a_chained_call_gives_a_value_a_minion(farm: Farm, root: Path) -> None:
    farm.answer = lambda name, method, args: {"cloud1.example.org": 14245, "cloud2.example.org": 0}[name]
    with Client("*") as client:
        assert client.virt.freemem() == {"cloud1.example.org": 14245, "cloud2.example.org": 0}
        assert client.run("virt", "freemem", []) == client.virt.freemem()
    assert farm.calls[0][1:] == ("virt.freemem", [])


def test_a_module_may_have_dots_in_its_name(farm: Farm, root: Path) -> None:
    with Client("cloud1*") as client:
        assert client.config.files.echo("a", [1]) == {NAMES[0]: [NAMES[0], "config.files.echo", ["a", [1]]]}
        with pytest.raises(AttributeError, match="'virt' is a module"):
            client.virt()


def test_without_globs_the_value_is_bare(farm: Farm, root: Path) -> None:
    with Overlord("cloud2.example.org", noglobs=True) as client:
        assert client.test.ping() == ["cloud2.example.org", "test.ping", []]


def test_errors_are_lists_with_funcs_names(farm: Farm, root: Path) -> None:
    names = ["down", "late", "foreign", "denied", "garbage", "failed"]
    write_root(root, farm, [*NAMES, *names], {"down": "127.0.0.77"})
    farm.cert_files["foreign"] = farm.authority.cert_file("somebody-else")
    farm.manners["late"] = lambda sock, name: farm.stopping.wait() and None
    farm.manners["denied"] = says(reply(wire.encode_fault(1, "<class 'AccessToMethodDenied'>:")))
    farm.manners["garbage"] = says(b"?" * 100)
    trouble = wire.remote_error("codes.InvalidMethodException", "no such method", "Traceback ...")
    farm.answer = lambda name, method, args: trouble if name == "failed" else 1
    with Client("*", exclude_spec="late", timeout=60) as client:
        values = client.test.ping()
    with Client("late", timeout=1.5) as client:
        values.update(client.test.ping())
    assert values["cloud1.example.org"] == values["cloud2.example.org"] == 1
    assert {name: values[name][1] for name in names} == {
        "down": "socket.error",
        "late": "socket.timeout",
        "foreign": "OpenSSL.SSL.Error",
        "denied": "xmlrpclib.Fault",
        "garbage": "xmlrpclib.ProtocolError",
        "failed": "codes.InvalidMethodException",
    }
    assert values["down"][2].startswith("[Errno 111] Connection refused")
    assert values["denied"][2] == "<Fault 1: \"<class 'AccessToMethodDenied'>:\">"
    assert values["failed"] == trouble
    assert all(wire.is_remote_error(values[name]) and len(values[name]) == 4 for name in names)


def test_minions_are_listed_and_excluded(root: Path) -> None:
    assert Client("*").list_minions() == NAMES
    assert Client("*", exclude_spec="*2*").list_minions() == NAMES[:1]
    (root / "etc/func/groups").write_text("[second]\nhost = cloud2*\n")
    assert Client("@second").list_minions() == NAMES[1:]
    with pytest.raises(NoMinions, match=r'^Can\'t find any minions matching "x"\.$'):
        Client("x").test.ping()


def test_the_port_and_the_file_can_be_given(farm: Farm, root: Path, tmp_path: Path) -> None:
    conf = tmp_path / "mine.conf"
    conf.write_text("[main]\nlisten_port = 1\nallow_unknown_minions = yes\n")
    with Client("cloud1*", config=conf) as client:
        assert client.test.ping()[NAMES[0]][1] == "socket.error"
    with Client("cloud1*", config=str(conf), port=farm.port) as client:
        assert client.test.ping()[NAMES[0]][0] == NAMES[0]
    with pytest.raises(ConfigError, match="no such configuration file"):
        Client("*", config="/does/not/exist")


def test_calls_through_other_overlords_are_refused(root: Path) -> None:
    with pytest.raises(FuncError, match="not supported"):
        Client("*", delegate=True)


def test_old_arguments_are_taken_and_unknown_ones_are_not(root: Path) -> None:
    assert Client("*", nforks=10, interactive=False, verbose=True, delegate=False).list_minions()
    with pytest.raises(TypeError, match="'nonsense'"):
        Client("*", nonsense=1)
