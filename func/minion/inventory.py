"""Remember what changed when, so that a cloud master is told only what it does not know yet."""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from typing import Any, Optional

FORMAT = 1
MAX_TOMBSTONES = 1000
LIVE_MEMORY_STEP_MB = 64

_CURSOR = re.compile(r"([0-9a-f]{1,32})\.([0-9]{1,18})")


@dataclass(frozen=True)
class MachineFacts:
    """A machine instance as the wire carries it; memory in MiB."""

    uuid: str
    name: str
    state: str  # running|paused|off|shutting-down|crashed|unknown
    memory_mb: int
    max_memory_mb: int
    vcpus: int
    autostart: bool
    managed: bool = False  # whether our mark says that it is ours


@dataclass(frozen=True)
class CloudFacts:
    """The figures of the host itself; memory in MiB."""

    arch: str
    cpus: int
    memory_mb: int
    live_free_memory_mb: Optional[int]


@dataclass(frozen=True)
class Snapshot:
    """Everything at one moment; `taken` counts up with each snapshot of a host."""

    taken: int
    cloud: CloudFacts
    machines: tuple[MachineFacts, ...]


class InventoryLog:
    """Answers `virt.inventory`: everything at first, then only what changed since the cursor.

    A cursor is `INSTANCE.REVISION`; a cursor of another instance (funcd was restarted), of a revision
    older than the kept tombstones, or none at all gets everything. Thread-safe.
    """

    def __init__(self, instance_id: str, max_tombstones: int = MAX_TOMBSTONES) -> None:
        self._instance = instance_id
        self._max_tombstones = max_tombstones
        self._lock = threading.Lock()
        self._taken = 0
        self._revision = 0
        self._oldest = 0  # the oldest revision of which every change since is still known
        self._cloud: Optional[CloudFacts] = None
        self._cloud_revision = 0
        self._machines: dict[str, MachineFacts] = {}
        self._changed: dict[str, int] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()

    def record(self, snapshot: Snapshot) -> None:
        """Take over a snapshot; one that was overtaken by a newer one is dropped."""
        with self._lock:
            if snapshot.taken <= self._taken:
                return
            self._taken = snapshot.taken
            now = {machine.uuid: machine for machine in snapshot.machines}
            cloud = self._steadied(snapshot.cloud)
            if now == self._machines and cloud == self._cloud:
                return
            self._revision += 1
            if cloud != self._cloud:
                self._cloud, self._cloud_revision = cloud, self._revision
            self._take_machines(now)

    def answer(self, cursor: str) -> str:
        """The JSON text of the wire contract for a caller who was last given `cursor`."""
        with self._lock:
            since = self._known(cursor)
            full = since is None
            after = -1 if since is None else since
            told = [facts for uuid, facts in self._machines.items() if self._changed[uuid] > after]
            gone = [] if full else [uuid for uuid, revision in self._gone.items() if revision > after]
            body: dict[str, Any] = {
                "format": FORMAT,
                "full": full,
                "cursor": f"{self._instance}.{self._revision}",
                "cloud": asdict(self._cloud) if self._cloud and self._cloud_revision > after else None,
                "machines": [
                    asdict(facts) for facts in sorted(told, key=lambda facts: (facts.name, facts.uuid))
                ],
                "gone": sorted(gone),
            }
        return json.dumps(body, separators=(",", ":"))

    def _known(self, cursor: str) -> Optional[int]:
        match = _CURSOR.fullmatch(cursor)
        if match is None or match.group(1) != self._instance:
            return None
        revision = int(match.group(2))
        return revision if self._oldest <= revision <= self._revision else None

    def _steadied(self, cloud: CloudFacts) -> CloudFacts:
        # A kernel's free memory never stands still; without this every round would count as a change.
        before = self._cloud.live_free_memory_mb if self._cloud else None
        if before is None or cloud.live_free_memory_mb is None:
            return cloud
        moved = abs(cloud.live_free_memory_mb - before)
        if moved < LIVE_MEMORY_STEP_MB or moved * 100 < cloud.memory_mb:
            return replace(cloud, live_free_memory_mb=before)
        return cloud

    def _take_machines(self, now: dict[str, MachineFacts]) -> None:
        for uuid, facts in now.items():
            if self._machines.get(uuid) != facts:
                self._changed[uuid] = self._revision
                self._gone.pop(uuid, None)
        for uuid in self._machines.keys() - now.keys():
            del self._changed[uuid]
            self._gone[uuid] = self._revision
        self._machines = now
        while len(self._gone) > self._max_tombstones:
            self._oldest = self._gone.popitem(last=False)[1]
