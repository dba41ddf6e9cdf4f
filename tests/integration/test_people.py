"""Users and tokens from the shell beside a real daemon, and back in when nobody knows a password any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.cloud import MASTER, Cloud, free_ports
from tests.integration.conftest import write_log
from tests.integration.signing_in import SESSION, session_of
from tests.integration.support import ask, eventually, run_command

PASSWORD = "four words in a row"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("people"), 1, ports=free_ports(), log=write_log)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def ctl(cloud: Cloud, *args: str) -> str:
    done = run_command(cloud, "cloudmasterctl", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status_with(cloud: Cloud, headers: dict[str, str]) -> int:
    return ask(cloud, "GET", "/api/v1/clouds", headers=headers, signed_in=False).status


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_right_that_the_shell_takes_away_is_gone_in_the_daemon(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    ctl(cloud, "user", "create", "ann", "--role", "operator", "--password-file", str(tmp_path / "password"))
    cookie = {"Cookie": f"{SESSION}={session_of(cloud, 'ann', PASSWORD)}"}
    token = ctl(cloud, "token", "create", "--user", "ann", "--title", "a script").strip()
    kept = ctl(cloud, "token", "create", "--user", "ann", "--title", "another").strip()
    assert [status_with(cloud, headers) for headers in (cookie, bearer(token), bearer(kept))] == [200] * 3

    ctl(cloud, "token", "revoke", token[4:16])
    eventually(lambda: status_with(cloud, bearer(token)) == 401, "the revoked token is refused")
    assert status_with(cloud, bearer(kept)) == 200
    ctl(cloud, "user", "change", "ann", "--disable")
    eventually(lambda: status_with(cloud, cookie) == 401, "the disabled user is signed out")
    eventually(lambda: status_with(cloud, bearer(kept)) == 401, "the disabled user's token is refused")

    seen = {one["title"]: one for one in json.loads(ctl(cloud, "token", "list", "--json"))}
    assert seen["a script"]["last_address"] == "127.0.0.1"
    logs = b"".join(file.read_bytes() for file in cloud.admin.root.rglob("*.log*") if file.is_file())
    assert logs, "there is something to look through"
    for secret in (PASSWORD, token[17:], kept[17:], cookie["Cookie"].partition("=")[2]):
        assert secret.encode() not in logs


def test_who_is_locked_out_gets_in_again_without_the_daemon(cloud: Cloud) -> None:
    first = cloud.admin.password()
    cloud.end(MASTER)
    said = ctl(cloud, "user", "password", "admin", "--generate")
    password = said.rpartition(": ")[2].strip()
    assert not cloud.admin.password_file.exists()
    assert "changed" in run_command(cloud, "cloudmasterctl", "status").stdout
    cloud.start_master()
    session = session_of(cloud, "admin", password)
    assert status_with(cloud, {"Cookie": f"{SESSION}={session}"}) == 200
    with pytest.raises(AssertionError, match="not those of a user"):
        session_of(cloud, "admin", first)
    assert [one["name"] for one in json.loads(ctl(cloud, "user", "list", "--json"))] == ["admin", "ann"]


def test_the_database_is_still_its_owners_alone(cloud: Cloud) -> None:
    folder = cloud.admin.password_file.parent
    files = {file.name: file.stat() for file in folder.iterdir() if file.name.startswith("cloudmasterd.db")}
    assert {"cloudmasterd.db", "cloudmasterd.db-wal", "cloudmasterd.db-shm"} <= set(files)
    assert {stat.st_mode & 0o777 for stat in files.values()} == {0o600}
    assert len({stat.st_uid for stat in files.values()}) == 1
