"""Watch cloudmasterd itself, as a process of its own: its peak memory and the CPU time of its polling."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.layout import MASTER_ADDRESS, Ports
from demo.people import Admin

WATCH_S = 60
POLL_INTERVAL_S = 15


@dataclass(frozen=True)
class RealMaster:
    """What was seen."""

    peak_memory_mb: float
    cpu_ms_per_refresh: float
    cpu_share: float


def measure_real_master(root: Path, ports: Ports, names: Sequence[str]) -> RealMaster:
    """Start cloudmasterd below `root`, wait for its first round, read every list, and watch it poll."""
    program = Path(sys.prefix) / "bin/cloudmasterd"
    with (root / "cloudmasterd.log").open("wb") as log:
        master = subprocess.Popen([str(program), "--root", str(root)], stdin=subprocess.DEVNULL, stderr=log)
    try:
        admin = Admin(root, root / "admin-token", MASTER_ADDRESS, ports.web)
        _wait_for_first_round(admin, len(names), master)
        for path in ("/", "/machines", "/api/v1/machines?limit=1000", "/api/v1/clouds?limit=1000"):
            _get(admin, path)
        begin, cpu = time.monotonic(), _cpu_s(master.pid)
        time.sleep(WATCH_S)
        spent, passed = _cpu_s(master.pid) - cpu, time.monotonic() - begin
        refreshes = len(names) * passed / POLL_INTERVAL_S
        return RealMaster(_peak_mb(master.pid), spent * 1000 / refreshes, spent / passed)
    finally:
        master.terminate()
        master.wait(30)


def _wait_for_first_round(admin: Admin, clouds: int, master: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and master.poll() is None:
        try:
            if not admin.token():
                _get(admin, "/healthz")  # it answers, so its admin is there
                admin.keep_token()
            page = json.loads(_get(admin, "/api/v1/clouds?limit=1000"))
            up, path = 0, page["next"]
            up += sum(item["state"] == "up" for item in page["items"])
            while path:
                page = json.loads(_get(admin, path))
                up, path = up + sum(item["state"] == "up" for item in page["items"]), page["next"]
            if up == clouds:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.5)
    raise RuntimeError("cloudmasterd did not get to know all cloud instances")


def _get(admin: Admin, path: str) -> bytes:
    connection = http.client.HTTPConnection(admin.address, admin.port, timeout=30)
    try:
        connection.request("GET", path, headers={"Accept": "*/*", **admin.headers()})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} was answered {response.status}: {body[:300]!r}")
        return body
    finally:
        connection.close()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(found.group(1)) / 1024 if found else 0.0
