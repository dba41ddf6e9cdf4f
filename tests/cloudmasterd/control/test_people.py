"""`cloudmasterctl user` and `token`: on the database, while the cloud master has it open and while not."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cloudmasterd.access import Access
from cloudmasterd.clock import SystemClock
from cloudmasterd.control.cli import main
from cloudmasterd.errors import Unauthenticated
from cloudmasterd.first import FirstPassword, ensure_first_admin
from cloudmasterd.passwords import Passwords
from cloudmasterd.people import People
from cloudmasterd.store import Store
from cloudmasterd.web.represent_people import TOKEN_FIELDS, USER_FIELDS
from tests.cloudmasterd.folk import HERE, PASSWORD, WEAK

TOKEN = re.compile(r"cmt_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")


class Shell:
    """A root's shell on the machine of a cloud master that runs."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
        self.root = root
        self.path = root / "var/lib/cloudmasterd/cloudmasterd.db"
        self.path.parent.mkdir(parents=True)
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        monkeypatch.delenv("SUDO_USER", raising=False)

    def start(self) -> Store:
        """The daemon's part of it."""
        clock = SystemClock()
        self.store = Store(self.path, clock=clock)
        passwords = Passwords(clock, WEAK)
        self.people = People(self.store, clock, passwords, first=FirstPassword(self.path))
        self.access = Access(self.store, clock, passwords)
        ensure_first_admin(self.people, FirstPassword(self.path), clock)
        return self.store

    def run(self, *words: str, typed: str = "") -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        try:
            code = main(["--root", str(self.root), *words], WEAK)
        except SystemExit as exc:  # of argparse
            code = int(exc.code or 0)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def well(self, *words: str, typed: str = "") -> str:
        """Standard output of a command that works."""
        code, out, err = self.run(*words, typed=typed)
        assert code == 0, err
        return out


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    made = Shell(tmp_path, capsys, monkeypatch)
    store = made.start()
    yield made
    store.close()


def test_a_user_is_made_changed_and_removed_while_the_daemon_runs(shell: Shell) -> None:
    said = shell.well(
        "user", "create", "Ann", "--role", "operator", "--scope", "team=web", "--scope", "team=db",
        "--title", "Ann of web", typed=f"{PASSWORD}\n",
    )  # fmt: skip
    assert said == "made the user ann, operator, who signs in with a password\n"
    assert shell.access.log_in("ann", PASSWORD, HERE)[1].scopes == (frozenset({"team=web", "team=db"}),)
    shell.well("user", "change", "ANN", "--role", "admin", "--no-scope", "--title", "Ann")
    (_, ann) = json.loads(shell.well("user", "list", "--json"))
    assert (ann["role"], ann["scope"], ann["title"]) == ("admin", [], "Ann")
    assert PASSWORD not in json.dumps(ann) and "scrypt" not in json.dumps(ann)
    shell.well("user", "change", "ann", "--disable")
    assert shell.people.get_user("ann").disabled
    shell.well("user", "change", "ann", "--enable")
    assert shell.well("user", "delete", "ann") == "removed the user ann, with all tokens and sessions\n"
    assert [user.name for user in shell.people.list_users()] == ["admin"]


def test_the_list_is_a_table_for_people(shell: Shell) -> None:
    shell.well("user", "create", "ann", "--no-password", "--scope", "team=web", "--title", "Ann of web")
    lines = shell.well("user", "list").splitlines()
    assert lines[0].split() == ["NAME", "ROLE", "SCOPE", "SIGNS", "IN", "LAST", "TIME", "TITLE"]
    assert lines[1].split() == ["admin", "admin", "-", "password", "-"]
    assert lines[2].split() == ["ann", "viewer", "team=web", "proxy", "only", "-", "Ann", "of", "web"]


def test_who_is_locked_out_gets_in_again(shell: Shell) -> None:
    shell.people.set_password("admin", "what nobody remembers")
    shell.store.close()
    said = shell.well("user", "password", "admin", "--generate")
    password = said.rpartition(": ")[2].strip()
    shell.start()
    assert shell.access.log_in("admin", password, HERE)[1].name == "admin"


def test_a_new_password_ends_sessions_and_the_first_one_and_its_file(shell: Shell) -> None:
    file = FirstPassword(shell.path).path
    secret, _ = shell.access.log_in("admin", file.read_text().strip(), HERE)
    said = shell.well("user", "password", "admin", typed=f"{PASSWORD}\n")
    assert "signed out everywhere" in said and PASSWORD not in said
    assert not file.exists()
    with pytest.raises(Unauthenticated):
        shell.access.by_session(secret, HERE)


def test_who_is_disabled_is_told_of_when_the_password_is_changed(shell: Shell) -> None:
    shell.well("user", "create", "ann", "--generate")
    shell.well("user", "change", "ann", "--disable")
    assert "user change ann --enable" in shell.well("user", "password", "ann", "--generate")


def test_a_password_comes_from_a_file_or_a_pipe(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(f"{PASSWORD}\r\nand another line\n")
    shell.well("user", "create", "ann", "--password-file", str(tmp_path / "pw"))
    shell.well("user", "create", "bob", "--password-file", "-", typed=PASSWORD)
    for name in ("ann", "bob"):
        assert shell.access.log_in(name, PASSWORD, HERE)


@pytest.mark.parametrize(
    ("words", "typed", "reason"),
    [
        (["--password-file", "/nowhere/at/all"], "", "no password can be read from /nowhere/at/all"),
        (["--password-file", "/dev/null"], "", "no password in the first line of /dev/null"),
        ([], "", "no password in the first line of standard input"),
        ([], "short\n", "12 or more"),
    ],
)
def test_a_password_that_does_not_come_changes_nothing(
    shell: Shell, words: list[str], typed: str, reason: str
) -> None:
    code, _, err = shell.run("user", "create", "ann", *words, typed=typed)
    assert code == 1 and reason in err
    assert len(shell.people.list_users()) == 1


def test_no_argument_takes_a_password(shell: Shell) -> None:
    code, _, err = shell.run("user", "password", "admin", PASSWORD)
    assert code == 2 and "unrecognized arguments" in err


@pytest.mark.parametrize(
    "words", [["delete", "admin"], ["change", "admin", "--disable"], ["change", "admin", "--role", "viewer"]]
)
def test_the_last_admin_stays_whoever_sits_at_the_shell(shell: Shell, words: list[str]) -> None:
    code, _, err = shell.run("user", *words)
    assert code == 1 and "the last admin" in err
    assert shell.access.log_in("admin", FirstPassword(shell.path).path.read_text().strip(), HERE)


@pytest.mark.parametrize(
    "words",
    [
        ["user", "password", "zed"],
        ["user", "delete", "zed"],
        ["user", "change", "zed", "--disable"],
        ["token", "create", "--user", "zed", "--title", "x"],
        ["token", "list", "--user", "zed"],
        ["token", "revoke", "zed"],
    ],
)
def test_of_what_is_not_there_is_said_where_to_look(shell: Shell, words: list[str]) -> None:
    code, out, err = shell.run(*words)
    assert (code, out) == (1, "")
    assert re.search(r"there is no (user|token) 'zed'; .*cloudmasterctl (user|token) list", err)


def test_a_token_is_printed_alone_and_once(shell: Shell) -> None:
    code, out, err = shell.run(
        "token", "create", "--user", "admin", "--title", "nightly", "--role", "operator",
        "--scope", "team=web", "--expires-days", "30",
    )  # fmt: skip
    assert code == 0 and TOKEN.fullmatch(out.strip())
    assert "shown this once" in err and out.strip() not in err
    identity = shell.access.by_token(out.strip(), HERE)
    assert (identity.name, identity.role and identity.role.value) == ("admin", "operator")
    listed = shell.well("token", "list") + shell.well("token", "list", "--json")
    assert out.strip().split("_", 2)[2] not in listed
    (token,) = json.loads(shell.well("token", "list", "--user", "admin", "--json"))
    assert (token["title"], token["state"], token["last_address"]) == ("nightly", "good", HERE)
    assert token["expires_at"] > token["created_at"]


def test_scripts_are_told_what_the_rest_interface_tells(shell: Shell) -> None:
    shell.well("token", "create", "--user", "admin", "--title", "unused")
    (user,) = json.loads(shell.well("user", "list", "--json"))
    (token,) = json.loads(shell.well("token", "list", "--json"))
    assert (*user, "etag") == USER_FIELDS
    assert tuple(token) == TOKEN_FIELDS
    assert token["last_address"] is None


def test_a_token_goes_into_a_file_that_nobody_else_reads(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("an older one")
    file.chmod(0o644)
    code, out, err = shell.run("token", "create", "--user", "admin", "--title", "x", "--file", str(file))
    assert (code, out) == (0, "")
    assert f"admin; in {file}" in err
    assert file.stat().st_mode & 0o777 == 0o600
    assert shell.access.by_token(file.read_text().strip(), HERE).role is not None
    assert [one.name for one in tmp_path.iterdir() if "part" in one.name] == []


def test_where_a_token_cannot_be_written_none_is_made(shell: Shell, tmp_path: Path) -> None:
    code, _, err = shell.run(
        "token", "create", "--user", "admin", "--title", "x", "--file", str(tmp_path / "no/where")
    )
    assert code == 1 and "none was made" in err
    assert shell.people.list_tokens() == []


def test_a_revoked_token_is_dead_in_the_daemon_within_a_second(shell: Shell) -> None:
    secret = shell.well("token", "create", "--user", "admin", "--title", "x").strip()
    made = shell.access.by_token(secret, HERE).credential
    assert shell.well("token", "revoke", made) == f"revoked the token {made} (x) of admin\n"
    assert made in shell.well("token", "list") and "revoked" in shell.well("token", "list")
    fresh = Access(shell.store, SystemClock(), Passwords(SystemClock()))
    with pytest.raises(Unauthenticated, match="revoked"):
        fresh.by_token(secret, HERE)


@pytest.mark.parametrize("days", ["0", "-1", "3651", "x", ""])
def test_days_that_make_no_sense_are_refused(shell: Shell, days: str) -> None:
    code, _, err = shell.run("token", "create", "--user", "admin", "--title", "x", "--expires-days", days)
    assert code == 2 and ("1 to 3650" in err or "expected one argument" in err)


def test_what_is_done_at_the_shell_is_on_the_record(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "carol")
    shell.well("user", "create", "ann", "--generate")
    shell.well("token", "create", "--user", "ann", "--title", "x")
    shell.well("user", "list")
    entries = [entry.deed for entry in shell.store.audit.list()][:2]
    assert [(deed.action, deed.means) for deed in entries] == [
        ("createToken", "local"),
        ("createUser", "local"),
    ]
    assert entries[0].who.endswith("(sudo by carol)")
    assert entries[1].target == "/api/v1/users/ann"


def test_before_the_first_start_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    for words in (["user", "list"], ["token", "list"], ["user", "create", "ann", "--generate"]):
        code, _, err = shell.run(*words)
        assert code == 1 and "start cloudmasterd once" in err
    assert list(shell.path.parent.iterdir()) == []


def type_into(terminal: int, lines: Sequence[str]) -> bytes:
    """Type a line whenever a password is asked for, until the program ends; what was shown."""
    shown, typed = b"", 0
    while True:
        try:
            got = os.read(terminal, 1024)
        except OSError:  # the other end is closed
            return shown
        if not got:
            return shown
        shown += got
        while typed < min(len(lines), shown.count(b": ")):
            os.write(terminal, lines[typed].encode() + b"\n")
            typed += 1


@pytest.mark.parametrize(
    ("lines", "code", "says"),
    [
        ((PASSWORD, PASSWORD), 0, b"the password of admin is changed"),
        ((PASSWORD, "something else here"), 1, b"two different passwords, and nothing was changed"),
    ],
)
def test_on_a_terminal_it_is_asked_for_twice_and_not_shown(
    shell: Shell, lines: tuple[str, ...], code: int, says: bytes
) -> None:
    here, there = pty.openpty()
    program = "import sys; from cloudmasterd.control.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "--root", str(shell.root), "user", "password", "admin"]
    with subprocess.Popen(
        command, stdin=there, stdout=there, stderr=there, start_new_session=True
    ) as process:
        os.close(there)
        timer = threading.Timer(60, process.kill)
        timer.start()
        try:
            shown = type_into(here, lines)
        finally:
            timer.cancel()
            os.close(here)
    assert process.returncode == code, shown
    assert says in shown
    for line in lines:
        assert line.encode() not in shown
