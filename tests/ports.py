"""Ports of the loopback that nobody else is given while a test needs them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """A port at which nobody answers, for the length of the block; a program of the test may listen there.

    A port that is asked for and given back at once is anybody's: another test beside this one may get it a
    moment later, and answer where nobody should, or be there first. What is bound and does not listen refuses
    connections, is given to nobody who asks for any port, and is in the way of nobody who asks for this one
    with SO_REUSEADDR, as servers do.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
