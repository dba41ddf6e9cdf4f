"""The command: arguments in, a boot entry or a reason out, and an exit code."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from genome_replace_self import bootloader, carry_out, machine, metadata, options
from genome_replace_self.cobbler import Cobbler
from genome_replace_self.errors import BootFailed, Declined, Interrupted, ReplaceError
from genome_replace_self.options import Request
from genome_replace_self.plan import Plan, make_plan

Outcome = dict[str, Any]


def main(argv: Sequence[str]) -> int:
    """Run the command; gives its exit code."""
    for signum in carry_out.SIGNALS:
        signal.signal(signum, interrupt)
    # Before the arguments can be read it must be known how to complain about them.
    as_json = "--json" in argv
    try:
        request = options.read(argv)
        outcome = ACTIONS[request.action](request)
        print(json.dumps({**outcome, "code": 0}) if as_json else outcome["detail"], flush=True)
        if request.reboot:
            machine.reboot()
    except (ReplaceError, OSError) as exc:
        code = exc.code if isinstance(exc, ReplaceError) else BootFailed.code
        print(f"genome-replace-self: {exc}", file=sys.stderr)
        if as_json:
            print(json.dumps({"outcome": "failed", "code": code, "detail": str(exc)}))
        return code
    return 0


def interrupt(signum: int, _: object) -> None:
    """Turn a signal into an error, which undoes what was begun."""
    raise Interrupted(f"interrupted by {signal.Signals(signum).name}")


def prepare(request: Request) -> Outcome:
    """Prepare the machine; raises ReplaceError."""
    machine.require_root()
    if not request.yes and not sys.stdin.isatty():
        raise Declined(
            "nobody can be asked here, as there is no terminal: say -y if this machine may be erased"
        )
    plan = make_plan(request)
    if not request.yes:
        confirm(plan)
    entry = carry_out.carry_out(plan)
    when = "now, as it reboots" if request.reboot else "at its next boot"
    detail = (
        f"Prepared: {machine.name()} will be erased and installed anew {when}, as {request.role}, with"
        f" profile {plan.profile.name} of {request.server}. Until then nothing but the boot menu has changed."
    )
    if not request.reboot:
        detail += "\nReboot it with: systemctl reboot\nOr change your mind: genome-replace-self --cancel"
    return {**describe(plan, "prepared", detail), "arguments": metadata.shown(entry.args)}


def show(request: Request) -> Outcome:
    """Check everything and tell the boot entry; raises ReplaceError."""
    plan = make_plan(request)
    detail = (
        f"Nothing was changed. {machine.name()} would become {request.role}, by this boot entry:\n"
        + "\n".join(
            f"  {key:<9} {value}"
            for key, value in (
                ("kernel", plan.kernel),
                ("", plan.profile.kernel_url),
                ("initrd", plan.initrd),
                ("", plan.profile.initrd_url),
                ("arguments", metadata.shown(plan.arguments)),
            )
        )
    )
    return describe(plan, "shown", detail)


def list_profiles(request: Request) -> Outcome:
    """Tell the profiles of the server; raises ReplaceError."""
    names = Cobbler(request.server).list_profiles()
    lines = [f"{name}  (the default)" if name == request.profile else name for name in names]
    detail = "\n".join(lines) or f"{request.server} has no profiles"
    return {"outcome": "listed", "server": request.server, "profiles": names, "detail": detail}


def cancel(_: Request) -> Outcome:
    """Put the old boot entry back; raises ReplaceError."""
    machine.require_root()
    undone = carry_out.cancel()
    if undone is None:
        return {
            "outcome": "nothing",
            "detail": "Nothing is prepared on this machine: there is nothing to cancel.",
        }
    now = bootloader.get_default()
    detail = (
        f"Cancelled: {machine.name()} will boot {now.kernel} as before; {undone.profile} is not installed."
    )
    return {"outcome": "cancelled", "profile": undone.profile, "default_kernel": now.kernel, "detail": detail}


def confirm(plan: Plan) -> None:
    """Have a person type the machine's name; raises Declined."""
    name = machine.name()
    print(
        f"Everything on {name} will be erased at its next boot. It becomes {plan.request.role}, by"
        f" profile {plan.profile.name} of {plan.request.server}.\nTo go on type the machine's name, {name}: ",
        end="", file=sys.stderr, flush=True,
    )  # fmt: skip
    typed = sys.stdin.readline().strip()
    if typed != name:
        raise Declined(f"{typed!r} is not {name}; nothing was changed")


def describe(plan: Plan, outcome: str, detail: str) -> Outcome:
    """An outcome for programs; values of secret keys are dots."""
    return {
        "outcome": outcome,
        "machine": machine.name(),
        "role": plan.request.role,
        "server": plan.request.server,
        "profile": plan.profile.name,
        "kernel": str(plan.kernel),
        "initrd": str(plan.initrd),
        "arguments": metadata.shown(plan.arguments),
        "rebooting": plan.request.reboot,
        "detail": detail,
    }


ACTIONS = {
    options.PREPARE: prepare,
    options.SHOW: show,
    options.LIST: list_profiles,
    options.CANCEL: cancel,
}
