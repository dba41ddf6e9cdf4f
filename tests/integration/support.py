"""What the integration tests share: waiting, asking, running the commands, a libvirt daemon of their own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from cloudmasterd.model import MemoryPolicy
from demo.cloud import Cloud
from demo.nodes import Node
from tests.sockets import listens

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]


def eventually(look: Callable[[], T], what: str, within_s: float = 60.0) -> T:
    """Look again and again until there is something to see; fails with `what` when there never is."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    cloud: Cloud,
    method: str,
    path: str,
    accept: str = "application/json",
    timeout_s: float = 60.0,
    body: Optional[bytes] = None,
    headers: Mapping[str, str] = {},
    *,
    signed_in: bool = True,
) -> Reply:
    """The answer to a request of the admin's, or to one of nobody's."""
    known = cloud.admin.headers() if signed_in else {}
    connection = http.client.HTTPConnection("127.0.0.1", cloud.ports.web, timeout=timeout_s)
    try:
        connection.request(method, path, body=body, headers={"Accept": accept, **known, **headers})
        response = connection.getresponse()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def get_cloud(cloud: Cloud, name: str) -> Any:
    return ask(cloud, "GET", f"/api/v1/clouds/{name}").json


def refresh(cloud: Cloud, name: str) -> Reply:
    return ask(cloud, "POST", f"/api/v1/clouds/{name}/refresh")


def list_machines(cloud: Cloud, query: str = "") -> list[Any]:
    items: list[Any] = []
    path: Optional[str] = f"/api/v1/machines?limit=100{query}"
    while path:
        page = ask(cloud, "GET", path).json
        items += page["items"]
        path = page["next"]
    return items


def find_machine(cloud: Cloud, name: str) -> Optional[Any]:
    return next((m for m in list_machines(cloud) if m["name"] == name), None)


def run_command(
    cloud: Cloud, program: str, *args: str, root: Optional[Path] = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        cloud.command(program, *args, root=root),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def func_call(cloud: Cloud, name: str, module: str, method: str, *args: str) -> str:
    """What `func NAME call MODULE METHOD ARGS` printed; it must have gone well."""
    done = run_command(cloud, "func", name, "call", module, method, *args)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "REMOTE_ERROR" not in done.stdout, done.stdout
    return done.stdout


def expected_free_mb(node: Node, policy: MemoryPolicy = MemoryPolicy()) -> int:
    """The documented formula over what the node file says."""
    active = [m for m in node.machines if m.state in ("running", "paused")]
    return (
        node.memory_mb
        - max(policy.reserve_min_mb, node.memory_mb * policy.reserve_percent // 100)
        - sum(m.memory_mb + policy.overhead_mb for m in active)
    )


def pids_below(root: Path) -> list[int]:
    """Processes whose command line speaks of a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(root) in command:
                found.append(int(entry.name))
    return found


def libvirtd_program() -> Optional[str]:
    return shutil.which("libvirtd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def start_libvirtd(uri: str = "test+unix:///default") -> Iterator[str]:
    """A libvirt daemon of the tests' own; gives the URI of a host that several connections share.

    With qemu+unix:///session it runs QEMU, as the user 65534 where the tests are root's.

    libvirt's test driver keeps the state of `test:///default` for the whole process, so behind a daemon
    whoever connects sees the same machines: the test defines them, the minion reports them.
    """
    program = libvirtd_program()
    assert program is not None
    home = Path(tempfile.mkdtemp(prefix="libvirtd-"))
    argv = [program]
    (home / "libvirt").mkdir()
    (home / "libvirt/qemu.conf").write_text('stdio_handler = "file"\n')  # else it wants a daemon for its logs
    if os.geteuid() == 0:  # a session daemon refuses to be root's
        argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    env.update({f"XDG_{kind}": str(home) for kind in ("RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME")})
    daemon = subprocess.Popen(
        argv, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    path = home / "libvirt" / "libvirt-sock"
    try:
        eventually(lambda: listens(path) or daemon.poll() is not None, "libvirtd to listen")
        assert daemon.poll() is None, "libvirtd ended at once"
        yield f"{uri}?socket={path}"
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def python_script(cloud: Cloud, code: str) -> str:
    """What a Python script of an administrator prints on the master."""
    env = {**os.environ, "CERTMASTER_ROOT": str(cloud.root_of("cloudmasterd"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=REPOSITORY,
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
