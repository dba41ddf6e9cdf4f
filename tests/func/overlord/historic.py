"""A minion with the wire forms of Func 0.30, for a farm: jobs, files, facts, grep, hardware."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any, Optional

from func import wire

CHUNK = 60_000
INVENTORY = {"test": ["ping", "grep"], "hardware": ["info", "grep"], "plain": ["run"]}


class HistoricMinion:
    """What `farm.answer` calls for one name; files lie below `folder`, jobs end when `finish` says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.jobs: dict[str, Any] = {}
        self.asked: list[str] = []
        self.facts: dict[str, str] = {"os": "Fedora"}
        self.log = ["one\ntwo\n", ""]

    def answer(self, method: str, args: list[Any]) -> Any:
        self.asked.append(method)
        if method.startswith("async."):
            job_id = f"{1e9 + len(self.jobs)}-minion"
            self.jobs[job_id] = [0, -1]
            return job_id
        module, _, short = method.partition(".")
        found = getattr(self, f"{module}_{short}", None)
        if found is None:
            return wire.remote_error("func.minion.codes.InvalidMethodException", method, "Traceback ...")
        if args and isinstance(args[0], dict) and "__fact__" in args[0]:
            (fact, wanted), *_ = args[0]["__fact__"][1]
            said = {"__fact__": [self.facts.get(fact) == wanted, self.facts]}
            return [said, found(*args[1:])] if said["__fact__"][0] else [said]
        return found(*args)

    def finish(self, value: Any) -> None:
        """Every job of this minion has ended with this value."""
        self.jobs = dict.fromkeys(self.jobs, [1, value])

    def test_ping(self) -> int:
        return 1

    def test_add(self, a: int, b: int) -> int:
        return a + b

    def hardware_info(self) -> dict[str, Any]:
        return {"systemMemory": "2001", "os": self.facts["os"], "devices": []}

    def jobs_job_status(self, job_id: str) -> list[Any]:
        return list(self.jobs.get(job_id, (2, 0)))

    def jobs_tail_output(self, job_id: str) -> list[str]:
        return self.log

    def jobs_get_progress(self, job_id: str) -> list[int]:
        return [3, 7] if job_id in self.jobs else [0, 0]

    def system_inventory(self) -> dict[str, list[str]]:
        return INVENTORY

    def test_grep(self, word: str) -> dict[str, list[str]]:
        return {"ping": [f"has {word}"]}

    def hardware_grep(self, word: str) -> dict[str, list[str]]:
        return {}

    def copyfile_open(self, path: str, mode: int, uid: int, gid: int) -> Any:
        there = self._there(path)
        if there is None:
            return -1
        there.write_bytes(b"")
        there.chmod(mode)
        return path

    def copyfile_append(self, path: str, piece: bytes) -> int:
        there = self._there(path)
        if there is None or not there.exists():
            return -1
        with there.open("ab") as file:
            file.write(piece)
        return 1

    def getfile_chunkslen(self, path: str) -> int:
        there = self._there(path)
        return -(-there.stat().st_size // CHUNK) if there and there.exists() else -1

    def getfile_getchunk(self, number: int, path: str) -> list[Any]:
        there = self._there(path)
        if there is None or not there.exists():
            return [-1, ""]
        text = b64encode(there.read_bytes()[CHUNK * number : CHUNK * (number + 1)]).decode()
        return [hashlib.sha1(text.encode()).hexdigest(), text]

    def _there(self, path: str) -> Optional[Path]:
        return None if path.startswith("/forbidden/") else self.folder / path.lstrip("/")
