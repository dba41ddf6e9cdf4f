"""A cobbler server whose profiles mean harm, over its real protocol."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from tests.attacks.harm import HARM


class _Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/cobbler_api",)


def _profiles() -> list[dict[str, Any]]:
    return [
        {
            "name": f"evil{i}{harm}", "distro": harm, "comment": harm, "autoinstall": harm, "parent": "",
            "kernel_options": {harm: harm}, "virt_ram": 512, "virt_cpus": 1, "virt_file_size": 5,
        }
        for i, harm in enumerate(HARM)
    ]  # fmt: skip


def _distros() -> list[dict[str, Any]]:
    return [{"name": harm, "arch": harm, "breed": harm, "os_version": harm} for harm in HARM]


@contextmanager
def hostile_cobbler() -> Iterator[str]:
    """Its address, for the setting cobbler_server."""
    server = SimpleXMLRPCServer(("127.0.0.1", 0), _Handler, logRequests=False, allow_none=True)
    server.register_function(lambda: 1.0, "last_modified_time")
    server.register_function(_distros, "get_distros")
    server.register_function(_profiles, "get_profiles")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()
