"""Memory held on a cloud instance for machine instances that are not active there yet."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

# A reservation counts while its machine instance has no active sighting on its cloud instance: the other way
# round it is the sighting that counts. Both sides are reckoned from the same rows in the same transaction, so
# at no time both of them or none is in the sum.
_HELD = """
    SELECT r.cloud, sum(r.memory_mb), count(*) FROM reservation r
    WHERE r.cloud IN (SELECT value FROM json_each(?)) AND NOT EXISTS (
        SELECT 1 FROM sighting s
        WHERE s.cloud = r.cloud AND s.uuid = r.uuid AND s.state IN ('running', 'paused', 'shutting-down'))
    GROUP BY r.cloud"""
_ACTIVE = """
    SELECT cloud,
        sum(CASE WHEN state IN ('running', 'paused', 'shutting-down') THEN max_memory_mb ELSE 0 END),
        sum(state IN ('running', 'paused', 'shutting-down')), sum(shown), sum(shown AND state = 'running')
    FROM sighting WHERE cloud IN (SELECT value FROM json_each(?)) GROUP BY cloud"""
# `pending` is shown to nobody, so it alone makes no new revision
_WRITE = """
    UPDATE cloud SET committed_mb = ?1, active = ?2, machines = ?3, running = ?4, pending = ?5,
        revision = iif((committed_mb, active, machines, running) <> (?1, ?2, ?3, ?4), ?6, revision)
    WHERE name = ?7 AND (committed_mb, active, machines, running, pending) <> (?1, ?2, ?3, ?4, ?5)"""


def sum_up(raw: sqlite3.Connection, clouds: Collection[str], change: int) -> None:
    """Make anew what stands on the rows of these cloud instances about their machines and reservations."""
    asked = json.dumps(list(clouds))
    sums = dict.fromkeys(clouds, (0, 0, 0, 0))
    for name, committed, active, machines, running in raw.execute(_ACTIVE, (asked,)):
        sums[name] = (committed, active, machines, running)
    pending = dict.fromkeys(clouds, 0)
    for name, held_mb, held in raw.execute(_HELD, (asked,)):
        committed, active, machines, running = sums[name]
        sums[name], pending[name] = (committed + held_mb, active + held, machines, running), held
    raw.executemany(_WRITE, [(*sums[name], pending[name], change, name) for name in sums])
