"""The first admin of a new cloud master, and the file that says the password."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Protocol

from cloudmasterd.accounts import FIRST_ADMIN, User
from cloudmasterd.acting import Deed, acting
from cloudmasterd.clock import Clock
from cloudmasterd.errors import StartError
from cloudmasterd.password_rules import generate
from cloudmasterd.rights import Role

log = logging.getLogger(__name__)

FILE = "first-password"


class Users(Protocol):
    """What is needed of the use cases about people."""

    def any_user(self) -> bool:
        """Whether there are users at all."""

    def list_users(self) -> list[User]:
        """All users."""

    def create_user(self, name: str, role: Role, password: str) -> User:
        """A new user."""


class FirstPassword:
    """The file beside a database that holds the first admin's password until that is changed."""

    def __init__(self, database: Path) -> None:
        self.path = database.parent / FILE

    def write(self, password: str) -> None:
        """Put a password there, for the daemon's account alone; StartError. It is on the disk then."""
        part = self.path.with_name(f"{FILE}.part")
        try:
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{password}\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            _sync(self.path.parent)
        except OSError as exc:
            raise StartError(
                f"cannot write the first admin's password to {self.path}: {exc.strerror or exc}; the account"
                f" cloudmasterd runs under must be able to write in {self.path.parent}"
            ) from exc

    def forget(self) -> None:
        """Remove it: the password in it is good for nothing any more."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as exc:
            log.warning(
                "%s is not needed any more, and cannot be removed: %s", self.path, exc.strerror or exc
            )


def ensure_first_admin(users: Users, file: FirstPassword, clock: Clock) -> bool:
    """Where there is no user, make an admin with a random password; whether that was done.

    The password is in the file before the admin is in the database. Where it is, the lines of
    `cloudmasterctl status` say, which the daemon logs as well. Raises StartError, StoreError.
    """
    if users.any_user():
        if file.path.exists() and not _is_first(users):
            file.forget()  # an end came between a change of the password and this
        return False
    password = generate(clock)
    file.write(password)
    with acting(Deed("cloudmasterd", "createUser")):
        users.create_user(FIRST_ADMIN, Role.ADMIN, password)
    return True


def _is_first(users: Users) -> bool:
    """Whether the first admin still has the first password."""
    return any(user.name == FIRST_ADMIN and user.password_changed_at is None for user in users.list_users())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
