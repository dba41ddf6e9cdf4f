"""Machine instances as rows of a table, each with the link that finds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cloudmasterd.model import MachineInstance
from cloudmasterd.web import paths


@dataclass(frozen=True)
class Row:
    """A machine instance and its page."""

    machine: MachineInstance
    href: str


def rows_of(machines: Sequence[MachineInstance]) -> list[Row]:
    """Rows in the order given; those that share a name are linked by uuid."""
    names = Counter(machine.name for machine in machines)
    return [Row(machine, paths.machine_path(machine, names[machine.name] > 1)) for machine in machines]
