"""Join a cloud master: settings, certificate, services, libvirt; whole, or as it was before."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Optional

from certmaster import ca
from certmaster import config as certmaster_config
from certmaster.certdir import PUBLIC, SECRET, minion_files, read_file
from certmaster.config import MinionConfig
from certmaster.errors import BadCertificate, FileError, NoCertificate
from certmaster.names import find_minion_name
from certmaster.pending import next_file
from certmaster.request import obtain_certificate
from func.config import load_minion_config
from func.errors import FuncError
from func.minion.cloudmaster import acl_path, acl_text
from func.minion.join.errors import JoinRefused
from func.minion.join.files import Undoable
from func.minion.join.ini import says, set_main
from func.minion.join.plan import OVERRIDES, Present, Wanted, make_plan
from func.minion.join.services import Services
from func.minion.modules.virt import Virt

ASK_S = 3.0
_LOOK_S = 0.1
_FUNC_CONF = "etc/func/minion.conf"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Joined:
    """How it went: the name, the authority that is trusted now, what does not work yet, what made room.

    `open_to_all` is whether the certmaster's own certificate may call everything, as Func has it.
    """

    name: str
    authority: str
    faults: tuple[str, ...]
    aside: tuple[Path, ...]
    open_to_all: bool


def join(
    wanted: Wanted,
    root: Path,
    say: Say,
    services: Services,
    *,
    wait_s: float,
    stop: Callable[[], bool] = lambda: False,
) -> Joined:
    """Make this machine a minion of `wanted.master`; raises JoinRefused, FuncError, CertmasterError.

    Waits up to `wait_s` seconds for the signature; with 0 it leaves that to funcd, and `authority` may be
    empty. What was changed is taken back unless it ends well; the key stays, the master may know it already.
    """
    name = _name(wanted, root)
    present = look(root, name)
    plan = make_plan(wanted, present)
    with Undoable() as files:
        aside = [files.put_aside(path, time.strftime(".before-join-%Y%m%dT%H%M%S")) for path in plan.aside]
        minion_conf = root / "etc/certmaster/minion.conf"
        _change(files, minion_conf, plan.settings)
        _change(files, root / _FUNC_CONF, plan.of_func)
        _allow(files, acl_path(load_minion_config(root).acl_dir))
        config = certmaster_config.load_minion_config(root)
        if wanted.token:
            files.write(config.token_file, wanted.token + "\n", SECRET)
        if wait_s > 0:
            _wait(config, name, say, wait_s, stop)
        files.keep()
    faults = [fault for fault in (_start(services, say), _try_libvirt(root, say)) if fault]
    open_to_all = load_minion_config(root).certmaster_overrides_acls
    return Joined(name, look(root, name).authority, tuple(faults), tuple(aside), open_to_all)


def look(root: Path, name: str) -> Present:
    """What this machine is now; raises ConfigError, FileError."""
    config = certmaster_config.load_minion_config(root)
    kept = minion_files(config.cert_dir, name)
    known = read_file(kept.ca_file)
    of_func = (read_file(root / _FUNC_CONF) or b"").decode("utf-8")
    try:
        authority = "" if known is None else ca.pin(known)
    except BadCertificate as exc:
        raise FileError(f"{kept.ca_file}: {exc}: remove it, and join again") from exc
    left = (kept.crl_file, next_file(kept.key_file), next_file(kept.cert_file))
    return Present(
        config.certmaster, config.certmaster_port, config.ca_fingerprint, authority,
        kept.ca_file, kept.cert_file, kept.cert_file.exists(), tuple(path for path in left if path.exists()),
        says(of_func, OVERRIDES),
    )  # fmt: skip


def _name(wanted: Wanted, root: Path) -> str:
    config = certmaster_config.load_minion_config(root)
    ours = load_minion_config(root)
    port = wanted.port or config.certmaster_port
    return find_minion_name(wanted.name or ours.minion_name, wanted.master, port, ours.listen_addr)


def _change(files: Undoable, path: Path, settings: dict[str, str]) -> None:
    before = (read_file(path) or b"").decode("utf-8")
    after = set_main(before, settings)
    if after != before:
        files.write(path, after, PUBLIC)


def _allow(files: Undoable, path: Path) -> None:
    """Let the cloud master call here what it needs, and no more."""
    text = acl_text()
    if (read_file(path) or b"").decode("utf-8", "replace") != text:
        files.write(path, text, PUBLIC)


def _wait(config: MinionConfig, name: str, say: Say, wait_s: float, stop: Callable[[], bool]) -> None:
    """Ask until it is signed; raises JoinRefused at the end of the time, NoCertificate when it is refused."""
    ask = partial(obtain_certificate, config, name, once=True)
    end = time.monotonic() + wait_s
    said = False
    while True:
        if _ask(ask, first=not said) is not None:
            return
        if not said:
            say(_told(config, name))
            said = True
        pause = time.monotonic() + ASK_S
        while time.monotonic() < pause and not stop():
            time.sleep(_LOOK_S)
        if stop() or time.monotonic() >= end:
            raise JoinRefused(
                f"{config.certmaster} has not signed {name} yet; everything here is as it was before. Its"
                f" request waits there: `certmaster-ca --sign {name}` on it, then the same command again here"
            )


def _ask(ask: Callable[[], Optional[object]], *, first: bool) -> Optional[object]:
    try:
        return ask()
    except NoCertificate as exc:
        # What answered once and is being restarted is worth waiting for; a wrong name or token is not.
        if first or "cannot be reached" not in str(exc):
            raise
        return None


def _told(config: MinionConfig, name: str) -> str:
    kept = minion_files(config.cert_dir, name)
    key = ca.read_request(read_file(kept.csr_file) or b"").key_fingerprint
    trusted = config.ca_fingerprint or "whichever answers first: give --ca-fingerprint to be sure"
    return (
        f"{name} waits for its certificate. On {config.certmaster}:\n"
        f"    certmaster-ca --sign {name}\n"
        f"or the page Enrolment of its browser view. Compare there:\n"
        f"    key of {name}: {key}\n"
        f"    authority trusted here: {trusted}"
    )


def _start(services: Services, say: Say) -> str:
    if not services.run_here():
        say("systemd does not run this machine: start funcd and libvirt's daemons yourself")
        return ""
    try:
        sockets = services.start_libvirt()
        services.start_funcd()
    except FuncError as exc:
        return f"not everything could be started: {exc}"
    say(f"started: {', '.join(['funcd', *sockets])}")
    return ""


def _try_libvirt(root: Path, say: Say) -> str:
    try:
        with closing(Virt(root)) as module:
            node, kind = module.nodeinfo(), module.virttype()
    except FuncError as exc:
        return (
            f"libvirt cannot be used: {exc}; `dnf install cloudmasterd-minion` brings it, `virsh -c"
            " qemu:///system list` says more, and then the same command again"
        )
    say(f"libvirt answers: {kind}, {node['cpus']} CPUs, {node['phymemory']} MB")
    return ""
