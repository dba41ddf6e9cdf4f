"""What cloud-init is to set up in a machine instance: read out of JSON and checked."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from cloudmasterd.jsonbody import (
    Field,
    Reader,
    WrongError,
    flag,
    list_of,
    matching,
    mistyped,
    need_text,
    read_object,
    say,
    wrong,
)

MAX_USERS = 32
MAX_KEYS = 64
MAX_GROUPS = 32
MAX_USER_DATA_BYTES = 64 * 1024
MAX_KEY_LENGTH = 16 * 1024

KEY_KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
PASSWORDS = frozenset({"password", "passwd", "plain_text_passwd", "hashed_passwd", "lock_passwd"})

_USER_WANT = "a user name: a-z or _ first, then at most 31 of a-z, 0-9, _ and -"
_KEY_WANT = "a public key in one line as in id_ed25519.pub: kind, base64 and a comment"
_user_name = matching(r"[a-z_][a-z0-9_-]{0,31}", _USER_WANT)
# what cloud-init recognises: #cloud-config, #!, #include, ## template: jinja ..., or a MIME message
_USER_DATA_HEADS = ("#", "Content-Type:", "MIME-Version:")


def read_cloud_init(hostname: Reader) -> Reader:
    """Reads the `cloud_init` object; what was not given is not there, and users are objects with a name."""
    fields = (
        Field("hostname", hostname, None, may_be_null=True),
        Field("users", _users, None, may_be_null=True),
        Field("ssh_keys", _ssh_keys, None, may_be_null=True),
        Field("user_data", _user_data, None, may_be_null=True),
    )

    def read(value: Any) -> dict[str, Any]:
        return _given(read_object(value, fields))

    return read


def _given(values: dict[str, Any]) -> dict[str, Any]:
    # lists, so that what is written as JSON and read again is equal
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}


def _users(value: Any) -> tuple[dict[str, Any], ...]:
    users: tuple[dict[str, Any], ...] = list_of(_user, MAX_USERS)(value)
    names = [user["name"] for user in users]
    doubled = [
        (f"[{index}].name", f"'{name}' stands there already, at [{names.index(name)}]: give each user once")
        for index, name in enumerate(names)
        if names.index(name) != index
    ]
    if doubled:
        raise WrongError(*doubled)
    return users


def _user(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": _user_name(value)}
    if isinstance(value, dict):
        secret = [name for name in value if name in PASSWORDS]
        if secret:
            text = "passwords are not taken here: give ssh_keys, or write a hash into user_data"
            raise WrongError(*((name, text) for name in secret))
        return _given(read_object(value, _USER_FIELDS))
    raise mistyped(value, "a user name, or an object with name, ssh_keys, groups, sudo, shell")


def _ssh_key(value: Any) -> str:
    key = need_text(value, _KEY_WANT).strip()
    if "PRIVATE KEY" in key:
        raise wrong(f"this is a private key, keep it to yourself: give {_KEY_WANT}")
    if len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise wrong(f"not one printable line of at most {MAX_KEY_LENGTH} characters: give {_KEY_WANT}")
    kind, _, rest = key.partition(" ")
    if kind not in KEY_KINDS:
        raise wrong(f"{say(kind)} is no kind of key: give {_KEY_WANT}; kinds are {', '.join(KEY_KINDS)}")
    try:
        blob = base64.b64decode(rest.split(" ")[0].encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise wrong(f"what follows {kind} is not base64: give {_KEY_WANT}, copied whole") from exc
    head = len(kind).to_bytes(4, "big") + kind.encode("ascii")
    if not blob.startswith(head) or len(blob) < len(head) + 32:
        raise wrong(f"what follows {kind} is no such key, or not all of it: give {_KEY_WANT}, copied whole")
    return key


_ssh_keys = list_of(_ssh_key, MAX_KEYS, unique=True)

_USER_FIELDS = (
    Field("name", _user_name),
    Field("ssh_keys", _ssh_keys, None, may_be_null=True),
    Field("groups", list_of(_user_name, MAX_GROUPS, unique=True), None, may_be_null=True),
    Field("sudo", flag, None, may_be_null=True),
    Field(
        "shell",
        matching(r"(/[A-Za-z0-9._+-]{1,64}){1,8}", "the path of a shell, e.g. /bin/bash"),
        None,
        may_be_null=True,
    ),
)


def _user_data(value: Any) -> str:
    want = (
        f"text of at most {MAX_USER_DATA_BYTES // 1024} KiB that begins as cloud-init expects: #cloud-config"
    )
    given = need_text(value, want)
    try:
        size = len(given.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise wrong(f"it is no sound Unicode at character {exc.start + 1}: give {want}") from exc
    if size > MAX_USER_DATA_BYTES:
        raise wrong(f"it has {size} bytes: give {want}")
    bad = re.search(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f]", given)
    if bad:
        raise wrong(f"it holds the character U+{ord(bad[0]):04X}: give {want}")
    if given and not given.startswith(_USER_DATA_HEADS):
        raise wrong(f"it begins with {say(given.splitlines()[0][:40])}: give {want}, #! or Content-Type:")
    return given
