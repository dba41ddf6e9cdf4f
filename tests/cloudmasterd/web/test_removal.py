"""A cloud instance is removed over real HTTP: revoked by a real certmaster, and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certmaster import ca
from certmaster.admin_socket import AdminSocket
from certmaster.authority import Authority
from certmaster.config import load_certmaster_config
from certmaster.errors import TokenRefused
from certmaster.proof import make
from tests.certmaster.support import NOW, running
from tests.cloudmasterd.web.reading import page, post, read

DEAD, BUSY, NEW = "cloud2.example.org", "cloud1.example.org", "cloud3.example.org"
CLOUDS = "/api/v1/clouds"


@pytest.fixture(scope="module")
def key() -> bytes:
    return ca.new_key()


@pytest.fixture
def authority(tmp_path: Path, key: bytes) -> Authority:
    settings = load_certmaster_config(tmp_path / "ca")
    settings.cadir.mkdir(parents=True)
    (settings.cadir / "certmaster.key").write_bytes(key)
    (settings.cadir / "certmaster.crt").write_bytes(ca.make_ca("cloud.example.org-CA-KEY", key, 1, NOW))
    one = Authority(settings, "cloud.example.org", lambda: NOW)
    for name in (DEAD, BUSY, NEW):
        one.enrol(ca.make_request(key, name))
        one.sign(name)
    return one


@pytest.fixture
def certmaster(small: Any, tmp_path: Path, authority: Authority) -> Iterator[Authority]:
    """The certmaster at the socket that `small` asks; it has signed the three cloud instances."""
    with running(authority, admin_socket=AdminSocket(tmp_path / "admin.sock")):
        yield authority


def signed(authority: Authority) -> list[str]:
    return [one.name for one in authority.list_signed()]


def known(small: Any) -> list[str]:
    return [cloud.name for cloud in small.store.list_clouds()]


def test_one_that_never_answered_is_removed(small: Any, certmaster: Authority) -> None:
    cert = (certmaster._config.certroot / f"{NEW}.cert").read_bytes()
    answer = small.ask("DELETE", f"{CLOUDS}/{NEW}")
    assert (answer.status, answer.body) == (204, b"")
    assert known(small) == [BUSY, DEAD]
    assert signed(certmaster) == [BUSY, DEAD]
    assert ca.read_crl(certmaster.crl(), certmaster.certificate()).has(ca.identity(cert))
    assert small.ask("DELETE", f"{CLOUDS}/{NEW}").status == 404
    (event,) = small.store.events.newest(1)
    assert (event.kind, event.cloud) == ("cloud.removed", NEW)
    assert event.text == f"admin removed {NEW}: its certificate is revoked"


def test_one_in_use_is_named_with_what_uses_it_and_goes_by_force(small: Any, certmaster: Authority) -> None:
    task = small.send("POST", "/api/v1/machines", {
        "name": "new.example.org", "memory_mb": 512, "vcpus": 1, "disks": [{"size_gb": 1}], "cloud": BUSY,
    })  # fmt: skip
    assert task.status == 202, task.text
    number = task.json()["id"]
    refused = small.ask("DELETE", f"{CLOUDS}/{BUSY}")
    assert refused.status == 409
    named = {error["field"]: error["message"] for error in refused.json()["errors"]}
    assert named.keys() == {"build1", "jboss1.example.org", f"task {number}"}
    assert "running, 512 MB" in named["jboss1.example.org"]
    assert "force" in refused.json()["detail"]
    assert (known(small), signed(certmaster)) == ([BUSY, DEAD, NEW], [BUSY, DEAD, NEW])

    small.gate.open.set()
    assert small.ask("DELETE", f"{CLOUDS}/{BUSY}?force=true").status == 204
    assert (known(small), signed(certmaster)) == ([DEAD, NEW], [DEAD, NEW])
    assert small.site.machines.wait(number, 60).ended_at is not None
    assert [m.name for m in small.store.list_machines()] == ["web1"]
    kinds = [event.kind for event in small.store.events.newest(4) if event.cloud == BUSY]
    assert kinds.count("machine.vanished") == 2 and "cloud.removed" in kinds


def test_a_dead_one_is_removed_without_being_asked(small: Any, certmaster: Authority) -> None:
    assert small.ask("DELETE", f"{CLOUDS}/{DEAD}?force=true").status == 204
    assert small.fleet.asked == []
    assert (known(small), signed(certmaster)) == ([BUSY, NEW], [BUSY, NEW])


def test_a_token_that_was_made_for_it_lets_it_in_no_more(
    small: Any, certmaster: Authority, key: bytes
) -> None:
    secrets = [certmaster.tokens.add(name, replace=False)[1] for name in (NEW, "cloud*.example.org")]
    assert small.ask("DELETE", f"{CLOUDS}/{NEW}").status == 204
    public = ca.read_request(ca.make_request(key, NEW)).key_fingerprint
    with pytest.raises(TokenRefused, match="is not known here"):
        certmaster.enrol(ca.make_request(key, NEW, make(secrets[0], NEW, public)))
    assert [token.name for token in certmaster.tokens.list()] == ["cloud*.example.org"]


def test_what_changed_since_it_was_read_is_not_removed(small: Any, certmaster: Authority) -> None:
    tag = small.get(f"{CLOUDS}/{NEW}").headers["etag"]
    assert small.send("PATCH", f"{CLOUDS}/{NEW}", {"notes": "mine"}).status == 200
    assert small.ask("DELETE", f"{CLOUDS}/{NEW}", {"If-Match": tag}).status == 412
    assert NEW in known(small)
    tag = small.get(f"{CLOUDS}/{NEW}").headers["etag"]
    assert small.ask("DELETE", f"{CLOUDS}/{NEW}", {"If-Match": tag}).status == 204


def test_without_a_certmaster_nothing_is_removed(small: Any) -> None:
    answer = small.ask("DELETE", f"{CLOUDS}/{NEW}")
    assert answer.status == 503
    assert NEW in known(small)


def test_one_whose_certificate_somebody_removed_by_hand_is_forgotten_all_the_same(
    small: Any, certmaster: Authority
) -> None:
    certmaster.clean(NEW)
    assert small.ask("DELETE", f"{CLOUDS}/{NEW}").status == 204
    assert NEW not in known(small)


def test_the_page_asks_once_more(small: Any, certmaster: Authority) -> None:
    links = read(small, f"/clouds/{NEW}").links
    assert f"/clouds/{NEW}/remove" in links
    form = read(small, f"/clouds/{NEW}/remove").form(f"/clouds/{NEW}/remove")
    assert "force" not in form.names, "there is nothing to be forced"
    wrong = post(small, form, name="cloud1")
    assert wrong.status == 400
    assert "name" in page(wrong).marked
    assert NEW in known(small)
    done = post(small, form, name=NEW)
    assert (done.status, done.headers["location"]) == (303, "/")
    assert (known(small), signed(certmaster)) == ([BUSY, DEAD], [BUSY, DEAD])


def test_the_page_shows_what_goes_with_it_and_wants_a_tick(small: Any, certmaster: Authority) -> None:
    shown = read(small, f"/clouds/{BUSY}/remove")
    assert "2 machine instances are lost sight of" in shown.text and "jboss1.example.org" in shown.text
    form = shown.form(f"/clouds/{BUSY}/remove")
    refused = post(small, form, name=BUSY)
    assert refused.status == 409
    assert "force" in page(refused).marked
    assert BUSY in known(small)
    assert post(small, form, name=BUSY, force="yes").status == 303
    assert BUSY not in known(small)
