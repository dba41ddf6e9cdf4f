-- A database as schema version 2 left it, dumped by the sqlite3 module of the standard library.
-- Kept as it was: it stands for the databases out there, whatever store/schema.py says today.
BEGIN TRANSACTION;
CREATE TABLE cloud (
        name TEXT PRIMARY KEY, reachability TEXT NOT NULL DEFAULT 'new',
        arch TEXT, cpus INTEGER, memory_mb INTEGER, live_free_memory_mb INTEGER,
        tags TEXT NOT NULL DEFAULT '{}', observed_at TEXT, error TEXT, unreachable_since TEXT,
        certificate_expires_at TEXT, revision INTEGER NOT NULL DEFAULT 0, maintenance INTEGER NOT NULL DEFAULT 0, committed_mb INTEGER NOT NULL DEFAULT 0, active INTEGER NOT NULL DEFAULT 0, machines INTEGER NOT NULL DEFAULT 0, running INTEGER NOT NULL DEFAULT 0, cursor TEXT);
INSERT INTO "cloud" VALUES('cloud1.example.org','up','x86_64',16,65536,40123,'{}','2026-01-02T12:00:00.000000+00:00',NULL,NULL,'2027-01-01T00:00:00.000000+00:00',3,0,2048,1,2,1,'7');
INSERT INTO "cloud" VALUES('cloud2.example.org','unreachable','x86_64',16,65536,40123,'{}','2026-01-02T12:00:00.000000+00:00','[Errno 111] Connection refused','2026-01-02T12:00:20.000000+00:00',NULL,5,0,1024,1,1,0,NULL);
INSERT INTO "cloud" VALUES('cloud3.example.org','up','x86_64',16,65536,40123,'{"rack": "a"}','2026-01-02T12:00:15.000000+00:00',NULL,NULL,NULL,4,1,0,0,0,0,'1');
INSERT INTO "cloud" VALUES('cloud4.example.org','new',NULL,NULL,NULL,NULL,'{}',NULL,NULL,NULL,'2026-01-03T12:00:00.000000+00:00',2,0,0,0,0,0,NULL);
CREATE TABLE machine (
        uuid TEXT PRIMARY KEY, managed INTEGER NOT NULL DEFAULT 0, profile TEXT, image TEXT,
        tags TEXT NOT NULL DEFAULT '{}', notes TEXT NOT NULL DEFAULT '', vanished_at TEXT,
        revision INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "machine" VALUES('00000000-0000-0000-0000-000000000001',1,'GenomeCloud-RHEL5U2-x86_64',NULL,'{"team": "web"}','the ''old'' one',NULL,3);
INSERT INTO "machine" VALUES('00000000-0000-0000-0000-000000000002',0,NULL,NULL,'{}','',NULL,3);
INSERT INTO "machine" VALUES('00000000-0000-0000-0000-000000000003',0,NULL,NULL,'{}','',NULL,3);
INSERT INTO "machine" VALUES('00000000-0000-0000-0000-000000000005',0,NULL,'golden','{}','','2026-01-02T12:00:15.000000+00:00',3);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('change_count','5');
INSERT INTO "meta" VALUES('policy','1024 5 128');
INSERT INTO "meta" VALUES('schema_version','2');
CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, cloud TEXT NOT NULL REFERENCES cloud (name),
        uuid TEXT NOT NULL REFERENCES machine (uuid), name TEXT NOT NULL, state TEXT NOT NULL,
        memory_mb INTEGER NOT NULL, max_memory_mb INTEGER NOT NULL, vcpus INTEGER NOT NULL,
        autostart INTEGER NOT NULL, appeared INTEGER NOT NULL, shown INTEGER NOT NULL);
INSERT INTO "sighting" VALUES(1,'cloud1.example.org','00000000-0000-0000-0000-000000000002','café','off',1024,1024,2,0,3,1);
INSERT INTO "sighting" VALUES(2,'cloud1.example.org','00000000-0000-0000-0000-000000000001','m1.example.org','running',2048,2048,2,0,3,1);
INSERT INTO "sighting" VALUES(3,'cloud2.example.org','00000000-0000-0000-0000-000000000001','m1.example.org','off',2048,2048,2,0,3,0);
INSERT INTO "sighting" VALUES(4,'cloud2.example.org','00000000-0000-0000-0000-000000000003','m3.example.org','paused',1024,1024,2,0,3,1);
CREATE UNIQUE INDEX sighting_by_cloud ON sighting (cloud, uuid);
CREATE INDEX sighting_by_uuid ON sighting (uuid);
CREATE UNIQUE INDEX sighting_shown_once ON sighting (uuid) WHERE shown = 1;
CREATE INDEX sighting_shown_by_name ON sighting (name, uuid) WHERE shown = 1;
CREATE INDEX sighting_shown_by_state ON sighting (state, name, uuid) WHERE shown = 1;
CREATE INDEX machine_vanished ON machine (vanished_at) WHERE vanished_at IS NOT NULL;
COMMIT;
PRAGMA user_version = 2;
