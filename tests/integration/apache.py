"""Apache in front of a cloud master, with the configuration that is packaged."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.support import REPOSITORY, eventually

PACKAGED = REPOSITORY / "packaging/httpd/cloudmasterd.conf"
MODULES = Path("/usr/lib/apache2/modules")
LOADED = ("mpm_event", "alias", "authz_core", "authz_host", "proxy", "proxy_http", "remoteip")

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


def why_not() -> str:
    """Why there is no Apache here; empty where there is one."""
    if shutil.which("apache2", path="/usr/sbin:/usr/bin") is None or not MODULES.is_dir():
        return "apache2 is not installed: make setup-test installs it"
    return ""


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def apache(
    folder: Path, port: int, web_port: int, besides: str = "", *, tls_alone: bool = False
) -> Iterator[Path]:
    """Apache on that port, passing on to the cloud master's; its log of errors.

    `besides` is configuration of the test's own, before what is packaged. `tls_alone` takes the # off, as an
    administrator does who is told so there.
    """
    packaged = PACKAGED.read_text()
    if tls_alone:
        packaged, count = re.subn("^#   (?=Rewrite)", "", packaged, flags=re.MULTILINE)
        assert count == 3
    assert "127.0.0.1:8107" in packaged
    file = folder / "httpd.conf"
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED)
    file.write_text(
        _MAIN.format(
            folder=folder, port=port, modules=modules,
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
        server.wait(10)
