"""Sign in to a cloud master of the demo: its first password, and an API token of its admin."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ADMIN = "admin"
_CREATE = ("token", "create", "--user", ADMIN, "--title", "make-run", "--file")


class TokenError(Exception):
    """No token could be made; the text says why."""


@dataclass(frozen=True)
class Admin:
    """The admin of the cloud master below `root`, whose API token is kept in `token_file`."""

    root: Path
    token_file: Path
    address: str
    port: int

    @property
    def password_file(self) -> Path:
        """Where cloudmasterd keeps the first password until somebody changes it."""
        return self.root / "var/lib/cloudmasterd/first-password"

    def password(self) -> str:
        """The first password; raises FileNotFoundError once it was changed."""
        return self.password_file.read_text(encoding="utf-8").strip()

    def token(self) -> str:
        """The API token; empty when there is none, or something else in the file."""
        try:
            text = self.token_file.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""
        return text if re.fullmatch("[A-Za-z0-9_-]+", text) else ""

    def headers(self) -> dict[str, str]:
        """What a request of the admin's carries."""
        token = self.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def keep_token(self) -> None:
        """See that the token works with the cloud master, which runs, and make another where it does not.

        Raises TokenError, OSError and ValueError.
        """
        if not self.token() or not self._works():
            make_token(self.root, self.token_file)

    def _works(self) -> bool:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=10)
        try:
            connection.request("GET", "/api/v1/whoami", headers=self.headers())
            response = connection.getresponse()
            body = response.read()
            return response.status == 200 and bool(json.loads(body)["role"] == "admin")
        finally:
            connection.close()


def make_token(root: Path, file: Path) -> None:
    """Have an API token of the admin written to a file; the cloud master below `root` need not run."""
    command = [str(Path(sys.prefix) / "bin/cloudmasterctl"), "--root", str(root), *_CREATE, str(file)]
    env = {**os.environ, "CERTMASTER_ROOT": str(root)}
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise TokenError(f"no API token could be made: {(done.stderr or done.stdout).strip()}")
