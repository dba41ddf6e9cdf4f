"""The catalogue of a real cobbler server: read without a token, cached by its mark, without its secrets."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudmasterd.clock import SystemClock
from cloudmasterd.cobbler import Cobbler, parse_address
from cloudmasterd.errors import CobblerError, CobblerUnreachable, Invalid
from cloudmasterd.model import Profile
from cloudmasterd.profiles import Profiles
from cloudmasterd.spec import Source
from cloudmasterd.store import Store
from cloudmasterd.web.represent import profile_json
from tests.cloudmasterd.works import spec
from tests.cobbler.bench import Bench, Unavailable

pytestmark = pytest.mark.integration

SECRET = "$6$geheim$" + "x" * 86


@pytest.fixture
def server(cobbler: Bench) -> Cobbler:
    return Cobbler(parse_address(cobbler.url), SystemClock())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "db")
    yield made
    made.close()


def named(server: Cobbler, name: str) -> Profile:
    return next(profile for profile in server.profiles() if profile.name == name)


def test_a_profile_is_read_with_the_fields_of_its_distribution(cobbler: Bench, server: Cobbler) -> None:
    cobbler.register(
        "GenomeCloud-F8-i386",
        distro={"arch": "i386", "os_version": "fedora27"},
        virt_ram=512, virt_cpus=2, virt_file_size=8.0, comment="the first one",
        kernel_options={"console": "ttyS0", "inst.vncpassword": "geheim", "text": ""},
    )  # fmt: skip
    found = named(server, "GenomeCloud-F8-i386")
    assert found == Profile(
        "GenomeCloud-F8-i386", "GenomeCloud-F8-i386", "i386", "redhat", "fedora27", found.kernel_options,
        "/GenomeCloud-F8-i386.ks", 512, 2, 8.0, "the first one",
    )  # fmt: skip
    assert sorted(found.kernel_options.split()) == ["console=ttyS0", "inst.vncpassword=(hidden)", "text"]


def test_a_subprofile_inherits(cobbler: Bench, server: Cobbler) -> None:
    cobbler.register("parent", virt_ram=640)
    token = cobbler.token()
    handle = cobbler.call("new_subprofile", token)
    cobbler.call("modify_profile", handle, "name", "child", token)
    cobbler.call("modify_profile", handle, "parent", "parent", token)
    cobbler.call("save_profile", handle, token)
    child = named(server, "child")
    assert (child.distro, child.arch, child.memory_mb) == ("parent", "x86_64", 640)


def test_its_mark_moves_with_each_change_and_with_nothing_else(cobbler: Bench, server: Cobbler) -> None:
    cobbler.register("marked")
    before = server.modified()
    server.profiles()
    assert server.modified() == before
    cobbler.register("marked", comment="again")
    assert server.modified() != before


def test_no_secret_of_the_server_or_of_a_profile_is_kept_or_told(
    cobbler: Bench, server: Cobbler, store: Store, tmp_path: Path
) -> None:
    cobbler.register(
        "secretive",
        autoinstall_meta={"rootpw": SECRET, "tree": "http://ada:geheim@cobbler.example.org/tree"},
        kernel_options={"rootpw": SECRET, "inst.ks": "http://ada:geheim@cobbler.example.org/x.ks"},
    )
    rendered = cobbler.call("get_profile_as_rendered", "secretive")
    crypted = str(rendered["default_password_crypted"])
    assert crypted.startswith("$") and SECRET in str(rendered), "cobbler gives them to everybody"

    profiles = Profiles(store, server, SystemClock())
    profiles.refresh()
    told = repr([profile_json(profile, None) for profile in profiles.list()])
    assert "secretive" in told
    store.close()
    with closing(sqlite3.connect(tmp_path / "db")) as raw:
        kept = "\n".join(raw.iterdump())
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert "secretive" in kept and b"secretive" in files
    for secret in (crypted, SECRET, "geheim"):
        assert secret not in told
        assert secret not in kept
        assert secret.encode() not in files


def test_a_metadata_text_is_taken_by_cobbler_as_well_and_read_over(cobbler: Bench, server: Cobbler) -> None:
    cobbler.register("texts", autoinstall_meta="a=1 b=2", kernel_options="console=ttyS1 quiet")
    assert sorted(named(server, "texts").kernel_options.split()) == ["console=ttyS1", "quiet"]


def test_an_unknown_method_of_cobbler_is_a_refusal_not_a_crash(server: Cobbler) -> None:
    with pytest.raises(CobblerError, match="refused no_such_method"):
        server._ask("no_such_method")


def test_a_web_server_beside_cobbler_is_no_catalogue(cobbler: Bench) -> None:
    # the front serves files at any other path; cobblerd itself is somewhere else
    host, _, port = cobbler.url.rpartition("//")[2].partition(":")
    assert cobbler.get("/nothing/there").status == 404
    wrong = Cobbler(parse_address(f"https://{host}:{port}"), SystemClock(), answer_s=5)
    with pytest.raises(CobblerUnreachable, match="does not answer"):
        wrong.modified()


def test_the_catalogue_outlives_its_server(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    try:
        with Bench() as bench:
            bench.register("before")
            profiles = Profiles(store, Cobbler(parse_address(bench.url), SystemClock()), SystemClock())
            fetched_at = profiles.refresh().fetched_at
        with pytest.raises(CobblerUnreachable, match="does not answer"):
            profiles.refresh()
        about = profiles.catalogue()
        assert ([p.name for p in about.profiles], about.fetched_at) == (["before"], fetched_at)
        assert about.error is not None and about.failing_since is not None
    except Unavailable as exc:
        pytest.skip(f"no bench for cobbler: {exc}")
    finally:
        store.close()


def signal_cobblerd(cobbler: Bench, word: str) -> None:
    script = (
        "import os, signal, sys, pathlib\n"
        "for each in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    try:\n"
        "        if sys.argv[2].encode() in each.read_bytes() and int(each.parent.name) != os.getpid():\n"
        "            os.kill(int(each.parent.name), getattr(signal, sys.argv[1]))\n"
        "    except (FileNotFoundError, ProcessLookupError):\n"
        "        pass  # it has ended meanwhile\n"
    )
    done = cobbler.run([sys.executable, "-c", script, word, "bin/cobblerd"])
    assert done.returncode == 0, done.stderr


def test_a_cobblerd_that_hangs_is_given_up_and_followed_again_when_it_goes_on(
    cobbler: Bench, store: Store
) -> None:
    cobbler.register("patient")
    server = Cobbler(parse_address(cobbler.url), SystemClock())
    profiles = Profiles(store, server, SystemClock())
    profiles.refresh()
    usual, server._answer_s = server._answer_s, 1.0
    signal_cobblerd(cobbler, "SIGSTOP")
    try:
        with pytest.raises(CobblerUnreachable, match="no whole answer within its deadline"):
            profiles.refresh()
        assert "patient" in [profile.name for profile in profiles.list()]
    finally:
        signal_cobblerd(cobbler, "SIGCONT")
    server._answer_s = usual
    assert profiles.refresh().error is None


def test_a_profile_that_was_never_there_is_refused_with_the_nearest(
    cobbler: Bench, server: Cobbler, store: Store
) -> None:
    cobbler.register("genome")
    profiles = Profiles(store, server, SystemClock())
    with pytest.raises(Invalid, match="did you mean 'genome'"):
        profiles.find_now(spec("m1", source=Source("profile", profile="gnome")))
