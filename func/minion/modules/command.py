"""The wire module `command`: run any command in a shell. Off unless its configuration says enabled."""

from __future__ import annotations

import os
from typing import Any, Optional

from certmaster.config import Setting
from func.minion import job_context, programs
from func.minion.codes import FuncException
from func.minion.module import ENABLED, FuncModule

MAX_COMMAND = 128 * 1024  # what the kernel takes as one argument


class Command(FuncModule):
    """Whoever may call it is root on this host."""

    version = "0.0.1"
    api_version = "0.0.2"
    description = "Run commands in a shell"
    methods = ("run", "exists")
    settings = (
        ENABLED,
        Setting("limit_s", 86400, "seconds after which a command is ended", limits=(1, 30 * 86400)),
    )

    def run(self, command: str, env: Optional[dict[str, str]] = None) -> list[Any]:
        """[exit code, what it said, what it complained of]; `env` stands in place of funcd's environment.

        As a job the command goes on when funcd ends, and its end is known to the next funcd.
        """
        if not isinstance(command, str) or not command.strip() or "\0" in command:
            raise FuncException("a command is a text for a shell")
        if len(command.encode()) >= MAX_COMMAND:
            raise FuncException(f"a command has less than {MAX_COMMAND} bytes")
        return programs.run(command, _environment(env), self.options["limit_s"], job_context.current())

    def exists(self, command: str) -> bool:
        """Whether there is a program of that path that can be run."""
        path = self.root / str(command).lstrip("/") if str(command).startswith("/") else str(command)
        return os.access(path, os.X_OK)


def _environment(env: Any) -> dict[str, str]:
    if env is None:
        return dict(os.environ)
    if not isinstance(env, dict):
        raise FuncException(f"the environment is a struct of texts, not {env!r:.60}")
    for name, value in env.items():
        if not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
            raise FuncException(f"{name!r:.60} = {value!r:.60} cannot be in an environment")
    return dict(env)
