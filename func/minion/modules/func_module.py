"""What third-party modules of Func are derived from: `class Mine(func_module.FuncModule)`.

No wire module itself. Every public method of such a class is a wire method, and each call has an instance of
its own, as in Func; what the class keeps must be kept in it or in a file. `_single = True` shares one
instance instead, which then has to bear several threads at once. Our own modules have tables: see
func/minion/module.py.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from certmaster.config import BaseConfig, read_config
from func.config import MinionConfig, load_minion_config
from func.errors import ConfigError
from func.minion import job_context
from func.minion.module import CONFIG_DIR

_NO_METHODS = frozenset({"register_rpc", "register_method_args", "wire_methods", "close"})


class MethodLogger(logging.LoggerAdapter):  # type: ignore[type-arg] # it is generic in later Pythons only
    """Logs for funcd, and where the method runs as a job for `jobs.tail_output` too."""

    def log(self, level: int, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log one message at that level."""
        super().log(level, msg, *args, **kwargs)
        job = job_context.current()
        if job is not None:
            job.say(f"{logging.getLevelName(level)} - {_formatted(str(msg), args)}")

    warn = logging.LoggerAdapter.warning  # Func's name for it

    def progress(self, current: int, total: int) -> None:
        """Say how far the method is, for `jobs.get_progress`."""
        self.log(logging.DEBUG, "Progress report %d/%d completed", current, total)
        job_context.report_progress(current, total)


def _formatted(text: str, args: tuple[Any, ...]) -> str:
    try:
        return text % args if args else text
    except (TypeError, ValueError):  # logging itself survives a wrong format too
        return f"{text} {args!r}"


LOGGER = MethodLogger(logging.getLogger("func.modules"), {})


class FuncModule:
    """Base of the modules that others wrote."""

    version = "0.0.0"
    api_version = "0.0.0"
    description = "No description provided"

    _single = False
    _root = Path("/")

    class Config(BaseConfig):
        """The settings of the module: its keys are certmaster.config's Options."""

    def __init__(self) -> None:
        self.logger = LOGGER
        self.options_file = str(self._root / CONFIG_DIR / f"{type(self).__name__}.conf")
        self.options = read_config(self.options_file, self.Config)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, function in vars(cls).items():
            if inspect.isfunction(function) and not name.startswith("_"):
                # Func's methods log by `self.METHOD.logger`.
                function.logger = LOGGER  # type: ignore[attr-defined]

    @property
    def config(self) -> MinionConfig:
        """What /etc/func/minion.conf says."""
        return load_minion_config(self._root)

    def wire_methods(self) -> dict[str, Callable[..., Any]]:
        """Every wire method by its short name."""
        found = {name: self._caller(name) for name in self._public()}
        found.update(
            module_version=lambda: self.version,
            module_api_version=lambda: self.api_version,
            module_description=lambda: self.description,
            list_methods=lambda: sorted(found),
            get_method_args=self._method_args,
        )
        return found

    def register_method_args(self) -> dict[str, Any]:
        """{method: {"args": {name: {"type": ...}}, "description": ...}}; {} where the module does not say."""
        return {}

    def grep(self, word: str) -> dict[str, Any]:
        """{where: what} for everything in the module that contains `word`."""
        return {}

    def config_items(self) -> list[tuple[str, Any]]:
        """[[key, value], ...] of the module's settings."""
        return list(self.options.iteritems())

    def save_config(self) -> bool:
        """Write the settings in use to the module's configuration file."""
        file = Path(self.options_file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("w", encoding="utf-8") as stream:
                self.options.write(stream)
        except OSError as exc:
            raise ConfigError(f"cannot write {file}: {exc.strerror}") from exc
        return True

    def close(self) -> None:
        """Nothing is held: each call has an instance of its own."""

    def _public(self) -> Iterator[str]:
        for name in dir(type(self)):
            # The class first: a property of an instance could do anything when it is looked at.
            is_public = not name.startswith("_") and name not in _NO_METHODS
            if is_public and callable(getattr(type(self), name)) and inspect.ismethod(getattr(self, name)):
                yield name

    def _caller(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            instance = self if self._single else type(self)()
            return getattr(instance, name)(*args)

        return call

    def _method_args(self) -> dict[str, Any]:
        """What the module registered, each argument with its `order`; raises ConfigError for a wrong one."""
        registered = self.register_method_args()
        for method, described in registered.items():
            if not hasattr(self, method):
                raise ConfigError(f"{type(self).__name__} registers arguments of {method}, which it has not")
            order = list(inspect.signature(getattr(self, method)).parameters)
            for name, argument in described.get("args", {}).items():
                if name not in order:
                    raise ConfigError(f"{method} has no argument {name}; it has {', '.join(order) or 'none'}")
                if isinstance(argument, dict):
                    argument["order"] = order.index(name)
        return registered


def findout(grep: Callable[[Any, str], Any]) -> Callable[[Any, str], dict[str, Any]]:
    """Make a wire form of a `grep` that answers {method: what was found}: {"module.method": what}."""

    @functools.wraps(grep)
    def found(self: Any, word: str) -> dict[str, Any]:
        answer = grep(self, str(word).strip().lower()) or {}
        return {
            f"{type(method.__self__).__module__.rpartition('.')[2]}.{method.__name__}": what
            for method, what in answer.items()
            if what
        }

    return found
