"""Apache in front of a cloud master, with the configuration that is packaged."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

from tests.integration.support import REPOSITORY, eventually

# The tests say where a request comes from, since all of theirs come from this machine.
AS_FROM = "RemoteIPHeader X-Comes-From\nRemoteIPInternalProxy 127.0.0.1\n"
PACKAGED = REPOSITORY / "packaging/httpd/cloudmasterd.conf"
MODULES = Path("/usr/lib/apache2/modules")
LOADED = ("mpm_event", "alias", "authz_core", "authz_host", "headers", "proxy", "proxy_http", "remoteip")
SIGNING_IN = ("auth_basic", "authn_core", "authn_file", "authz_user")

_MAIN = """\
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error
{modules}
User nobody
Group nogroup
{packaged}
"""


def why_not(*, tls: bool = False) -> str:
    """Why there is no Apache here; empty where there is one."""
    if tls and not (MODULES / "mod_ssl.so").exists():
        return "Apache has no mod_ssl here"
    if shutil.which("apache2", path="/usr/sbin:/usr/bin") is None or not MODULES.is_dir():
        return "apache2 is not installed: make setup-test installs it"
    return ""


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _modules(names: Iterable[str]) -> str:
    return "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in names)


def certify(folder: Path) -> tuple[Path, Path]:
    """A certificate for cloud.example.org that it signed itself, and its key."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=cloud.example.org", "-addext", "subjectAltName=DNS:cloud.example.org"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


def with_tls(port: int, certificate: Path, key: Path) -> str:
    """What mod_ssl brings: another port."""
    return _modules(("ssl", "rewrite")) + (
        f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\n"
        f"SSLEngine on\nSSLCertificateFile {certificate}\nSSLCertificateKeyFile {key}\n</VirtualHost>\n"
    )


@contextmanager
def password_file(user: str, password: str) -> Iterator[Path]:
    """A file that Apache knows a user by."""
    command = ["openssl", "passwd", "-apr1", password]
    digest = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Read at each request, so not below a folder of pytest's, which is nobody else's.
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(f"{user}:{digest}")
        file.flush()
        os.chmod(file.name, 0o644)
        yield Path(file.name)


def signing_in(packaged: str, folder: Path, passwords: Path, secret: str) -> str:
    """What is packaged, with the # off the lines by which Apache signs people in; by a file here."""
    head, begin, example = packaged.partition("#Include ")
    assert begin
    file = folder / "secret.conf"
    file.write_text(f"Define CLOUDMASTERD_SECRET {secret}\n")
    example = re.sub("^#", "", begin + example, flags=re.MULTILINE)
    for packaged_line, ours in (
        ("Include /etc/httpd/cloudmasterd-secret.conf", f"Include {file}"),
        ("AuthBasicProvider ldap", "AuthBasicProvider file"),
        (
            'AuthLDAPURL "ldaps://ldap.example.org/ou=people,dc=example,dc=org?uid"',
            f"AuthUserFile {passwords}",
        ),
    ):
        assert packaged_line in example
        example = example.replace(packaged_line, ours)
    return head + example


@contextmanager
def apache(
    folder: Path,
    port: int,
    web_port: int,
    besides: str = "",
    *,
    tls_alone: bool = False,
    passwords: Optional[Path] = None,
    secret: str = "",
) -> Iterator[Path]:
    """Apache on that port, passing on to the cloud master's; its log of errors.

    `besides` is configuration of the test's own, before what is packaged. `tls_alone` takes the # off, as an
    administrator does who is told so there; so do `passwords`, a file of names and hashes in place of a
    directory, with the `secret` that is shared with the cloud master.
    """
    packaged = PACKAGED.read_text()
    if tls_alone:
        packaged, count = re.subn("^#   (?=Rewrite)", "", packaged, flags=re.MULTILINE)
        assert count == 3
    if passwords is not None:
        besides += _modules(SIGNING_IN)
        packaged = signing_in(packaged, folder, passwords, secret)
    assert "127.0.0.1:8107" in packaged
    file = folder / "httpd.conf"
    file.write_text(
        _MAIN.format(
            folder=folder, port=port, modules=_modules(LOADED),
            packaged=besides + packaged.replace("127.0.0.1:8107", f"127.0.0.1:{web_port}"),
        )
    )  # fmt: skip
    server = subprocess.Popen(
        ["/usr/sbin/apache2", "-f", str(file), "-DFOREGROUND"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: listens(port) or server.poll() is not None, "Apache to listen")
        assert server.poll() is None, "Apache ended at once"
        yield folder / "error"
    finally:
        server.terminate()
        server.wait(60)
