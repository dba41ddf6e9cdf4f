"""`client.local.copyfile.send(...)`: Func's modules that run on the overlord's side."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from func.errors import FuncError
from func.overlord.files import CHUNK_BYTES, fetch_file, send_file
from func.overlord.jobs import FINISHED, PARTIAL

if TYPE_CHECKING:
    from func.overlord.client import Client

_log = logging.getLogger(__name__)


def send(client: Client, localpath: str, remotepath: str, bufsize: int = CHUNK_BYTES) -> bool:
    """Put a file on every minion; False where one did not take it, and the log says which and why."""
    try:
        results = send_file(client, Path(localpath), remotepath, bufsize)
    except FuncError as exc:
        _log.error("%s", exc)
        return False
    for result in results:
        if result.error is not None:
            _log.error("%s did not take %s: %s", result.minion, remotepath, result.error)
    return all(result.error is None for result in results)


def get(client: Client, source: str, foldertarget: str) -> tuple[int, str]:
    """Fetch a file of every minion into FOLDER/MINION; (0, folder), or (1, why) where none gave it."""
    try:
        results = fetch_file(client, source, Path(foldertarget))
    except FuncError as exc:
        return 1, str(exc)
    for result in results:
        if result.error is not None:
            _log.error("%s did not give %s: %s", result.minion, source, result.error)
    if all(result.error is not None for result in results):
        return 1, "Unable to open the file on the minion(s)"
    return 0, foldertarget


def async_poll(
    client: Client,
    job_id: str,
    partial_func: Optional[Callable[[dict[str, Any]], Any]] = None,
    interval: float = 0.5,
) -> Any:
    """Wait for a job; {minion: value}, or 0 for one that is not known.

    `partial_func` gets {minion: value} of those that ended since it was last called.
    """
    seen: dict[str, Any] = {}
    last: Any = 0
    for code, values in client.follow(job_id, interval):
        last = values
        if code in (FINISHED, PARTIAL):
            _tell(partial_func, values, seen)
    if not isinstance(last, dict):
        _log.error("there is no job %s, or no longer", job_id)
        return 0
    _tell(partial_func, last, seen)
    return last


def list_minions(client: Client) -> list[str]:
    """Where the minions are called: https://NAME:PORT."""
    return client.minions


LOCAL: Mapping[str, Callable[..., Any]] = {
    "copyfile.send": send,
    "getfile.get": get,
    "utils.async_poll": async_poll,
    "utils.list_minions": list_minions,
}


def _tell(
    partial_func: Optional[Callable[[dict[str, Any]], Any]], values: dict[str, Any], seen: dict[str, Any]
) -> None:
    new = {minion: value for minion, value in values.items() if minion not in seen}
    seen.update(new)
    if new and partial_func is not None:
        partial_func(new)
