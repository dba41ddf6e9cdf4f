"""The local socket of certmaster: made for its owner and one group, and who speaks on it."""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import pwd
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from certmaster.errors import ListenError

_MODE = 0o660
_BACKLOG = 32

# A path of a Unix socket may not be longer than 107 bytes; a longer one is reached through its directory.
_LONGEST_PATH = 100


@dataclass(frozen=True)
class AdminSocket:
    """Where the local socket is, and the group that may use it besides the owner ("" for the owner's)."""

    path: Path
    group: str = ""

    def listen(self) -> socket.socket:
        """A listening socket, with what a dead certmaster left there removed; raises ListenError."""
        group = self._group_id() if self.group else -1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._is_answered():
                raise ListenError(
                    f"{self.path}: another certmaster listens there: stop it, or set admin_socket"
                )
            if os.path.lexists(self.path) and not stat.S_ISSOCK(self.path.lstat().st_mode):
                raise ListenError(f"{self.path} is there, and no socket: set admin_socket to another path")
            self.path.unlink(missing_ok=True)
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._reach(listening.bind)
                # Until now others could read it at most, and that does not let them connect.
                os.chown(self.path, -1, group)
                self.path.chmod(_MODE)
                listening.listen(_BACKLOG)
            except OSError:
                listening.close()
                raise
        except OSError as exc:
            raise ListenError(self._why_not(exc)) from exc
        return listening

    def remove(self) -> None:
        """Take the socket's file away; it may be gone."""
        self.path.unlink(missing_ok=True)

    def _is_answered(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                self._reach(probe.connect)
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

    def _reach(self, act: object) -> None:
        assert callable(act)
        if len(os.fsencode(self.path)) <= _LONGEST_PATH:
            act(str(self.path))
            return
        directory = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            act(f"/proc/self/fd/{directory}/{self.path.name}")
        finally:
            os.close(directory)

    def _group_id(self) -> int:
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError as exc:
            text = f"admin_group = {self.group}: this machine has no such group: make it, or correct the name"
            raise ListenError(f"{text} in certmaster.conf") from exc

    def _why_not(self, exc: OSError) -> str:
        text = f"cannot listen on {self.path}: {exc.strerror or exc}"
        if exc.errno == errno.EPERM and self.group:
            return (
                f"{text}: only root, or a member of {self.group}, can give it to admin_group = {self.group}"
            )
        return f"{text}; set admin_socket in certmaster.conf, to nothing for none"


@dataclass(frozen=True)
class LocalPeer:
    """Who is at the other end, as the kernel knows it; as text such as `root, process 4711`."""

    name: str
    pid: int
    uid: int

    @property
    def is_owner(self) -> bool:
        """Whether it is root, or the user whose authority this is: they could do it by hand as well."""
        return self.uid in (0, os.geteuid())

    def __str__(self) -> str:
        return f"{self.name}, process {self.pid}"


def peer_of(writer: asyncio.StreamWriter) -> LocalPeer:
    """Who is at the other end of a connection."""
    end = writer.get_extra_info("socket")
    pid, uid, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user {uid}"
    return LocalPeer(name, pid, uid)
