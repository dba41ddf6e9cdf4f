"""The key that packages and repository metadata are signed with: a given one, or one made for tests."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

TEST_NAME = "cloudmasterd test key, trust it on test machines only"

# RSA, because an older rpm reads nothing newer; no passphrase, because nobody is there to type it.
_RECIPE = f"""\
%no-protection
Key-Type: RSA
Key-Length: 3072
Key-Usage: sign
Name-Real: {TEST_NAME}
Expire-Date: 0
%commit
"""


@dataclass(frozen=True)
class Key:
    """A secret key of GnuPG; `home` is None for the keyring of whoever calls."""

    name: str
    home: Optional[Path]

    def gpg(self, *arguments: str) -> list[str]:
        """The command line of a gpg that sees this key."""
        home = [] if self.home is None else ["--homedir", str(self.home)]
        return ["gpg", *home, "--batch", "--yes", "--quiet", *arguments]

    def public(self) -> bytes:
        """The public half, as text."""
        command = self.gpg("--armor", "--export-options", "export-minimal", "--export", self.name)
        exported = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        if not exported:
            raise ValueError(f"gpg knows no key {self.name!r}: `gpg --list-secret-keys` shows those it knows")
        return exported

    def sign_packages(self, packages: list[Path]) -> None:
        """Put a signature into each package."""
        command = ["rpmsign", "--define", f"_gpg_name {self.name}", "--define", "__gpg /usr/bin/gpg"]
        env = dict(os.environ)
        if self.home is not None:
            command += ["--define", f"_gpg_path {self.home}"]
            env["GPG_TTY"] = ""  # no passphrase is asked for; rpmsign complains of each missing terminal
        command += ["--addsign", *map(str, packages)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)

    def sign_beside(self, path: Path) -> None:
        """Write the detached signature PATH.asc."""
        command = self.gpg("--local-user", self.name, "--armor", "--detach-sign", str(path))
        subprocess.run(command, check=True)

    def let_go(self) -> None:
        """End the agent that gpg started for a keyring of our own."""
        if self.home is not None:
            command = ["gpgconf", "--homedir", str(self.home), "--kill", "gpg-agent"]
            subprocess.run(command, check=False)


def find_key(wanted: str, home: Path) -> Key:
    """The key `wanted` of the caller's keyring; if that is empty the test key in `home`, made if need be."""
    if wanted:
        return Key(wanted, None)
    key = Key(TEST_NAME, home)
    if not (home / "pubring.kbx").exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        subprocess.run(key.gpg("--generate-key"), check=True, input=_RECIPE.encode())
    return key
