"""The wire module `jobs`: how asynchronous calls stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certmaster.config import Setting
from func.minion.jobs import Jobs
from func.minion.module import FuncModule


class JobsModule(FuncModule):
    """Whoever may call it sees the jobs of all."""

    version = "0.0.1"
    description = "How asynchronous calls stand"
    methods = ("job_status", "tail_output", "get_progress")
    settings = (
        Setting("at_once", 16, "how many asynchronous calls run at once", limits=(1, 1000)),
        Setting("most_waiting", 1000, "how many more may wait for their turn", limits=(0, 100_000)),
    )

    def __init__(self, root: Path, jobs: Jobs) -> None:
        super().__init__(root)
        self._jobs = jobs

    def job_status(self, job_id: str) -> list[Any]:
        """[0, -1] while it runs or waits, [1, its value], [2, why it is lost], or [2, 0]: no such job."""
        return self._jobs.status(job_id)

    def tail_output(self, minion_job_id: str) -> list[str]:
        """[what it says, what it complains of], the last 50 lines of each."""
        return self._jobs.tail(minion_job_id)

    def get_progress(self, minion_job_id: str) -> list[int]:
        """[how far it is, of how much]; [0, 0] where it does not say."""
        return self._jobs.progress(minion_job_id)
