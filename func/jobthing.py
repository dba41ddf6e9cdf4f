"""The codes of asynchronous calls under the names Func 0.30 gave them, for programs that import them."""

from __future__ import annotations

from func.overlord.job_book import KEPT_S
from func.overlord.jobs import FINISHED, LOST, PARTIAL, REMOTE_ERROR, RUNNING

JOB_ID_RUNNING = RUNNING
JOB_ID_FINISHED = FINISHED
JOB_ID_LOST_IN_SPACE = LOST
JOB_ID_PARTIAL = PARTIAL
JOB_ID_REMOTE_ERROR = REMOTE_ERROR

RETAIN_INTERVAL = int(KEPT_S)
