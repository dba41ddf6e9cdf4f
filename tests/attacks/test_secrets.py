"""Nothing that lets somebody in is in a log, the database, the record, an argument, or a file for others."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.cloud import MASTER
from tests.attacks.town import Answer, Town, open_town
from tests.integration.support import pids_below, run_command

TYPED_INTO_THE_WRONG_FIELD = "A-password-in-the-field-of-the-name!"
WRONG = "a wrong password which may be right elsewhere"
CHANGED = "what it was changed to, in words"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One of its own, whose files are looked through."""
    with open_town(tmp_path_factory.mktemp("secrets")) as made:
        yield made


def send(town: Town, method: str, path: str, value: Any) -> Answer:
    headers = {"Content-Type": "application/json", **town.admin.bearer}
    answer = town.ask(method, path, headers, json.dumps(value).encode())
    assert answer.status < 500, answer
    return answer


@pytest.fixture(scope="module")
def used(town: Town) -> dict[str, str]:
    """A day at a cloud master: everything secret that was shown, typed or sent on it, by what it is."""
    found = {"a password that was changed": CHANGED, "a wrong password": WRONG,
             "a password as a name": TYPED_INTO_THE_WRONG_FIELD}  # fmt: skip
    for name, person in town.people.items():
        found[f"the password of {name}"] = person.password
        found[f"the token of {name}"] = person.token
        found[f"the session of {name}"] = person.cookie
        found[f"the form of {name}"] = person.csrf
    entry, csrf = town.entry()
    found["the cookie of a login form"], found["the token of a login form"] = entry, csrf
    town.log_in("vera", WRONG)
    town.log_in(TYPED_INTO_THE_WRONG_FIELD, "x")
    made = send(town, "POST", "/api/v1/tokens", {"title": "a day", "role": "viewer"})
    found["a token that was made"] = made.json()["token"]
    assert (
        send(town, "POST", "/api/v1/users", {"name": "eve", "role": "viewer", "password": WRONG + "?"}).status
        == 201
    )
    found["a password that was given"] = WRONG + "?"
    assert send(town, "PUT", "/api/v1/users/eve/password", {"new": CHANGED}).status == 200
    drawn = send(town, "PUT", "/api/v1/users/eve/password", {"new": None}).json()["password"]
    found["a password that was drawn"] = drawn
    joining = send(town, "POST", "/api/v1/enrolment-tokens", {"name": "cloud9.example.org"})
    assert joining.status == 201
    found["an enrolment token"] = joining.json()["token"]
    # refused in every way there is, with secrets in the wrong places
    olga = town.olga
    for headers in (
        {"Authorization": f"Basic {olga.token}"}, {"Authorization": f"Bearer {olga.token}x"},
        {"Cookie": f"cloudmasterd_session={olga.cookie}x"},
        {"X-Remote-User": "a", "X-Proxy-Secret": olga.token},
    ):  # fmt: skip
        assert town.ask("GET", "/api/v1/whoami", headers).status in (401, 403)
    broken = f'{{"new": "{CHANGED}", "present"'.encode()
    kind = {"Content-Type": "application/json", **town.admin.bearer}
    assert town.ask("PUT", "/api/v1/users/eve/password", kind, broken).status == 400
    assert send(town, "PUT", "/api/v1/users/eve/password", {"new": CHANGED, CHANGED: 1}).status == 400
    assert (
        send(town, "POST", "/api/v1/users", {"name": "eve", "role": "viewer", "password": CHANGED}).status
        == 409
    )
    fields = {"present": town.vera.password, "new": CHANGED, "again": "not the same"}
    assert town.form("/account/password", fields, town.vera).status == 400
    # a script that does not encode what it sends
    found["the rest of a password"] = "horseBatteryStaple"
    form = f"user=vera&password=correct&horseBatteryStaple=1&csrf={csrf}".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"cloudmasterd_login={entry}"}
    assert town.ask("POST", "/login", {**kind, "Accept": "text/html"}, form).status == 400
    assert town.ask("POST", "/api/v1/users", {**kind, **town.admin.bearer}, form).status == 415
    town.signed_in(town.vera)
    assert town.form("/logout", {}, town.signed_in(town.vera)).status == 303
    assert run_command(town.cloud, "cloudmasterctl", "user", "list", "--json").returncode == 0
    return found


def test_no_log_has_it(town: Town, used: dict[str, str]) -> None:
    log = "\n".join(town.log)
    assert "PUT /api/v1/users/eve/password" in log  # it is the log of that day, and says much
    assert [what for what, secret in used.items() if secret in log] == []


def test_no_database_has_it(town: Town, used: dict[str, str]) -> None:
    files = [path for path in town.database.parent.glob("cloudmasterd.db*") if path.is_file()]
    data = b"".join(path.read_bytes() for path in files)
    assert b"eve" in data
    assert [what for what, secret in used.items() if secret.encode() in data] == []


def test_the_record_has_not_got_it(town: Town, used: dict[str, str]) -> None:
    for form in ("json", "csv", "jsonl"):
        text = town.ask("GET", f"/api/v1/audit?format={form}&limit=1000", town.admin.bearer).text
        assert "setPassword" in text or "assword" in text
        assert [what for what, secret in used.items() if secret in text] == []


def test_no_process_was_told_it_where_others_see_it(town: Town, used: dict[str, str]) -> None:
    pids = pids_below(town.cloud.root)
    assert len(pids) >= 3
    for pid in pids:
        shown = b"".join((Path("/proc") / str(pid) / name).read_bytes() for name in ("cmdline", "environ"))
        assert [what for what, secret in used.items() if secret.encode() in shown] == []


def test_no_file_that_others_may_read_has_it(town: Town, used: dict[str, str]) -> None:
    held = {}
    for path in town.cloud.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            found = [what for what, secret in used.items() if secret.encode() in data]
            if found:
                held[path.name] = found
                assert path.stat().st_mode & 0o077 == 0, (path, found)
    assert held == {"first-password": ["the password of admin"], "admin-token": ["the token of admin"]}


def test_what_holds_secrets_of_its_own_is_for_its_owner(town: Town) -> None:
    state = town.database.parent
    assert town.database.stat().st_mode & 0o077 == 0
    for name in ("first-password", "cloudmasterd.db-wal", "cloudmasterd.db-shm"):
        assert not (state / name).exists() or (state / name).stat().st_mode & 0o077 == 0, name
    keys = [
        path for path in town.cloud.root.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
    ]
    assert keys != [] and [path for path in keys if path.stat().st_mode & 0o077] == []


def test_the_first_password_goes_with_the_day_it_is_changed(town: Town, used: dict[str, str]) -> None:
    file = town.cloud.admin.password_file
    assert file.exists()
    body = {"new": "now it is another one", "present": town.admin.password}
    assert send(town, "PUT", "/api/v1/users/admin/password", body).status == 200
    assert not file.exists()


# -------------------------------------------------------------------------------------------- the record


def verify(town: Town, database: Path, tmp_path: Path) -> tuple[int, str]:
    """What cloudmasterctl says of the record in a copy of the database."""
    root = tmp_path / "root"
    if not root.exists():
        shutil.copytree(town.cloud.root_of(MASTER) / "etc", root / "etc")
    place = root / "var/lib/cloudmasterd/cloudmasterd.db"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(database, place)
    done = run_command(town.cloud, "cloudmasterctl", "audit", "verify", root=root)
    return done.returncode, done.stdout + done.stderr


TAMPERED = {
    "who it was": "UPDATE audit SET who = 'vera' WHERE id = {id}",
    "what came of it": "UPDATE audit SET result = 'done' WHERE id = {id}",
    "when": "UPDATE audit SET at = '2026-01-01T00:00:00.000Z' WHERE id = {id}",
    "one that is gone": "DELETE FROM audit WHERE id = {id}",
    "the last that is gone": "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)",
    "all that is gone": "DELETE FROM audit",
    "one that came later": "INSERT INTO audit SELECT max(id) + 1, at, 'vera', means, credential, address,"
    " request_id, action, target, result, status, reason, detail, hash, hash FROM audit",
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_record_that_somebody_changed_is_found(town: Town, tmp_path: Path, what: str) -> None:
    copy = tmp_path / "copy.db"
    with sqlite3.connect(town.database) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    assert verify(town, copy, tmp_path)[0] == 0
    with sqlite3.connect(copy) as database:
        (middle,) = database.execute("SELECT id FROM audit WHERE result = 'refused' LIMIT 1").fetchone()
        # whoever can write to the file can take away what keeps others from it
        for (trigger,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        assert database.execute(TAMPERED[what].format(id=middle)).rowcount >= 1
    database.close()
    code, said = verify(town, copy, tmp_path)
    assert code != 0, said
