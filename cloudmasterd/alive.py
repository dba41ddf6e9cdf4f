"""Whether the two parts that must never hang still move: the poller's loop and the HTTP server."""

from __future__ import annotations

import http.client
from typing import Callable

POLLER_S = 60.0  # its loop comes round every second, and waits for the store at most
ANSWER_S = 20.0


def find_trouble(poller_silent_s: Callable[[], float], listen_addr: str, listen_port: int) -> str:
    """What hangs, for a log; empty when both move. Takes up to ANSWER_S seconds."""
    silent_s = poller_silent_s()
    if silent_s > POLLER_S:
        return f"the poller has not come round for {silent_s:.0f} s"
    # What listens everywhere listens on the loopback address too.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen_addr, listen_addr)  # noqa: S104
    connection = http.client.HTTPConnection(host, listen_port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return f"/healthz at {host} port {listen_port} does not answer: {exc or type(exc).__name__}"
    finally:
        connection.close()
    return "" if status == http.client.OK else f"/healthz at {host} port {listen_port} answers {status}"
