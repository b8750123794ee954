"""The tables of a spool file, and how a file of an earlier version gets them."""

import sqlite3

VERSION = 3

# `blocks`: which messages beyond its cursor a sink is done with; the owner '' has those that are deleted already.
_SINCE_3 = """
CREATE TABLE dead_letters (
  number INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, message_id INTEGER NOT NULL,
  received_ms INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL DEFAULT 1,
  retain INTEGER NOT NULL DEFAULT 0, properties BLOB, reason TEXT NOT NULL, attempts INTEGER NOT NULL,
  dead_ms INTEGER NOT NULL, replay INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX dead_letters_of_sink ON dead_letters (sink, message_id);
CREATE INDEX replays ON dead_letters (sink, number) WHERE replay = 1;
CREATE TABLE blocks (
  owner TEXT NOT NULL, block INTEGER NOT NULL, bits BLOB NOT NULL, PRIMARY KEY (owner, block)
) STRICT, WITHOUT ROWID;
"""

_NEW = f"""
BEGIN;
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
  qos INTEGER NOT NULL, retain INTEGER NOT NULL, dup INTEGER NOT NULL, properties BLOB
) STRICT;
CREATE TABLE sinks (
  name TEXT PRIMARY KEY, start INTEGER NOT NULL, cursor INTEGER NOT NULL,
  delivered INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, discarded INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
{_SINCE_3}
PRAGMA user_version = {VERSION};
COMMIT;
"""

_MIGRATIONS = {
    1: """
ALTER TABLE messages ADD COLUMN properties BLOB;
ALTER TABLE dead_letters ADD COLUMN properties BLOB;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
""",
    2: f"""
ALTER TABLE sinks DROP COLUMN dead_lettered;
ALTER TABLE sinks ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters RENAME TO dead_letters_2;
{_SINCE_3}
INSERT INTO dead_letters (number, sink, message_id, received_ms, topic, payload, properties, reason, attempts, dead_ms)
  SELECT number, sink, message_id, received_ms, topic, payload, properties, reason, attempts, dead_ms
  FROM dead_letters_2;
DROP TABLE dead_letters_2;
""",  # noqa: S608
}
"""Version of a file -> what makes it one of the next version."""

# The newest message is deleted only when every cursor is past it, so ids need no counter of their own.
LAST_ID = "SELECT max(coalesce((SELECT max(id) FROM messages), 0), coalesce((SELECT max(cursor) FROM sinks), 0))"
"""The newest message ever committed; 0 for none."""


def version_of(database: sqlite3.Connection) -> int | None:
    """The version of a file, 0 for an empty one; None for one that is no spool or comes from a later bridge."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        return None if database.execute("SELECT 1 FROM sqlite_master").fetchone() else 0
    return version if version in (VERSION, *_MIGRATIONS) else None


def bring_up(database: sqlite3.Connection, version: int) -> None:
    """Make the tables, or those of an earlier version into ours."""
    if version == 0:
        database.executescript(_NEW)
        return
    for older in range(version, VERSION):
        database.executescript(f"BEGIN;{_MIGRATIONS[older]}PRAGMA user_version = {older + 1};COMMIT;")
