"""Change the boot entry, see that it is changed, and put the old one back when asked or after a failure."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

from genome_replace_self import bootloader, koan, machine, state
from genome_replace_self.bootloader import Entry
from genome_replace_self.errors import BootFailed, ReplaceError
from genome_replace_self.plan import Plan
from genome_replace_self.state import State

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def carry_out(plan: Plan) -> Entry:
    """Make the plan's boot entry the default; raises BootFailed with the old one back as the default."""
    with state.alone():
        undo_earlier()
        return change(plan)


def change(plan: Plan) -> Entry:
    """The change itself, of a machine on which nothing is prepared."""
    old = bootloader.get_default()
    if old.kernel.endswith("_koan"):
        raise BootFailed(
            f"the default boot entry, {old.kernel}, was made by koan and not by this program: choose the one"
            " to come back to with `grubby --set-default=KERNEL` first"
        )
    noted = State(plan.request.server, plan.profile.name, str(plan.kernel), str(plan.initrd), old)
    try:
        state.write(noted)
        bootloader.remove(noted.kernel)  # of somebody who used koan by hand
        koan.replace_self(plan.koan, plan.request.server, plan.profile.name, plan.options)
        if not plan.request.force:
            # Once more: somebody may have thought about the question for long, and koan takes minutes.
            machine.refuse_running_machines(machine.running_machines())
        entry = check_entry(plan)
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)  # it is done, and no signal makes a refusal of it any more
        return entry
    except (ReplaceError, OSError) as exc:
        raise BootFailed(f"{exc}\n{undo_failure(noted)}") from exc


def check_entry(plan: Plan) -> Entry:
    """The boot entry that koan made; raises BootFailed where it is not what was planned."""
    entry = bootloader.get_default()
    if entry.kernel != str(plan.kernel):
        raise BootFailed(
            f"koan ended well, but the default boot entry is {entry.kernel} and not {plan.kernel}"
        )
    missing = set(plan.arguments.split()) - set(entry.args.split())
    if missing:
        keys = ", ".join(sorted({word.partition("=")[0] for word in missing}))
        raise BootFailed(f"koan ended well, but its boot entry has not got the arguments it should: {keys}")
    for file in (plan.kernel, plan.initrd):
        if not file.exists() or not file.stat().st_size:
            raise BootFailed(f"koan ended well, but {file} is not there or empty")
    return entry


def cancel() -> Optional[State]:
    """Put back what the last run changed and tell what that was, None when nothing was; raises BootFailed."""
    if state.read() is None:
        return None
    with state.alone():
        return undo_earlier()


def undo_earlier() -> Optional[State]:
    """The same, for whoever is alone already."""
    noted = state.read()
    if noted is not None:
        with undisturbed():
            put_back(noted)
    return noted


def put_back(noted: State) -> None:
    """Make the old entry the default unless another is by now, and remove what koan brought.

    Raises BootFailed.
    """
    if bootloader.get_default().kernel == noted.kernel:
        bootloader.set_default(find_successor(noted))
    bootloader.remove(noted.kernel)
    try:
        for file in (noted.kernel, noted.initrd):
            Path(file).unlink(missing_ok=True)
        state.remove()
    except OSError as exc:
        raise BootFailed(f"{exc.filename} cannot be removed: {exc.strerror}") from exc


def find_successor(noted: State) -> Entry:
    """The old default entry or, where a kernel update took it away, the first that can still boot."""
    others = [entry for entry in bootloader.list_entries() if entry.kernel != noted.kernel]
    alive = [entry for entry in others if Path(entry.kernel).exists()]
    if not alive:
        raise BootFailed(f"the kernel of the old boot entry, {noted.old_default.kernel}, is gone, as are all")
    return bootloader.match_entry(noted.old_default, alive) or alive[0]


def undo_failure(noted: State) -> str:
    """Put the old entry back after a failure; the sentence that says how that went."""
    try:
        with undisturbed():
            put_back(noted)
    except (ReplaceError, OSError) as exc:
        return f"The old boot entry could not be put back: {exc}. Try genome-replace-self --cancel now."
    return "The old boot entry is the default as before, and what koan brought is removed."


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C cut the repair short."""
    before = {signum: signal.signal(signum, signal.SIG_IGN) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
