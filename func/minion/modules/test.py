"""The wire module `test`: proves that calls, values and errors travel."""

from __future__ import annotations

import time
from typing import Any

from certmaster.config import Setting
from func.errors import ConfigError
from func.minion.job_context import report_progress
from func.minion.module import FuncModule

MAX_SLEEP_S = 3600


class Test(FuncModule):
    """Small methods with no effect on the machine."""

    version = "1.0.0"
    description = "Proves that calls, values and errors travel"
    methods = (
        "add", "ping", "sleep", "explode", "explode_no_string", "echo", "bigint",
        "configfoo", "config_save", "config_set", "config_get", "config_get_test",
    )  # fmt: skip
    settings = (
        Setting("example", "1", "anything"),
        Setting("string_option", "a text", "a text"),
        Setting("int_option", 37, "a number"),
        Setting("bool_option", True, "yes or no"),
    )

    def add(self, numb1: Any, numb2: Any) -> Any:
        """The sum of two numbers; two texts are joined, and the `func` command sends texts."""
        return numb1 + numb2

    def ping(self) -> int:
        """1."""
        return 1

    def sleep(self, t: int) -> float:
        """Sleep `t` seconds (at most an hour), then the time of day as seconds since 1970."""
        seconds = int(t)
        if not 0 <= seconds <= MAX_SLEEP_S:
            raise ValueError(f"cannot sleep {seconds} s; 0 to {MAX_SLEEP_S} are right")
        for done in range(seconds):
            time.sleep(1)
            report_progress(done + 1, seconds)
        return time.time()

    def explode(self) -> None:
        """Fail with a text."""
        raise Exception("exploded, as it was told to")

    def explode_no_string(self) -> None:
        """Fail without a text."""
        raise Exception

    def echo(self, data: Any) -> Any:
        """What was sent."""
        return data

    def bigint(self) -> int:
        """A number that XML-RPC's int cannot carry."""
        return 2**32

    def configfoo(self) -> list[list[Any]]:
        """The settings in use."""
        return self.config_items()

    def config_save(self) -> list[list[Any]]:
        """Save the settings, then answer them."""
        self.save_config()
        return self.config_items()

    def config_set(self, key_name: str, value: Any) -> list[list[Any]]:
        """Change one setting and save all of them."""
        self._check(key_name)
        if any(ord(char) < 32 for char in str(value)):
            raise ConfigError(f"the value of {key_name} has a control character in it")
        self.options[key_name] = value
        return self.config_save()

    def config_get(self, key_name: str) -> Any:
        """One setting."""
        self._check(key_name)
        return self.options[key_name]

    def config_get_test(self) -> str:
        """A constant text."""
        return "this is a test. It is only a test"

    def _check(self, key_name: str) -> None:
        if key_name not in self.options:
            raise ConfigError(f"no setting {key_name!r} here; there are {', '.join(self.options)}")
