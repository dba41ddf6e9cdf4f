-- A database as schema version 1 left it, with everything in it that version 1 could hold.
-- Kept as it was: it stands for the databases out there, whatever store/schema.py says today.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cloud (
    name TEXT PRIMARY KEY, state TEXT NOT NULL DEFAULT 'new',
    arch TEXT, cpus INTEGER, memory_mb INTEGER, live_free_memory_mb INTEGER,
    tags TEXT NOT NULL DEFAULT '{}', observed_at TEXT, error TEXT, unreachable_since TEXT,
    certificate_expires_at TEXT, revision INTEGER NOT NULL DEFAULT 0);
CREATE TABLE machine (
    uuid TEXT PRIMARY KEY, cloud TEXT NOT NULL REFERENCES cloud (name), name TEXT NOT NULL,
    state TEXT NOT NULL, memory_mb INTEGER NOT NULL, max_memory_mb INTEGER NOT NULL,
    vcpus INTEGER NOT NULL, autostart INTEGER NOT NULL DEFAULT 0, managed INTEGER NOT NULL DEFAULT 0,
    profile TEXT, image TEXT, tags TEXT NOT NULL DEFAULT '{}', notes TEXT NOT NULL DEFAULT '',
    revision INTEGER NOT NULL DEFAULT 0);
CREATE INDEX machine_by_name ON machine (name, uuid);
CREATE INDEX machine_by_cloud ON machine (cloud);
INSERT INTO meta VALUES ('change_count', '41'), ('schema_version', '1');
INSERT INTO cloud VALUES
    ('cloud1.example.org', 'up', 'x86_64', 16, 65536, 40123, '{"rack": "a"}',
     '2026-01-02T03:04:05.000006+00:00', NULL, NULL, '2027-01-01T00:00:00.000000+00:00', 40),
    ('cloud2.example.org', 'unreachable', 'x86_64', 8, 32768, NULL, '{}', '2026-01-02T03:00:00.000000+00:00',
     '[Errno 111] Connection refused', '2026-01-02T03:01:00.000000+00:00', NULL, 41),
    ('cloud3.example.org', 'maintenance', 'aarch64', 4, 16384, 9000, '{}', '2026-01-02T03:04:05.000000+00:00',
     NULL, NULL, NULL, 12),
    ('cloud4.example.org', 'new', NULL, NULL, NULL, NULL, '{}', NULL, NULL, NULL,
     '2027-06-01T00:00:00.000000+00:00', 1);
INSERT INTO machine VALUES
    ('00000000-0000-0000-0000-000000000001', 'cloud1.example.org', 'jboss1.example.org', 'running', 1024, 2048,
     2, 1, 1, 'GenomeCloud-RHEL5U2-x86_64', NULL, '{"team": "web"}', 'the ''old'' one', 39),
    ('00000000-0000-0000-0000-000000000002', 'cloud1.example.org', 'café', 'off', 512, 512, 1, 0, 0, NULL,
     'golden', '{}', '', 17),
    ('00000000-0000-0000-0000-000000000003', 'cloud2.example.org', 'jboss1.example.org', 'paused', 4096, 4096,
     4, 0, 0, NULL, NULL, '{}', '', 5);
PRAGMA user_version = 1;
