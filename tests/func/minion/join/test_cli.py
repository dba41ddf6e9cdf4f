"""cloudmaster-join against a real certmaster: joined, or everything as it was before."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from certmaster import ca
from certmaster.authority import Authority
from certmaster.certdir import minion_files
from certmaster.config import load_certmaster_config
from certmaster.pending import next_file
from func import tls
from func.config import load_minion_config
from func.minion.cloudmaster import acl_text
from func.minion.join.cli import main
from tests.certmaster.support import NOW, running

NAME = "cloud4.example.org"
Run = Callable[..., int]


@pytest.fixture(scope="session")
def master_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("master")
    Authority(load_certmaster_config(root), "master.example.org", lambda: NOW).prepare()
    return root


@pytest.fixture
def authority(master_root: Path) -> Authority:
    config = load_certmaster_config(master_root)
    for folder in (config.certroot, config.csrroot):
        for file in folder.glob("*"):
            file.unlink()
    return Authority(config, "master.example.org", lambda: NOW)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with libvirt's test driver."""
    for name, text in (
        ("certmaster/minion.conf", "# as the package brings it\n[main]\n"),
        ("func/minion.conf", f"[main]\nminion_name = {NAME}\n"),
        ("func/modules/Virt.conf", "[main]\nuri = test:///default\n"),
    ):
        file = tmp_path / "etc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


@pytest.fixture
def run(root: Path) -> Run:
    return lambda port, *args, master="127.0.0.1": main(
        [master, "--root", str(root), "--port", str(port), *args]
    )


def conf(root: Path) -> str:
    return (root / "etc/certmaster/minion.conf").read_text()


def pki(root: Path) -> set[str]:
    folder = root / "etc/pki/certmaster"
    return (
        {file.name for file in folder.iterdir() if not file.name.startswith(".")}
        if folder.is_dir()
        else set()
    )


def sign_when_it_waits(authority: Authority, ended: threading.Event) -> threading.Thread:
    """Somebody who looks at the list again and again, and signs what comes."""

    def work() -> None:
        while not ended.wait(0.05):
            for name in authority.list_waiting():
                authority.sign(name)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


libvirt = pytest.mark.skipif(find_spec("libvirt") is None, reason="libvirt's Python binding is not here")


@pytest.mark.slow
@libvirt
def test_a_machine_waits_until_it_is_signed_and_says_what_to_do(
    authority: Authority, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    with running(authority) as port:
        signer = sign_when_it_waits(authority, ended)
        try:
            assert run(port, "--wait", "60") == 0
        finally:
            ended.set()
            signer.join()
    said = capsys.readouterr().out
    assert f"certmaster-ca --sign {NAME}" in said
    assert re.search(rf"key of {NAME}: [0-9A-Fa-f:]+", said)
    assert "libvirt answers: TEST" in said
    assert f"authority: {ca.pin(authority.certificate())} (compare" in said
    assert f"{NAME} is a cloud instance of 127.0.0.1" in said
    assert (
        conf(root)
        == f"# as the package brings it\n[main]\ncertmaster = 127.0.0.1\ncertmaster_port = {port}\n"
    )


@libvirt
@pytest.mark.parametrize("how", ["argument", "file", "stdin", "left out"])
def test_a_token_lets_it_in_at_once_and_is_nowhere_afterwards(
    authority: Authority, root: Path, run: Run, how: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _, secret = authority.tokens.add(NAME, 3600, False)
    (tmp_path / "given").write_text(secret + "\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))
    arguments = {
        "argument": ["--token", secret],
        "file": ["--token-file", str(tmp_path / "given")],
        "stdin": ["--token-file", "-"],
        "left out": ["--token"],
    }[how]
    with running(authority) as port:
        assert run(port, *arguments, "--ca-fingerprint", ca.pin(authority.certificate())) == 0
    (tmp_path / "given").unlink()
    holding = [file for file in root.rglob("*") if file.is_file() and secret in file.read_text("latin-1")]
    assert holding == []
    found = capsys.readouterr()
    assert secret not in found.out + found.err


def func_conf(root: Path) -> str:
    return (root / "etc/func/minion.conf").read_text()


def acl(root: Path) -> Path:
    return root / "etc/func/minion-acl.d/cloudmasterd.acl"


@libvirt
def test_the_master_may_call_what_it_needs_and_the_certmasters_certificate_nothing(
    authority: Authority, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    _, secret = authority.tokens.add(NAME, 3600, False)
    with running(authority) as port:
        assert run(port, "--token", secret) == 0
    assert acl(root).read_text() == acl_text()
    assert "certmaster_overrides_acls = no\n" in func_conf(root)
    assert load_minion_config(root).certmaster_overrides_acls is False
    assert "the master may call what cloudmasterd needs" in capsys.readouterr().out


@libvirt
def test_a_machine_that_an_overlord_commands_already_goes_on_obeying_it(
    authority: Authority, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    _, secret = authority.tokens.add(NAME, 3600, False)
    before = func_conf(root)
    with running(authority) as port:
        assert run(port, "--token", secret) == 0
        # as one that joined with a version that knew nothing of this
        (root / "etc/func/minion.conf").write_text(before)
        acl(root).unlink()
        assert run(port) == 0
    assert func_conf(root) == before
    assert acl(root).read_text() == acl_text(), "the cloud master calls with a certificate of its own by now"
    assert "func on the master may call everything here" in capsys.readouterr().out


@pytest.mark.slow
def test_a_failed_join_allows_nobody_anything(authority: Authority, root: Path, run: Run) -> None:
    with running(authority) as port:
        assert run(port, "--wait", "1") == 1
    assert not acl(root).exists()
    assert "certmaster_overrides_acls" not in func_conf(root)


@libvirt
def test_joining_again_changes_nothing(authority: Authority, root: Path, run: Run) -> None:
    _, secret = authority.tokens.add(NAME, 3600, False)
    with running(authority) as port:
        assert run(port, "--token", secret) == 0
        before = conf(root), pki(root)
        assert run(port) == 0
    assert run(port) == 0, "not even the master has to be there"
    assert (conf(root), pki(root)) == before


@libvirt
def test_a_second_master_is_refused_and_a_failed_move_leaves_the_first(
    authority: Authority, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    _, secret = authority.tokens.add(NAME, 3600, False)
    with running(authority) as port:
        assert run(port, "--token", secret) == 0
    before = conf(root), pki(root)
    assert run(port, master="127.0.0.9") == 1
    assert "belongs to 127.0.0.1" in capsys.readouterr().err
    assert run(port, "--force", master="127.0.0.9") == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert (conf(root), pki(root)) == before


@libvirt
def test_by_force_a_machine_goes_over_to_another_master(
    authority: Authority, root: Path, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(
        load_certmaster_config(tmp_path_factory.mktemp("other")), "other.example.org", lambda: NOW
    )
    other.prepare()
    _, secret = authority.tokens.add(NAME, 3600, False)
    with running(authority) as port:
        assert run(port, "--token", secret) == 0
    kept = minion_files(root / "etc/pki/certmaster", NAME)
    kept.crl_file.write_bytes(authority.crl())
    # a renewal that was cut off before its certificate had its place
    next_file(kept.key_file).write_bytes(kept.key_file.read_bytes())
    next_file(kept.cert_file).write_bytes(kept.cert_file.read_bytes())
    _, secret = other.tokens.add(NAME, 3600, False)
    with running(other) as port:
        assert run(port, "--token", secret, "--force") == 0
    tls.server_context(kept.cert_file, kept.key_file, kept.ca_file)  # funcd starts
    assert ca.pin((root / "etc/pki/certmaster/ca.cert").read_bytes()) == ca.pin(other.certificate())
    assert any(name.startswith("ca.cert.before-join-") for name in pki(root))


REFUSED = {
    "nobody listens": (["--port", "1"], "cannot be reached"),
    "an unknown token": (["--token", "x" * 43], "its token is not known here"),
    "no token": (["--token", "short"], "that is no token"),
    "no token file": (["--token-file", "/nowhere/at/all"], "cannot be read"),
    "another authority": (["--token", "x" * 43, "--ca-fingerprint", "0" * 64], "ca_fingerprint says 000"),
    "nobody signs": (["--wait", "1"], "has not signed"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_fails_leaves_the_machine_as_it_was(
    authority: Authority, root: Path, run: Run, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "another authority":
        _, secret = authority.tokens.add(NAME, 3600, False)
        arguments = ["--token", secret, "--ca-fingerprint", "0" * 64]
    else:
        arguments = REFUSED[kind][0]
    before = conf(root)
    with running(authority) as port:
        assert run(port, *arguments) == 1
    assert REFUSED[kind][1] in capsys.readouterr().err
    assert conf(root) == before
    assert not (root / "etc/certmaster/token").exists()
    assert pki(root) <= {f"{NAME}.pem", f"{NAME}.csr"}, "a key the master may know already, and no more"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["not a host"],
        ["m", "--port", "0"],
        ["m", "--port", "x"],
        ["m", "--wait", "0"],
        ["m", "--ca-fingerprint", "12"],
        ["m", "--ca-fingerprint", ""],
        ["m", "--name", "a/b"],
        ["m", "--token", "a", "--token-file", "b"],
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: cloudmaster-join" in capsys.readouterr().err


@libvirt
def test_the_name_it_is_given_is_what_funcd_goes_by(authority: Authority, root: Path, run: Run) -> None:
    _, secret = authority.tokens.add("other.example.org", 3600, False)
    with running(authority) as port:
        assert run(port, "--token", secret, "--name", "other.example.org") == 0
    assert "minion_name = other.example.org" in (root / "etc/func/minion.conf").read_text()


def test_a_libvirt_that_is_out_of_reach_is_said_and_the_machine_has_joined(
    authority: Authority, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "etc/func/modules/Virt.conf").write_text("[main]\nuri = test:///no/such/file.xml\n")
    _, secret = authority.tokens.add(NAME, 3600, False)
    with running(authority) as port:
        assert run(port, "--token", secret) == 1
    found = capsys.readouterr()
    assert "libvirt cannot be used" in found.err
    assert "has its certificate from 127.0.0.1, but not all of it works yet" in found.out


def test_the_waiting_can_be_left_to_funcd(root: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(1, "--no-wait")
    assert "goes on asking 127.0.0.1" in capsys.readouterr().out
    assert "certmaster = 127.0.0.1" in conf(root)
