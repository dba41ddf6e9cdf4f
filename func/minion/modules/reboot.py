"""The wire module `reboot`: restart this host."""

from __future__ import annotations

import re

from certmaster.config import Setting
from func.minion import children
from func.minion.codes import FuncException
from func.minion.module import FuncModule

LIMIT_S = 30.0
_WHEN = re.compile(r"now|\+[0-9]{1,5}|[0-2]?[0-9]:[0-5][0-9]")


class Reboot(FuncModule):
    """A host that is fast may take the answer along."""

    version = "0.0.1"
    description = "Restart this host"
    methods = ("reboot",)
    settings = (Setting("program", "/sbin/shutdown", "the program that is told `-r WHEN MESSAGE`"),)

    def reboot(self, when: str = "now", message: str = "") -> int:
        """The exit code of `shutdown -r`; `when` is now, +MINUTES or HOUR:MINUTE."""
        if not isinstance(when, str) or not _WHEN.fullmatch(when):
            raise FuncException(f"{when!r:.40} is no time to restart at: now, +5 and 23:30 are")
        if not isinstance(message, str) or message.startswith("-") or "\0" in message:
            raise FuncException("the message is a text that does not begin with -")
        command = [*str(self.options["program"]).split(), "-r", when, *([message] if message else [])]
        try:
            return children.run(command, LIMIT_S).code
        except OSError as exc:
            raise FuncException(f"{command[0]}: {exc.strerror}: name another program in Reboot.conf") from exc
