"""What can be done to a machine instance from its page, and in which state it makes sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from cloudmasterd.model import CloudInstance, MachineInstance, MachineState, Task
from cloudmasterd.recipes.act import VERBS
from cloudmasterd.rights import Identity, Role, covers, scope_text
from cloudmasterd.web.pages.task_rows import TITLES


@dataclass(frozen=True)
class Action:
    """An action as a button; one with `means` is asked about once more, with these words."""

    name: str
    label: str
    means: str = ""

    def suits(self, state: MachineState) -> bool:
        """Whether it makes sense in a state; in one that is not known it may."""
        return state is MachineState.UNKNOWN or state in VERBS[self.name][0]


ACTIONS = (
    Action("start", "Start"),
    Action("resume", "Resume"),
    Action("shutdown", "Shut down"),
    Action("reboot", "Reboot"),
    Action("pause", "Pause"),
    Action(
        "poweroff",
        "Power off",
        "This is like pulling the plug: its operating system is not asked, and what it has not written to "
        "its disks is lost. “Shut down” asks it to end by itself.",
    ),
    Action(
        "reset",
        "Reset",
        "This is like the reset button: it starts anew at once, its operating system is not asked, and what "
        "it has not written to its disks is lost. “Reboot” asks it to start anew by itself.",
    ),
)
BY_NAME = {action.name: action for action in ACTIONS}


def possible(machine: MachineInstance) -> list[Action]:
    """The actions that make sense in a machine instance's state."""
    return [action for action in ACTIONS if action.suits(machine.state)]


def possible_meanwhile(busy: Task) -> bool:
    """Whether pulling the plug is possible while a task works on it: it need not shut down by itself."""
    return busy.kind == "machine.shutdown"


def may_change(who: Identity, machine: MachineInstance) -> bool:
    """Whether somebody may change a machine instance, whatever its state."""
    return who.may(Role.OPERATOR) and covers(who.scopes, machine.tags)


def outside(who: Identity, machine: MachineInstance) -> str:
    """Why an operator may not change a machine instance; empty for who may, and for who changes none."""
    if not who.may(Role.OPERATOR) or covers(who.scopes, machine.tags):
        return ""
    return f"You may change machine instances tagged {scope_text(who.scopes)}; this one is not."


def hindrance(machine: MachineInstance, cloud: CloudInstance, busy: Optional[Task]) -> str:
    """Why nothing can be done to it now; empty when something can."""
    if busy is not None:
        what = TITLES.get(busy.kind, busy.kind).lower()
        return f"Task {busy.id} ({what}) is under way: the next can be asked for when it has ended."
    if cloud.error is not None:
        return f"{cloud.name} does not answer: nothing can be done to its machine instances until it does."
    if machine.state is MachineState.CREATING:
        return "It is being created: what can be done to it shows here when that has ended."
    return ""
