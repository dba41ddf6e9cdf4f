"""A real cobbler server and koan on this machine, in namespaces of their own, of which nothing stays.

Inside is a network of its own in which http://cobbler.example.org/ is cobbler, with files over /etc, /var,
/usr, /srv and /boot that only live in there; /tmp is the machine's, so files are exchanged through that.
Whatever shall meet cobbler under its name (koan, libvirtd, QEMU) is started with `run` or `popen`; a program
outside reaches it at `url`. It works for root and, where users may make namespaces, for everybody.
"""

from __future__ import annotations

import array
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Optional

from demo.ports import free_port

HERE = Path(__file__).resolve().parent
VENV = HERE.parents[1] / ".venvs" / "cobbler"
NAME = "cobbler.example.org"
# Set aside for documentation (RFC 5737). Guests on QEMU's user network reach it, which they do not 127.0.0.1.
ADDRESS = "192.0.2.1"
USER, PASSWORD = "cobbler", "cobbler"  # what cobbler is delivered with
STOP_WITHIN_S = 60


class Unavailable(Exception):
    """This machine cannot have the bench; the text says why."""


@dataclass(frozen=True)
class Page:
    """What the front answered."""

    status: int
    text: str


class Bench:
    """Cobbler in namespaces of its own, from `with Bench() as bench` to the end of that."""

    server = NAME
    address = ADDRESS
    koan = str(VENV / "bin/koan")

    def __init__(self) -> None:
        self._init: Optional[subprocess.Popen[str]] = None
        self._pid = 0  # process 1 of the namespaces, as seen from outside
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._token = ""
        self.url = ""  # where a program outside reaches the front, e.g. http://127.0.0.1:40123

    def __enter__(self) -> Bench:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def rootless(self) -> bool:
        """Whether root inside is an ordinary user outside."""
        return os.geteuid() != 0

    def _start(self) -> None:
        reason = why_not()
        if reason:
            raise Unavailable(reason)
        port = free_port()
        listener = socket.create_server(("127.0.0.1", port))
        with listener:
            self.url = f"http://127.0.0.1:{port}"
            fd = listener.fileno()
            inside = [VENV / "bin/python", "-W", "ignore", HERE / "inside.py", VENV, NAME, ADDRESS, str(fd)]
            self._init = subprocess.Popen(
                unshare() + [str(part) for part in inside],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, pass_fds=[fd],
                cwd="/", start_new_session=True, env=environment(),
            )  # fmt: skip
        assert self._init.stdout is not None
        said = ""
        while said.strip() != "ready":
            said = self._init.stdout.readline()
            if said.startswith("cannot: "):
                raise Unavailable(said.removeprefix("cannot: ").strip())
            if not said:
                raise RuntimeError(f"the bench ended with {self._init.wait()}:\n{self.log()}")
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text()
        self._pid = int(children.split()[0])

    def stop(self) -> None:
        """End every process inside; what the bench mounted goes with them."""
        self._log.close()
        if self._init is None:
            return
        for pipe in (self._init.stdin, self._init.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._init.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._init.kill()  # --kill-child takes process 1 with it
            self._init.wait()
        self._init = None

    def log(self) -> str:
        """What cobblerd and the front have said."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    # ------------------------------------------------------------------------------------------- programs

    def command(self, argv: Sequence[str | Path], unprivileged: bool = False, cwd: str = "/") -> list[str]:
        """The command line, for outside, that runs `argv` inside, as root or as nobody in particular."""
        into = ["nsenter", f"--target={self._pid}", "--mount", "--net", "--pid"]
        if self.rootless:
            into += ["--user", "--preserve-credentials"]
        drop = []
        if unprivileged and self.rootless:
            drop = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
        elif unprivileged:
            drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        return [*into, "env", "-C", cwd, *drop, *map(str, argv)]

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        unprivileged: bool = False,
        cwd: str = "/",
        env: Mapping[str, str] = {},
        timeout: float = 300,
        **kw: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside and give its exit code and output; `env` comes on top of the usual one."""
        kw = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "check": False, **kw}
        if "input" in kw:
            del kw["stdin"]
        command = self.command(argv, unprivileged, cwd)
        return subprocess.run(command, env=environment(env), timeout=timeout, **kw)

    def popen(
        self,
        argv: Sequence[str | Path],
        *,
        unprivileged: bool = False,
        cwd: str = "/",
        env: Mapping[str, str] = {},
        **kw: Any,
    ) -> subprocess.Popen[Any]:
        """Start a program inside that goes on by itself; the end of the bench is its end as well."""
        return subprocess.Popen(self.command(argv, unprivileged, cwd), env=environment(env), **kw)

    def listen(self, port: int, address: str = "0.0.0.0") -> socket.socket:
        """A socket that listens inside, for a server that runs in the test itself."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            script = (
                "import array, socket, sys; s = socket.create_server((sys.argv[2], int(sys.argv[3])));"
                " socket.socket(fileno=int(sys.argv[1])).sendmsg("
                "[b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [s.fileno()]))])"
            )
            argv = [sys.executable, "-c", script, str(theirs.fileno()), address, str(port)]
            done = self.run(argv, pass_fds=[theirs.fileno()])
            assert done.returncode == 0, done.stderr
            _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(array.array("i", [0]).itemsize))
        return socket.socket(fileno=array.array("i", ancillary[0][2])[0])

    # -------------------------------------------------------------------------------------------- cobbler

    def call(self, method: str, *args: Any) -> Any:
        """Ask cobbler's XML-RPC; a method that needs a token gets `bench.token()` as its last argument."""
        with xmlrpc.client.ServerProxy(f"{self.url}/cobbler_api", allow_none=True) as proxy:
            return getattr(proxy, method)(*args)

    def token(self) -> str:
        """A token of cobbler's administrator; the same one for the whole life of the bench."""
        self._token = self._token or self.call("login", USER, PASSWORD)
        return self._token

    def get(self, path: str) -> Page:
        """What a GET of the front gives, e.g. /cblr/svc/op/autoinstall/profile/NAME."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=60) as reply:
                return Page(reply.status, reply.read().decode())
        except urllib.error.HTTPError as exc:
            with exc:
                return Page(exc.code, exc.read().decode())

    def register(
        self,
        profile: str,
        kickstart: str = "url --url=http://cobbler.example.org/cobbler/pub/\nreboot\n",
        kernel: Optional[Path] = None,
        initrd: Optional[Path] = None,
        distro: Mapping[str, Any] = {},
        **options: Any,
    ) -> None:
        """Register a distro and a profile of that name, or replace both; `kickstart` is a Cheetah template.

        kernel and initrd are any files (without them, a few bytes are made up); `distro` and `options` are
        what cobbler knows of distros and profiles, e.g. virt_ram=512, kernel_options="console=ttyS0".
        """
        files = self._boot_files(profile, kernel, initrd)
        template = f"{profile}.ks"
        self.call("write_autoinstall_template", template, kickstart, self.token())
        given = {"arch": "x86_64", "breed": "redhat", "os_version": "", **files, **distro}
        self._save("distro", profile, given)
        self._save("profile", profile, {"distro": profile, "autoinstall": f"/{template}", **options})

    def _save(self, kind: str, name: str, fields: Mapping[str, Any]) -> None:
        token = self.token()
        if self.call("has_item", kind, name):
            handle = self.call(f"get_{kind}_handle", name, token)
        else:
            handle = self.call(f"new_{kind}", token)
            self.call(f"modify_{kind}", handle, "name", name, token)
        for key, value in fields.items():
            self.call(f"modify_{kind}", handle, key, value, token)
        self.call(f"save_{kind}", handle, token)
        if kind == "profile":
            # After a save cobbler 3.3 caches the profile without its kickstart, until the next change.
            handle = self.call("get_profile_handle", name, token)
            self.call("modify_profile", handle, "autoinstall", fields["autoinstall"], token)

    def _boot_files(self, name: str, kernel: Optional[Path], initrd: Optional[Path]) -> dict[str, str]:
        """Copies inside, below the names that cobbler wants for such files."""
        folder = f"/var/lib/cobbler/boot/{name}"
        made = {}
        for key, file, given in (("kernel", "vmlinuz", kernel), ("initrd", "initrd.img", initrd)):
            made[key] = f"{folder}/{file}"
            script = 'mkdir -p "$1" && cat > "$2"'
            content = given.read_bytes() if given is not None else f"{key} of {name}\n".encode()
            done = self.run(["sh", "-c", script, "sh", folder, made[key]], input=content, text=False)
            assert done.returncode == 0, done.stderr
        return made


def unshare() -> list[str]:
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return argv if os.geteuid() == 0 else [argv[0], "--map-root-user", *argv[1:]]


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """What programs inside get to see: koan and cobbler before all else, nothing of a proxy."""
    usual = f"{VENV}/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
    return {"PATH": usual, "HOME": "/root", "LC_ALL": "C.UTF-8", **more}


def why_not() -> str:
    """Why this machine cannot have a bench, or an empty string."""
    if not sys.platform.startswith("linux"):
        return "namespaces are Linux's"
    for program in ("unshare", "nsenter", "mount", "ip"):
        if shutil.which(program, path=environment()["PATH"]) is None:
            return f"there is no {program} on this machine"
    if not (VENV / "usable").exists():
        return "there is no .venvs/cobbler: make setup-test makes it"
    done = subprocess.run(
        [*unshare(), "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else ""
