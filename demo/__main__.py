"""`make run`: start a whole cloud, say where it is, stay in the foreground, leave nothing behind."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn, Optional

from demo.cloud import MASTER, Cloud, DemoError
from demo.launch import die_with_parent
from demo.layout import Ports
from demo.nodes import MOST_CLOUDS
from demo.people import ADMIN
from demo.process import how_it_ended

VAR = Path("var")
READY = "cloudmasterd is ready:"


class Interrupt(KeyboardInterrupt):
    """Somebody wants the demo to end."""


class Log:
    """Writes every program's lines to the terminal, aligned, its name before each."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._width = len("cloud1.example.org")

    def __call__(self, name: str, line: str) -> None:
        """Write one line of one program."""
        if name == MASTER and READY in line:
            return  # said by the demo itself once there is something to see
        self.say(f"{name:<{self._width}} | {line}")

    def say(self, text: str) -> None:
        """Write a line of the demo's own; a terminal that went away stops nothing."""
        with self._lock:
            try:
                self._out.write(text + "\n")
                self._out.flush()
            except OSError:
                pass


def number(env: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    """A whole number from the environment; raises DemoError saying what would be right."""
    text = env.get(key, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 7 and low <= int(text) <= high):
        raise DemoError(
            f"{key}={text} is not right: give a whole number from {low} to {high}, e.g. {key}={default}"
        )
    return int(text)


@contextmanager
def only_one(var: Path, url: str) -> Iterator[None]:
    """Hold var/run.lock while the demo runs; raises DemoError naming the one that holds it."""
    var.mkdir(exist_ok=True)
    with (var / "run.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid, _, there = lock.read().strip().partition(" ")
            raise DemoError(
                f"a demo runs here already: {there or 'it is still starting'} (process {pid or 'unknown'})."
                " End it with Ctrl-C in its terminal" + (f" or with: kill {pid}" if pid else "")
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} {url}\n")
        lock.flush()
        yield
        lock.truncate(0)


def refuse_busy_addresses(cloud: Cloud) -> None:
    """Raise DemoError when somebody else listens where the demo would."""
    busy = cloud.busy_addresses()
    if not busy:
        return
    shown = ", ".join(busy[:4]) + (f" and {len(busy) - 4} more" if len(busy) > 4 else "")
    if busy == [f"127.0.0.1:{cloud.ports.web}"]:
        hint = f"Choose another port, e.g. make run PORT={cloud.ports.web + 1}"
    else:
        hint = (
            f"Port {cloud.ports.certmaster} is certmaster's and {cloud.ports.func} the minions': most likely"
            " a demo of another checkout runs. End it, or give this one ports of its own, e.g."
            " make run PORT=8108 FUNC_PORT=51334 CERTMASTER_PORT=51335"
        )
    raise DemoError(f"in use already: {shown}. {hint}")


def report_states(cloud: Cloud, log: Log) -> None:
    """Say what a reader of the pages would wonder about: who did not answer, who is left from earlier."""
    for item in cloud.list_clouds():
        if item["name"] not in cloud.names:
            log.say(
                f"note: {item['name']} is known from an earlier run and not started (rm -r var forgets it)"
            )
        elif item["state"] != "up":
            log.say(f"note: {item['name']} is {item['state']}: {item.get('error') or 'no reason given'}")


def report_sign_in(cloud: Cloud, log: Log, *, first_run: bool) -> None:
    """Say how to get in: the first password itself at the first run alone, then only where it is kept."""
    admin = cloud.admin
    if admin.password_file.exists():
        if first_run:
            log.say(f"sign in as {ADMIN} with the password {admin.password()}")
        log.say(f"first password of {ADMIN}, until it is changed: {_shown(admin.password_file)}")
    log.say(f"API token of {ADMIN}, for programs: {_shown(admin.token_file)}")


def _shown(path: Path) -> str:
    """A path as it is said to somebody in the directory of the demo."""
    return os.path.relpath(path)  # var may be a link to elsewhere


def watch(cloud: Cloud, log: Log) -> None:
    """Report every program that ends by itself; raises DemoError when that is the master."""
    while True:
        for name, code in cloud.ended():
            if name == MASTER:
                raise DemoError(f"{name} {how_it_ended(code)}; without it the others have no use")
            program = "certmaster" if name == "certmaster" else "funcd"
            command = shlex.join(cloud.command(program, root=cloud.root_of(name)))
            log.say(f"note: {name} {how_it_ended(code)}. The others go on; to bring it back: {command}")
        time.sleep(0.2)


def run(env: Mapping[str, str], log: Log) -> None:
    """Run the demo until it is interrupted; raises DemoError and Interrupt."""
    ports = Ports(
        web=number(env, "PORT", Ports.web, 1, 65535),
        func=number(env, "FUNC_PORT", Ports.func, 1, 65535),
        certmaster=number(env, "CERTMASTER_PORT", Ports.certmaster, 1, 65535),
    )
    clouds = number(env, "CLOUDS", 3, 1, MOST_CLOUDS)
    cloud = Cloud(VAR, clouds, ports, log, env.get("LIBVIRT_URI", "").strip())
    with only_one(VAR, cloud.url):
        refuse_busy_addresses(cloud)
        try:
            first_run = not cloud.admin.password_file.exists()
            cloud.start()
            report_states(cloud, log)
            report_sign_in(cloud, log, first_run=first_run)
            log.say(f"{READY} {cloud.url}")
            watch(cloud, log)
        finally:
            # A second Ctrl-C must not leave half of them running.
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, signal.SIG_IGN)
            log.say(f"ending {len(cloud.processes)} programs")
            cloud.stop()


def _interrupt(signum: int, frame: Optional[object]) -> NoReturn:
    raise Interrupt


def main() -> int:
    """Run it; the exit code is 0 when somebody ended it and 1 when it could not go on."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    if "--with-parent" in sys.argv[1:]:
        die_with_parent(os.getppid(), signal.SIGTERM)
    log = Log(sys.stdout)
    try:
        run(os.environ, log)
    except Interrupt:
        log.say("ended")
        return 0
    except (DemoError, OSError) as exc:
        sys.stdout.flush()
        print(f"demo: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
