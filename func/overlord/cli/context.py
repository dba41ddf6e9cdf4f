"""What every command of `func` starts from: the options before its name, a client, and how to exit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from func.overlord.cli.output import harmless
from func.overlord.cli.progress import Progress
from func.overlord.client import Client
from func.overlord.fanout import Result

OK, ERROR, USAGE, MINION_FAILED, NOT_ENDED, INTERRUPTED = 0, 1, 2, 4, 5, 130


@dataclass(frozen=True)
class Context:
    """The options before the command's name, and whom it is about."""

    spec: str
    root: Path
    timeout_s: Optional[float] = None
    exclude: str = ""
    conf: Optional[Path] = None
    strict: bool = False
    request_id: str = ""

    def client(self, **wishes: Any) -> Client:
        """A client of the minions meant; `wishes` are further arguments of Client."""
        return Client(
            self.spec,
            timeout=self.timeout_s,
            exclude_spec=self.exclude,
            config=self.conf,
            root=self.root,
            request_id=self.request_id,
            **wishes,
        )

    def status(self, all_well: bool) -> int:
        """The exit status of a command that shows what each minion said: Func's is 0 whatever that was."""
        return OK if all_well or not self.strict else MINION_FAILED


def gather(client: Client, module: str, method: str, args: Sequence[Any] = ()) -> list[Result]:
    """Call a method, with a progress line while that takes long; sorted by minion."""
    groups = client.answers(module, method, args)
    return sorted(counted(groups, len(client.targets())), key=lambda result: result.minion)


def counted(groups: Iterable[list[Result]], total: int) -> Iterator[Result]:
    """The results out of groups as they come in, counted on the terminal."""
    with Progress(total, "minions answered") as progress:
        for group in groups:
            progress.add(len(group))
            yield from group


def complain(results: Iterable[Result]) -> None:
    """Say on standard error what went wrong on whom."""
    for result in results:
        if result.error is not None:
            print(f"{result.minion}: {harmless(str(result.error))}", file=sys.stderr)


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """The parser of what follows a command's name."""
    made = argparse.ArgumentParser(prog=f"func SPEC {command}", description=description)
    made.add_argument("-v", "--verbose", action="store_true", help="say more, on standard error")
    return made
