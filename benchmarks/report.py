"""Show measured figures: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional


@dataclass(frozen=True)
class Figure:
    """One measured value, what it stands beside, and what was aimed at.

    `ratio` is how many times better we are than what stands beside, or how far an aim on the value itself is
    met; above `least_ratio` the aim is met.
    """

    name: str
    value: float
    unit: str
    beside: str = ""
    beside_value: Optional[float] = None
    ratio: Optional[float] = None
    aim: str = ""
    met: Optional[bool] = None


def times_less(
    name: str, value: float, unit: str, beside: str, beside_value: float, aim: float = 0
) -> Figure:
    """A cost: how many times less than what stands beside; `aim` is the least number of times, 0 for none."""
    ratio = beside_value / value
    return Figure(
        name, value, unit, beside, beside_value, ratio,
        f"at least {aim:g} times less" if aim else "", ratio >= aim if aim else None,
    )  # fmt: skip


def share_of(name: str, value: float, unit: str, beside: str, beside_value: float, aim: float) -> Figure:
    """A yield: which share of what stands beside; `aim` is the least share."""
    ratio = value / beside_value
    return Figure(name, value, unit, beside, beside_value, ratio, f"at least {aim:g} of it", ratio >= aim)


def at_most(name: str, value: float, unit: str, limit: float) -> Figure:
    """A cost with a limit of its own."""
    return Figure(name, value, unit, "", None, limit / value, f"at most {limit:g} {unit}", value <= limit)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cpus": os.cpu_count(),
        "memory_mb": int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) // 1024,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _field(file: str, key: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def show(title: str, figures: Sequence[Figure], as_json: bool) -> None:
    """Print the figures to standard output."""
    if as_json:
        objects = [{k: v for k, v in asdict(f).items() if k != "met"} for f in figures]
        print(json.dumps({"machine": machine(), "figures": objects}, indent=1))
        return
    facts = machine()
    print(f"{title}\n{facts['cpus']} x {facts['cpu']}, Python {facts['python']}, {facts['system']}\n")
    rows = [("", "ours", "beside", "ratio", "aim")] + [_row(f) for f in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:4], widths[1:4])), row[4]]
        print("  ".join(cells).rstrip())
    for figure in figures:
        if figure.beside:
            print(f"\n{figure.name}: beside {figure.beside}", end="")
    print()


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    beside = "" if figure.beside_value is None else f"{_number(figure.beside_value)} {figure.unit}"
    ratio = "" if figure.ratio is None else _number(figure.ratio)
    verdict = {None: "", True: " (met)", False: " (NOT met)"}[figure.met]
    return figure.name, f"{_number(figure.value)} {figure.unit}", beside, ratio, figure.aim + verdict


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def progress(text: str) -> None:
    """Tell a waiting person what is going on; not part of the result."""
    print(text, file=sys.stderr, flush=True)
