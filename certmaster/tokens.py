"""The tokens there are: a file each, made, proved, claimed and used up."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Optional

from certmaster import proof
from certmaster.certdir import SECRET, list_files, read_file, remove_file, write_file
from certmaster.errors import AlreadyMade, BadRequest, FileError, TokenRefused, UnknownName
from certmaster.names import LONGEST_NAME, check_host_name

log = logging.getLogger(__name__)

DEFAULT_S = 3600
SHORTEST_S, LONGEST_S = 60, 30 * 86400

# How long a token that ended is remembered, so that a refusal can say when and why.
_REMEMBERED = timedelta(days=7)

_SUFFIX = ".json"
_GLOB = re.compile(r"[a-z0-9_.*?\[\]!-]+")
_GLOB_SIGNS = re.compile(r"[*?\[\]!]")


@dataclass(frozen=True)
class Token:
    """What is kept of a token, never the token itself. Times are ISO 8601 in UTC.

    It is claimed for one name and key before that certificate is signed, and used up after: whoever claimed
    it may go on where a crash cut that off, and nobody else can.
    """

    id: str
    key: str = field(repr=False)  # hex of proof.key_of
    name: str
    created_at: str
    expires_at: str
    replace: bool = False
    mark: str = ""
    claimed_name: str = ""
    claimed_key: str = ""
    used_at: str = ""

    def state(self, now: datetime) -> str:
        """open, claimed, used or expired."""
        if self.used_at:
            return "used"
        if now >= datetime.fromisoformat(self.expires_at):
            return "expired"
        return "claimed" if self.claimed_name else "open"


class Tokens:
    """The tokens in a directory. `lock` keeps other threads and processes out while it is held.

    `add` and `delete` take the lock; `proved`, `claim`, `use_up` and `end_claims` are called with it held.
    Every method raises FileError where a file is in the way.
    """

    def __init__(
        self,
        directory: Path,
        now: Callable[[], datetime],
        lock: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._directory = directory
        self._now = now
        self._lock = lock

    def add(
        self, name: str, expires_s: int = DEFAULT_S, replace: bool = False, mark: str = ""
    ) -> tuple[Token, str]:
        """A new token for a name or a glob, and its secret, which nothing can show again.

        Raises BadRequest, or AlreadyMade where there is one of the same `mark` (the asker's name for what it
        asked).
        """
        name = _check_name(name, replace)
        if not SHORTEST_S <= expires_s <= LONGEST_S:
            raise BadRequest(f"{expires_s} s: a token lasts from {SHORTEST_S} s to {LONGEST_S // 86400} days")
        secret = proof.new_token()
        key = proof.key_of(secret)
        with self._lock():
            now = self._now()
            self._forget(now)
            same = next((t for t in self.list() if mark and t.mark == mark), None)
            if same is not None:
                raise AlreadyMade(
                    f"token {same.id} was made by this very request already, and is shown only once: delete "
                    f"it, and ask anew as another request"
                )
            token = Token(
                id=proof.id_of(key),
                key=key.hex(),
                name=name,
                created_at=now.isoformat(timespec="seconds"),
                expires_at=(now + timedelta(seconds=expires_s)).isoformat(timespec="seconds"),
                replace=replace,
                mark=mark,
            )
            self._write(token)
        log.info("token %s made for %s, until %s", token.id, name, token.expires_at)
        return token, secret

    def list(self) -> list[Token]:
        """All tokens, newest first."""
        found = [self._read(path) for path in list_files(self._directory, _SUFFIX)]
        return sorted((t for t in found if t is not None), key=lambda t: (t.created_at, t.id), reverse=True)

    def state(self, token: Token) -> str:
        """open, claimed, used or expired."""
        return token.state(self._now())

    def delete(self, token_id: str) -> None:
        """Take a token back; raises UnknownName."""
        with self._lock():
            if self._find(token_id) is None:
                raise UnknownName(
                    f"there is no token {token_id[:40]!r}: `certmaster-ca --list-tokens` shows them"
                )
            remove_file(self._path(token_id))
        log.info("token %s deleted", token_id)

    def proved(self, challenge: str, name: str, key_fingerprint: str) -> Token:
        """The token a request proves to have, fit to be used for that name and key; raises TokenRefused."""
        token = self._find(proof.claimed_id(challenge) or "")
        if token is None:
            raise TokenRefused(
                "its token is not known here: mistyped, deleted, long over, or of another certmaster. "
                f"{_remedy(name)}"
            )
        if not proof.holds(challenge, bytes.fromhex(token.key), name, key_fingerprint):
            raise TokenRefused(
                f"it names token {token.id} and does not prove to have it for {name} and its key"
            )
        self._check(token, name, key_fingerprint)
        return token

    def claim(self, token: Token, name: str, key_fingerprint: str) -> Token:
        """Hold a token for that name and key, before anything is signed with it."""
        claimed = replace(token, claimed_name=name, claimed_key=key_fingerprint)
        if claimed != token:
            self._write(claimed)
        return claimed

    def use_up(self, token: Token) -> None:
        """The end of a token whose certificate lies in its file."""
        self._write(replace(token, used_at=self._now().isoformat(timespec="seconds")))
        log.info("token %s used up by %s", token.id, token.claimed_name)

    def end_claims(self, name: str, but: str = "") -> None:
        """Use up what a crash left claimed for a name, all `but` the token of that id.

        To be called before the name's certificate goes: a claim would bring it back.
        """
        for token in self.list():
            if token.claimed_name == name and not token.used_at and token.id != but:
                self.use_up(token)

    def _check(self, token: Token, name: str, key_fingerprint: str) -> None:
        called = f"its token {token.id}"
        state = self.state(token)
        if state == "used":
            raise TokenRefused(
                f"{called} was used up by {token.claimed_name} at {token.used_at}. {_remedy(name)}"
            )
        if state == "expired":
            raise TokenRefused(f"{called} ended at {token.expires_at}. {_remedy(name)}")
        if not fnmatchcase(name, token.name):
            raise TokenRefused(f"{called} is for {token.name}, not for {name}. {_remedy(name)}")
        if state == "claimed" and (token.claimed_name, token.claimed_key) != (name, key_fingerprint):
            raise TokenRefused(
                f"{called} is being used by {token.claimed_name} with another key. {_remedy(name)}"
            )

    def _forget(self, now: datetime) -> None:
        for token in self.list():
            if datetime.fromisoformat(token.expires_at) + _REMEMBERED < now:
                remove_file(self._path(token.id))

    def _path(self, token_id: str) -> Path:
        return self._directory / f"{token_id}{_SUFFIX}"

    def _find(self, token_id: str) -> Optional[Token]:
        return self._read(self._path(token_id)) if proof.TOKEN_ID.fullmatch(token_id) else None

    def _read(self, path: Path) -> Optional[Token]:
        data = read_file(path)
        if data is None:
            return None
        try:
            token = Token(**json.loads(data))
            bytes.fromhex(token.key)
            token.state(self._now())
        except (ValueError, TypeError) as exc:
            raise FileError(f"{path}: is no token of this version: remove it ({exc})") from exc
        return token

    def _write(self, token: Token) -> None:
        write_file(self._path(token.id), json.dumps(asdict(token), indent=1).encode() + b"\n", SECRET)


def is_glob(name: str) -> bool:
    """Whether a token's name may stand for several hosts."""
    return bool(_GLOB_SIGNS.search(name))


def _check_name(name: str, replace: bool) -> str:
    """The name or glob in lower case; raises BadRequest."""
    lowered = name.strip().lower()
    if not is_glob(lowered):
        return check_host_name(lowered)
    if not _GLOB.fullmatch(lowered) or len(lowered) > LONGEST_NAME:
        raise BadRequest(
            f"{name[:80]!r} is neither a host name nor a glob of host names such as cloud*.example.org"
        )
    if replace:
        raise BadRequest(f"{lowered} is a glob: a token that replaces takes one name, or it could take any")
    return lowered


def _remedy(name: str) -> str:
    return f"`certmaster-ca --new-token {name}` on the certmaster makes another"
