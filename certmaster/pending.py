"""A renewal under way: the new key, then its certificate, beside those in use."""

from __future__ import annotations

from pathlib import Path

from certmaster import ca
from certmaster.certdir import PUBLIC, SECRET, MinionFiles, read_file, remove_file, write_file


def next_file(path: Path) -> Path:
    """Where what is to take the place of a file lies until then."""
    return path.with_name(f"{path.name}.next")


def finish(files: MinionFiles) -> None:
    """Complete a renewal whose certificate has come; the lock of the directory is held.

    Key and certificate are two files: whatever moment this is cut off at, one of the two names has each.
    """
    next_key, next_cert = next_file(files.key_file), next_file(files.cert_file)
    new_cert, new_pem = read_file(next_cert), read_file(next_key)
    if new_cert is None:
        return
    if new_pem is not None and ca.key_matches(new_cert, new_pem):
        write_file(files.key_file, new_pem, SECRET)
    if ca.key_matches(new_cert, read_file(files.key_file) or b""):
        write_file(files.cert_file, new_cert, PUBLIC)
        remove_file(next_cert)
        remove_file(next_key)
