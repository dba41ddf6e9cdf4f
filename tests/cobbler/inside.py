"""Process 1 of the bench's namespaces: make a machine on which cobbler lives, start it, end with the bench.

`inside.py VENV NAME ADDRESS LISTENER`, in new mount, network, process and perhaps user namespaces. It lays
overlays over the directories whose paths cobbler and koan have built in, so that nothing they write reaches
the machine, starts cobblerd and front.py, writes `ready` on its standard output, and ends when its standard
input does; the kernel then ends every other process in here. LISTENER is the descriptor of a socket that
listens outside.
"""

from __future__ import annotations

import http.client
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

SCRATCH = Path("/mnt")  # a tmpfs in here: gone with the namespace
SKELETON = Path(yaml.__file__).parents[1]  # cobbler's wheel carries etc/ and var/ beside its code
OVERLAID = ("etc", "var", "srv", "boot", "usr")
# Without the machine's root (in a user namespace) only directories of our own can be written to.
OURS = (
    "etc/genome", "var/log/cobbler/anamon", "var/log/koan", "var/lib/koan",
    "var/lib/genome-replace-self", "var/spool", "srv/tftpboot", "boot", "usr/sbin", "usr/share/cobbler/bin",
    "var/www/cobbler/images", "var/www/cobbler/pub", "var/www/cobbler/distro_mirror", "var/www/cobbler/misc",
    "var/www/cobbler/repo_mirror", "var/www/cobbler/links", "var/www/cobbler/rendered",
)  # fmt: skip
COLLECTIONS = (
    "distros",
    "files",
    "images",
    "menus",
    "mgmtclasses",
    "packages",
    "profiles",
    "repos",
    "systems",
)
START_WITHIN_S = 180


class CannotBeHad(Exception):
    """This machine does not allow what the bench needs."""


def mount(*args: str) -> None:
    done = subprocess.run(["mount", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBeHad(f"mount {' '.join(args)}: {done.stderr.strip()}")


def lay_overlays(name: str, address: str) -> None:
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(SCRATCH))
    upper = SCRATCH / "upper"
    shutil.copytree(SKELETON / "etc/cobbler", upper / "etc/cobbler")
    shutil.copytree(SKELETON / "var", upper / "var")
    for path in (*OURS, *(f"var/lib/cobbler/collections/{each}" for each in COLLECTIONS)):
        (upper / path).mkdir(parents=True, exist_ok=True)
    write_settings(upper / "etc", name, address)
    for top in OVERLAID:
        work = SCRATCH / "work" / top
        work.mkdir(parents=True)
        layers = f"lowerdir=/{top},upperdir={upper / top},workdir={work}"
        # In a user namespace trusted.* attributes are not ours to set; `userxattr` takes user.* instead.
        own_user = ",userxattr" if in_user_namespace() else ""
        mount("-t", "overlay", "overlay", "-o", layers + own_user, f"/{top}")


def in_user_namespace() -> bool:
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]


def write_settings(etc: Path, name: str, address: str) -> None:
    settings_file = etc / "cobbler/settings.yaml"
    settings = yaml.safe_load(settings_file.read_text())
    settings.update(
        server=name, next_server_v4=address, manage_tftpd=False, restart_dns=False, restart_dhcp=False
    )
    settings_file.write_text(yaml.safe_dump(settings))
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{address} {name}\n")
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")


def bring_up_network(address: str) -> None:
    for command in (["link", "set", "lo", "up"], ["addr", "add", f"{address}/32", "dev", "lo"]):
        done = subprocess.run(["ip", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotBeHad(f"ip {' '.join(command)}: {done.stderr.strip()}")


def answers(address: str) -> bool:
    """Whether cobbler answers through the front, which means that both are there."""
    connection = http.client.HTTPConnection(address, 80, timeout=5)
    try:
        body = "<?xml version='1.0'?><methodCall><methodName>ping</methodName></methodCall>"
        connection.request("POST", "/cobbler_api", body, {"Content-Type": "text/xml"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def bereaved(timeout_s: float) -> bool:
    """Whether the bench has gone, waiting a moment for that."""
    readable, _, _ = select.select([0], [], [], timeout_s)
    return bool(readable) and not os.read(0, 1)


def reap(programs: dict[int, str]) -> None:
    """Collect the dead, as process 1 must; ends when cobblerd or the front is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in programs:
            sys.exit(f"{programs[pid]} ended with {os.waitstatus_to_exitcode(status)}")


def main() -> None:
    venv, name, address, listener = sys.argv[1:]
    try:
        lay_overlays(name, address)
        bring_up_network(address)
    except CannotBeHad as exc:
        print(f"cannot: {exc}", flush=True)
        return
    python = f"{venv}/bin/python"
    front = [python, str(Path(__file__).with_name("front.py")), address, listener]
    programs = {
        subprocess.Popen([python, f"{venv}/bin/cobblerd", "-F"], stdout=2).pid: "cobblerd",
        subprocess.Popen(front, stdout=2, pass_fds=[int(listener)]).pid: "the front",
    }
    deadline = time.monotonic() + START_WITHIN_S
    while not answers(address):
        reap(programs)
        if time.monotonic() > deadline:
            sys.exit(f"cobblerd did not answer within {START_WITHIN_S} s")
        if bereaved(0.1):
            return
    print("ready", flush=True)
    while not bereaved(0.5):
        reap(programs)


if __name__ == "__main__":
    main()
