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


def sum_up(raw: sqlite3.Connection, clouds: Collection[str], change: int) -> None:
    """Make anew what stands on the rows of these cloud instances about their machines and reservations."""
    asked = json.dumps(list(clouds))
    sums = dict.fromkeys(clouds, (0, 0, 0, 0))
    for name, committed, active, machines, running in raw.execute(_ACTIVE, (asked,)):
        sums[name] = (committed, active, machines, running)
    for name, held_mb, held in raw.execute(_HELD, (asked,)):
        committed, active, machines, running = sums[name]
        sums[name] = (committed + held_mb, active + held, machines, running)
    raw.executemany(
        "UPDATE cloud SET committed_mb = ?, active = ?, machines = ?, running = ?, revision = ?"
        " WHERE name = ? AND (committed_mb, active, machines, running) <> (?, ?, ?, ?)",
        [(*figures, change, name, *figures) for name, figures in sums.items()],
    )
