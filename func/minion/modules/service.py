"""The wire module `service`: the host's services, through systemd."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from certmaster.config import Setting
from func.minion import children
from func.minion.codes import FuncException
from func.minion.module import FuncModule

log = logging.getLogger(__name__)

LIMIT_S = 300.0  # a service may take its time to stop
NOT_THERE = {"status": 4, "start": 5, "stop": 5, "restart": 5, "reload": 5}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.\\@-]{0,250}")
_STATES = {"active": "running", "activating": "running", "reloading": "running", "failed": "dead"}
RUNLEVELS_ON = "2345"


class Service(FuncModule):
    """Answers have the form they had when services were started by scripts for each runlevel."""

    version = "0.0.1"
    description = "Services, through systemd"
    methods = (
        "start", "stop", "restart", "reload", "status", "get_enabled", "get_running", "inventory",
    )  # fmt: skip
    settings = (Setting("systemctl", "/usr/bin/systemctl", "the command that asks systemd"),)

    def start(self, service_name: str) -> int:
        """0 when it runs now."""
        return self._tell(service_name, "start")

    def stop(self, service_name: str) -> int:
        """0 when it runs no more."""
        return self._tell(service_name, "stop")

    def restart(self, service_name: str) -> int:
        """0 when it runs now."""
        return self._tell(service_name, "restart")

    def reload(self, service_name: str) -> int:
        """0 when it has read its configuration again."""
        return self._tell(service_name, "reload")

    def status(self, service_name: str) -> int:
        """0 when it runs, 3 when it does not."""
        return self._tell(service_name, "status")

    def get_enabled(self) -> list[list[Any]]:
        """[[name, ["0:off", "1:off", "2:on", ...]], ...]; of systemd's services, on where it is enabled."""
        lines = self._ask("list-unit-files", "--type=service", "--no-legend", "--no-pager")
        found = []
        for unit, state, *_ in lines:
            if state in ("alias", "generated", "transient") or "@." in unit:
                continue
            on = RUNLEVELS_ON if state.startswith("enabled") else ""
            levels = [f"{level}:{'on' if level in on else 'off'}" for level in "0123456"]
            found.append([_short(unit), levels])
        return found

    def get_running(self) -> list[list[str]]:
        """[[name, running, stopped or dead, systemd's own words], ...]; dead is one that failed."""
        lines = self._ask(
            "list-units", "--type=service", "--all", "--plain", "--full", "--no-legend", "--no-pager"
        )
        return [
            [_short(unit), _STATES.get(active, "stopped"), " ".join((active, *rest))]
            for unit, load, active, *rest in lines
            if load != "not-found"
        ]

    def inventory(self) -> dict[str, Any]:
        """{"running": get_running(), "enabled": get_enabled()}."""
        return {"running": self.get_running(), "enabled": self.get_enabled()}

    def grep(self, word: str) -> dict[str, Any]:
        """Services whose names contain `word`."""
        wanted = word.strip().lower()
        found: dict[str, Any] = {}
        for where, ask in (("get_running", self.get_running), ("get_enabled", self.get_enabled)):
            try:
                lines = [line for line in ask() if wanted in line[0].lower()]
            except FuncException as exc:  # a search through all modules goes on
                log.info("nothing is found in service.%s: %s", where, exc)
                continue
            if lines:
                found[f"service.{where}"] = lines
        return found

    def _tell(self, service_name: Any, verb: str) -> int:
        name = service_name.strip() if isinstance(service_name, str) else ""
        if not _NAME.fullmatch(name):
            raise FuncException(f"{service_name!r:.80} is no service's name, such as httpd")
        done = self._run([verb, "--no-pager", "--", name])
        if done.code == NOT_THERE[verb]:
            raise FuncException(f"Service not installed: {name}")
        return done.code

    def _ask(self, *arguments: str) -> list[list[str]]:
        done = self._run(arguments)
        if done.code != 0:
            raise FuncException(f"systemctl {arguments[0]} ended with {done.code}: {done.err.strip()[:300]}")
        lines = [line.split() for line in done.out.splitlines()]
        return [line for line in lines if len(line) >= (4 if arguments[0] == "list-units" else 2)]

    def _run(self, arguments: Sequence[str]) -> children.Done:
        command = [*str(self.options["systemctl"]).split(), *arguments]
        try:
            return children.run(
                command, LIMIT_S, {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
            )
        except OSError as exc:
            raise FuncException(f"{command[0]}: {exc.strerror}: this module needs systemd") from exc


def _short(unit: str) -> str:
    return unit.removesuffix(".service")
