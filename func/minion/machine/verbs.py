"""The table of verbs of the wire module `machine`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from func.minion.machine import arguments, define, disks, power, shape
from func.minion.machine.context import Context


@dataclass(frozen=True)
class Verb:
    """How a verb's arguments are checked, and what it then does."""

    parse: Callable[[Any], Any]
    act: Callable[[Context, Any], Mapping[str, Any]]


VERBS: Mapping[str, Verb] = {
    "create_disk": Verb(arguments.new_disk, disks.create_disk),
    "define": Verb(arguments.new_machine, define.define),
    "start": Verb(arguments.target, power.start),
    "shutdown": Verb(arguments.target, power.shutdown),
    "poweroff": Verb(arguments.target, power.poweroff),
    "reboot": Verb(arguments.target, power.reboot),
    "reset": Verb(arguments.target, power.reset),
    "pause": Verb(arguments.target, power.pause),
    "resume": Verb(arguments.target, power.resume),
    "set_autostart": Verb(arguments.autostart, shape.set_autostart),
    "set_shape": Verb(arguments.shape, shape.set_shape),
    "rename": Verb(arguments.naming, define.rename),
    "adopt": Verb(arguments.target, define.adopt),
    "undefine": Verb(arguments.target, define.undefine),
    "delete_disk": Verb(arguments.old_disk, disks.delete_disk),
}
"""What changes something, and so goes through the journal. `describe` changes nothing and does not."""

DESCRIBE = "describe"
