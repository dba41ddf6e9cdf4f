"""The fabric over real TLS: values come back, and every failure in words that say what to check."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cloudmasterd.clock import SystemClock
from cloudmasterd.errors import CloudRefused, CloudUnreachable, ConfigError, FabricError, RemoteFault
from cloudmasterd.fabric import Answer, Call
from cloudmasterd.func_fabric import TRANSLATIONS, FuncFabric, open_func, open_own, translate
from cloudmasterd.request_ids import working_for
from func import errors as func_errors
from func import wire
from tests.func.overlord.farm import Authority, Farm, reply, says, write_root

NAMES = ["cloud1.example.org", "cloud2.example.org", "cloud3.example.org"]
ONE, TWO, THREE = NAMES


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("master.example.org-CA-KEY", tmp_path_factory.mktemp("ours"))


@pytest.fixture
def farm(authority: Authority) -> Iterator[Farm]:
    farm = Farm(authority)
    farm.prepare(*NAMES)
    yield farm
    farm.stop()


@pytest.fixture
def fabric(farm: Farm, tmp_path: Path) -> Iterator[FuncFabric]:
    fabric = open_func(write_root(tmp_path, farm, NAMES), timeout_s=60)
    yield fabric
    fabric.close()


def answers(fabric: FuncFabric, timeout_s: float = 60) -> dict[str, Answer]:
    groups = fabric.ask_all({name: Call("virt.inventory", ("k",)) for name in NAMES}, timeout_s)
    return {answer.cloud: answer for group in groups for answer in group}


def error_of(fabric: FuncFabric, **options: Any) -> FabricError:
    with pytest.raises(FabricError) as caught:
        fabric.call(ONE, "virt.inventory", "", **options)
    assert isinstance(caught.value.__cause__, func_errors.FuncError)
    assert ONE in str(caught.value)
    return caught.value


def test_the_certificates_name_the_cloud_instances(fabric: FuncFabric) -> None:
    assert fabric.list_clouds() == NAMES


def test_the_end_of_a_certificate_is_known(fabric: FuncFabric, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / f"var/lib/certmaster/certs/{ONE}.cert").write_bytes(authority.issue(ONE))
    expires = fabric.certificate_expires_at(ONE)
    assert isinstance(expires, datetime) and expires.tzinfo is not None
    assert fabric.certificate_expires_at("stranger.example.org") is None


def test_a_call_gives_the_value(fabric: FuncFabric) -> None:
    assert fabric.call(ONE, "virt.inventory", "k") == [ONE, "virt.inventory", ["k"]]


def test_a_call_carries_the_id_of_the_request_it_is_made_for(fabric: FuncFabric, farm: Farm) -> None:
    with working_for("deploy-17"):
        fabric.call(ONE, "virt.inventory", "k")
        assert b"\r\nX-Request-Id: deploy-17\r\n" in farm.raw_requests[-1]
        list(fabric.ask_all({TWO: Call("virt.info")}))
        assert b"\r\nX-Request-Id: deploy-17\r\n" in farm.raw_requests[-1]
    fabric.call(ONE, "virt.inventory", "k")
    assert b"X-Request-Id" not in farm.raw_requests[-1]


def test_all_are_asked_at_once_each_with_its_own_call(fabric: FuncFabric) -> None:
    calls = {ONE: Call("virt.inventory", ("a",)), TWO: Call("virt.info")}
    found = {answer.cloud: answer.value for group in fabric.ask_all(calls) for answer in group}
    assert found == {ONE: [ONE, "virt.inventory", ["a"]], TWO: [TWO, "virt.info", []]}


def test_a_dead_cloud_does_not_hide_the_others(fabric: FuncFabric, farm: Farm) -> None:
    farm.manners[TWO] = lambda sock, name: farm.stopping.wait()  # type: ignore[assignment]
    for timeout_s in (0.5, 30):  # the second where the living were too slow for the first
        found = answers(fabric, timeout_s)
        if found[ONE].ok and found[THREE].ok:
            break
    assert found[ONE].ok and found[THREE].ok
    error = found[TWO].error
    assert isinstance(error, CloudUnreachable)
    assert str(error).startswith(f"{TWO} did not answer virt.inventory in time")


def test_nobody_at_the_address_is_unreachable_and_says_what_to_check(fabric: FuncFabric, farm: Farm) -> None:
    farm.stop()
    error = error_of(fabric)
    assert isinstance(error, CloudUnreachable)
    assert "Connection refused" in str(error) and "check that" in str(error)


def test_a_name_without_an_address_is_unreachable(fabric: FuncFabric, tmp_path: Path) -> None:
    (tmp_path / "etc/func/hosts").write_text("")
    assert isinstance(error_of(fabric), CloudUnreachable)


def test_a_certificate_of_another_authority_is_refused(
    fabric: FuncFabric, farm: Farm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Authority("other.example.org-CA-KEY", tmp_path_factory.mktemp("theirs"))
    farm._contexts.clear()
    farm.cert_files[ONE] = stranger.cert_file(ONE)
    error = error_of(fabric)
    assert isinstance(error, CloudRefused)
    assert "do not trust each other" in str(error)


def test_a_failed_method_keeps_the_remote_class_without_its_module(fabric: FuncFabric, farm: Farm) -> None:
    farm.answer = lambda *_: ["REMOTE_ERROR", "func.minion.codes.InvalidMethodException", "no", "Traceback"]
    error = error_of(fabric)
    assert isinstance(error, RemoteFault)
    assert (error.kind, error.traceback) == ("InvalidMethodException", "Traceback")
    assert error.text == f"virt.inventory failed on {ONE}: no; the log of funcd there says more"


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("<class 'func.minion.codes.AccessToMethodDenied'>:", CloudRefused, "minion-acl.d"),
        ("<class 'xml.parsers.expat.ExpatError'>:oh", RemoteFault, "refused to run virt.inventory"),
    ],
)
def test_faults_are_told_apart(
    fabric: FuncFabric, farm: Farm, fault: str, kind: type[FabricError], words: str
) -> None:
    farm.manners[ONE] = says(reply(wire.encode_fault(1, fault)))
    error = error_of(fabric)
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", reply(b"", status=b"404 Not Found"), reply(b"<html/>")])
def test_something_that_is_no_minion_is_told_as_such(fabric: FuncFabric, farm: Farm, data: bytes) -> None:
    farm.manners[ONE] = says(data)
    error = error_of(fabric)
    assert isinstance(error, RemoteFault) and error.kind == "BadReply"
    assert "not as a minion does" in error.text


def test_without_a_certificate_of_our_own_every_call_says_so(tmp_path: Path) -> None:
    fabric = open_func(tmp_path, timeout_s=1)
    assert fabric.list_clouds() == []
    enrol(tmp_path, *NAMES)
    assert "cannot call virt.inventory" in str(error_of(fabric))
    assert all(isinstance(answer.error, CloudUnreachable) for answer in answers(fabric).values())


def enrol(root: Path, *names: str) -> None:
    certs = root / "var/lib/certmaster/certs"
    certs.mkdir(parents=True)
    for name in names:
        (certs / f"{name}.cert").touch()


def test_without_a_certificate_of_its_own_a_cloud_master_calls_nobody_and_says_why(tmp_path: Path) -> None:
    own = open_own(tmp_path, tmp_path / "pki", SystemClock().now)
    assert own is not None
    own.note_missing("certmaster is not running")
    fabric = open_func(tmp_path, 1, own)
    enrol(tmp_path, *NAMES)
    error = error_of(fabric)
    assert isinstance(error, CloudUnreachable)
    assert "it has no certificate of its own yet: certmaster is not running" in str(error)
    assert all(isinstance(answer.error, CloudUnreachable) for answer in answers(fabric).values())


def test_who_has_no_certificate_here_is_not_called_whoever_answers(
    fabric: FuncFabric, tmp_path: Path
) -> None:
    (tmp_path / f"var/lib/certmaster/certs/{ONE}.cert").unlink()
    with pytest.raises(CloudRefused, match=f"no certificate for {ONE}.*was removed"):
        fabric.call(ONE, "virt.inventory", "")
    found = answers(fabric)
    assert isinstance(found[ONE].error, CloudRefused)
    assert found[TWO].ok and found[THREE].ok


def test_what_overlord_conf_names_is_what_it_calls_with(tmp_path: Path) -> None:
    (tmp_path / "etc/func").mkdir(parents=True)
    (tmp_path / "etc/func/overlord.conf").write_text("[main]\ncert_file = /x.cert\nkey_file = /x.pem\n")
    assert open_own(tmp_path, tmp_path / "pki", SystemClock().now) is None


def test_certificates_that_cannot_be_listed_are_an_error_with_the_place(
    fabric: FuncFabric, tmp_path: Path
) -> None:
    folder = tmp_path / "var/lib/certmaster/certs"
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("a file")
    with pytest.raises(FabricError, match="var/lib/certmaster/certs"):
        fabric.list_clouds()


def test_a_bad_file_of_func_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "etc/func").mkdir(parents=True)
    (tmp_path / "etc/func/overlord.conf").write_text("[main]\nlisten_port = x\n")
    with pytest.raises(ConfigError, match=r"overlord\.conf.*listen_port"):
        open_func(tmp_path, timeout_s=1)


def test_no_error_of_func_is_left_untranslated() -> None:
    for kind in vars(func_errors).values():
        if isinstance(kind, type) and issubclass(kind, func_errors.FuncError):
            exc = kind(1, "x") if kind is func_errors.XMLRPCFault else kind("x")
            error = translate(exc, "cloud1", "virt.info")
            assert isinstance(error, FabricError) and "cloud1" in str(error)
            assert error.__cause__ is exc


def test_special_errors_are_looked_at_before_general_ones() -> None:
    kinds = [kind for kind, _ in TRANSLATIONS]
    assert not [(a, b) for i, a in enumerate(kinds) for b in kinds[i + 1 :] if issubclass(b, a)]
