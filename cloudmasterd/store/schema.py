"""Every schema version there ever was, as the statements that lead to it from the one before.

A step that has been released is never edited: databases out there were made by it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Migration:
    """The statements that make schema version `version` out of the one before it."""

    version: int
    statements: tuple[str, ...]


_ONE = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE cloud (
        name TEXT PRIMARY KEY, state TEXT NOT NULL DEFAULT 'new',
        arch TEXT, cpus INTEGER, memory_mb INTEGER, live_free_memory_mb INTEGER,
        tags TEXT NOT NULL DEFAULT '{}', observed_at TEXT, error TEXT, unreachable_since TEXT,
        certificate_expires_at TEXT, revision INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE machine (
        uuid TEXT PRIMARY KEY, cloud TEXT NOT NULL REFERENCES cloud (name), name TEXT NOT NULL,
        state TEXT NOT NULL, memory_mb INTEGER NOT NULL, max_memory_mb INTEGER NOT NULL,
        vcpus INTEGER NOT NULL, autostart INTEGER NOT NULL DEFAULT 0, managed INTEGER NOT NULL DEFAULT 0,
        profile TEXT, image TEXT, tags TEXT NOT NULL DEFAULT '{}', notes TEXT NOT NULL DEFAULT '',
        revision INTEGER NOT NULL DEFAULT 0)""",
    "CREATE INDEX machine_by_name ON machine (name, uuid)",
    "CREATE INDEX machine_by_cloud ON machine (cloud)",
    "INSERT INTO meta (key, value) VALUES ('change_count', '0')",
)

_TWO = (
    "ALTER TABLE machine RENAME TO machine_v1",
    "ALTER TABLE cloud RENAME COLUMN state TO reachability",
    "ALTER TABLE cloud ADD COLUMN maintenance INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE cloud ADD COLUMN committed_mb INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE cloud ADD COLUMN active INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE cloud ADD COLUMN machines INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE cloud ADD COLUMN running INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE cloud ADD COLUMN cursor TEXT",
    """UPDATE cloud SET maintenance = 1, reachability = CASE WHEN error IS NOT NULL THEN 'unreachable'
        WHEN observed_at IS NULL THEN 'new' ELSE 'up' END WHERE reachability = 'maintenance'""",
    """CREATE TABLE machine (
        uuid TEXT PRIMARY KEY, managed INTEGER NOT NULL DEFAULT 0, profile TEXT, image TEXT,
        tags TEXT NOT NULL DEFAULT '{}', notes TEXT NOT NULL DEFAULT '', vanished_at TEXT,
        revision INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    """CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, cloud TEXT NOT NULL REFERENCES cloud (name),
        uuid TEXT NOT NULL REFERENCES machine (uuid), name TEXT NOT NULL, state TEXT NOT NULL,
        memory_mb INTEGER NOT NULL, max_memory_mb INTEGER NOT NULL, vcpus INTEGER NOT NULL,
        autostart INTEGER NOT NULL, appeared INTEGER NOT NULL, shown INTEGER NOT NULL)""",
    """INSERT INTO machine (uuid, managed, profile, image, tags, notes, revision)
        SELECT uuid, managed, profile, image, tags, notes, revision FROM machine_v1""",
    """INSERT INTO sighting
        (cloud, uuid, name, state, memory_mb, max_memory_mb, vcpus, autostart, appeared, shown)
        SELECT cloud, uuid, name, state, memory_mb, max_memory_mb, vcpus, autostart, 0, 1 FROM machine_v1""",
    "DROP TABLE machine_v1",
    "CREATE UNIQUE INDEX sighting_by_cloud ON sighting (cloud, uuid)",
    "CREATE INDEX sighting_by_uuid ON sighting (uuid)",
    # the guard: whatever the code does, a machine instance is in the list once
    "CREATE UNIQUE INDEX sighting_shown_once ON sighting (uuid) WHERE shown = 1",
    "CREATE INDEX sighting_shown_by_name ON sighting (name, uuid) WHERE shown = 1",
    "CREATE INDEX sighting_shown_by_state ON sighting (state, name, uuid) WHERE shown = 1",
    "CREATE INDEX machine_vanished ON machine (vanished_at) WHERE vanished_at IS NOT NULL",
    """UPDATE cloud SET
        machines = (SELECT count(*) FROM sighting WHERE cloud = cloud.name),
        running = (SELECT count(*) FROM sighting WHERE cloud = cloud.name AND state = 'running'),
        active = (SELECT count(*) FROM sighting WHERE cloud = cloud.name
            AND state IN ('running', 'paused', 'shutting-down')),
        committed_mb = (SELECT coalesce(sum(max_memory_mb), 0) FROM sighting WHERE cloud = cloud.name
            AND state IN ('running', 'paused', 'shutting-down'))""",
)

_THREE = (
    "ALTER TABLE cloud ADD COLUMN maintenance_reason TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE cloud ADD COLUMN maintenance_since TEXT",
    "ALTER TABLE cloud ADD COLUMN reserve_mb INTEGER",
    "ALTER TABLE cloud ADD COLUMN notes TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE machine ADD COLUMN anti_affinity TEXT NOT NULL DEFAULT '[]'",
    # AUTOINCREMENT: a number that a client remembers must not come back for something else
    """CREATE TABLE task (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, state TEXT NOT NULL, target TEXT NOT NULL,
        cloud TEXT, machine TEXT, machine_name TEXT, arguments TEXT NOT NULL, anti_affinity TEXT NOT NULL,
        asked_by TEXT NOT NULL, request_id TEXT NOT NULL, idempotency_key TEXT, request_hash TEXT NOT NULL,
        created_at TEXT NOT NULL, started_at TEXT, ended_at TEXT, cancel_asked INTEGER NOT NULL DEFAULT 0,
        error TEXT, result TEXT NOT NULL DEFAULT '{}', revision INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX task_by_key ON task (idempotency_key) WHERE idempotency_key IS NOT NULL",
    # the guard: whatever the code does, one unfinished task works on a machine instance
    "CREATE UNIQUE INDEX task_busy ON task (machine) WHERE ended_at IS NULL AND machine IS NOT NULL",
    "CREATE INDEX task_unfinished ON task (id) WHERE ended_at IS NULL",
    "CREATE INDEX task_ended ON task (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX task_by_machine ON task (machine)",
    "CREATE INDEX task_by_machine_name ON task (machine_name)",
    "CREATE INDEX task_by_cloud ON task (cloud)",
    """CREATE TABLE step (
        id INTEGER PRIMARY KEY, task INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
        number INTEGER NOT NULL, name TEXT NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL, operation TEXT,
        detail TEXT NOT NULL, result TEXT NOT NULL, progress INTEGER, started_at TEXT, ended_at TEXT)""",
    "CREATE UNIQUE INDEX step_of_task ON step (task, number)",
    """CREATE TABLE task_log (
        id INTEGER PRIMARY KEY, task INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
        at TEXT NOT NULL, text TEXT NOT NULL)""",
    "CREATE INDEX task_log_of_task ON task_log (task)",
    """CREATE TABLE reservation (
        task INTEGER PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE,
        cloud TEXT NOT NULL REFERENCES cloud (name), uuid TEXT, name TEXT, memory_mb INTEGER NOT NULL)""",
    """CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
        cloud TEXT, machine TEXT, machine_name TEXT, task INTEGER)""",
    "CREATE INDEX event_by_machine ON event (machine) WHERE machine IS NOT NULL",
    "CREATE INDEX event_by_machine_name ON event (machine_name) WHERE machine_name IS NOT NULL",
    "CREATE INDEX event_by_cloud ON event (cloud) WHERE cloud IS NOT NULL",
)

_FOUR = (
    """CREATE TABLE image (
        name TEXT PRIMARY KEY, format TEXT NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL,
        min_disk_gb INTEGER NOT NULL, notes TEXT NOT NULL DEFAULT '', state TEXT NOT NULL,
        created_at TEXT NOT NULL, received_bytes INTEGER NOT NULL DEFAULT 0, virtual_size INTEGER, error TEXT,
        revision INTEGER NOT NULL) WITHOUT ROWID""",
    # apart from the task, which is shown to everybody and kept for weeks
    """CREATE TABLE task_secret (
        task INTEGER PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE, body TEXT NOT NULL)""",
)

_FIVE = (
    # named fields of cobbler's profiles and nothing else: some of the others hold passwords
    """CREATE TABLE profile (
        name TEXT PRIMARY KEY, distro TEXT NOT NULL, arch TEXT, breed TEXT NOT NULL, os_version TEXT NOT NULL,
        kernel_options TEXT NOT NULL, autoinstall TEXT NOT NULL, memory_mb INTEGER, vcpus INTEGER,
        disk_gb REAL, comment TEXT NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID""",
    # one row at most: where the profiles came from; `modified` is the server's own last_modified_time
    """CREATE TABLE catalogue (
        server TEXT PRIMARY KEY, modified REAL, fetched_at TEXT, error TEXT,
        failing_since TEXT) WITHOUT ROWID""",
)

_SIX = (
    # token_hash: SHA-256 of what an installing machine is known by; the row goes when the task has ended
    """CREATE TABLE install (
        task INTEGER PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE, token_hash TEXT NOT NULL,
        reached TEXT, said TEXT, text TEXT NOT NULL DEFAULT '', heard_at TEXT, failure TEXT)""",
    "CREATE UNIQUE INDEX install_by_token ON install (token_hash)",
    "ALTER TABLE cloud ADD COLUMN profile TEXT",
)

_SEVEN = (
    # password: the PHC text of its scrypt; NULL for who signs in through the proxy only. scope: a JSON list
    """CREATE TABLE user (
        name TEXT PRIMARY KEY, password TEXT, role TEXT NOT NULL, scope TEXT NOT NULL DEFAULT '[]',
        disabled INTEGER NOT NULL DEFAULT 0, title TEXT NOT NULL DEFAULT '', created_at TEXT NOT NULL,
        password_changed_at TEXT, last_login_at TEXT, revision INTEGER NOT NULL) WITHOUT ROWID""",
    # secret_hash: SHA-256 of what the program or the browser shows; neither is kept
    """CREATE TABLE token (
        id TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE, title TEXT NOT NULL,
        secret_hash TEXT NOT NULL, role TEXT NOT NULL, scope TEXT NOT NULL DEFAULT '[]',
        created_at TEXT NOT NULL, expires_at TEXT, last_used_at TEXT, last_address TEXT NOT NULL DEFAULT '',
        revoked_at TEXT) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX token_by_secret ON token (secret_hash)",
    "CREATE INDEX token_by_user ON token (user)",
    """CREATE TABLE session (
        id TEXT PRIMARY KEY, secret_hash TEXT NOT NULL,
        user TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE, created_at TEXT NOT NULL,
        seen_at TEXT NOT NULL, address TEXT NOT NULL DEFAULT '', agent TEXT NOT NULL DEFAULT ''
        ) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX session_by_secret ON session (secret_hash)",
    "CREATE INDEX session_by_user ON session (user)",
    # append-only: `hash` covers the row and `previous`, the hash of the row before it
    """CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, means TEXT NOT NULL,
        credential TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '',
        request_id TEXT NOT NULL DEFAULT '', action TEXT NOT NULL, target TEXT NOT NULL DEFAULT '',
        result TEXT NOT NULL, status INTEGER, reason TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '{}', previous TEXT NOT NULL, hash TEXT NOT NULL)""",
    "CREATE INDEX audit_by_who ON audit (who)",
    "CREATE INDEX audit_by_target ON audit (target)",
    # no bug of ours and no careless hand changes a record; the hashes are for hands that are not careless
    """CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'a record of the audit is never changed'); END""",
    """CREATE TRIGGER audit_keeps BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'a record of the audit is never removed'); END""",
)

_EIGHT = (
    # what a submission looks for, however many tasks there are
    """CREATE INDEX task_gives_name ON task (json_extract(arguments, '$.name'))
        WHERE ended_at IS NULL AND machine_name IS NOT NULL""",
    "CREATE INDEX task_waiting ON task (id) WHERE ended_at IS NULL AND state = 'waiting'",
    "CREATE INDEX reservation_by_cloud ON reservation (cloud)",
    "ALTER TABLE cloud ADD COLUMN pending INTEGER NOT NULL DEFAULT 0",
    """UPDATE cloud SET pending = (SELECT count(*) FROM reservation r WHERE r.cloud = cloud.name
        AND NOT EXISTS (SELECT 1 FROM sighting s WHERE s.cloud = r.cloud AND s.uuid = r.uuid
            AND s.state IN ('running', 'paused', 'shutting-down')))""",
)

MIGRATIONS = (
    Migration(1, _ONE),
    Migration(2, _TWO),
    Migration(3, _THREE),
    Migration(4, _FOUR),
    Migration(5, _FIVE),
    Migration(6, _SIX),
    Migration(7, _SEVEN),
    Migration(8, _EIGHT),
)
