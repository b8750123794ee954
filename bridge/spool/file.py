"""The spool file as SQLite sees it: its tables, how it is opened, locked and checked, and what its errors mean."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from edgewire.errors import EdgefleetError


class SpoolError(EdgefleetError):
    """The spool cannot be opened, read or written; nothing more is acknowledged."""


VERSION = 2

_SCHEMA = f"""
BEGIN;
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
  qos INTEGER NOT NULL, retain INTEGER NOT NULL, dup INTEGER NOT NULL, properties BLOB
) STRICT;
CREATE TABLE sinks (
  name TEXT PRIMARY KEY, start INTEGER NOT NULL, cursor INTEGER NOT NULL,
  delivered INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, dead_lettered INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE dead_letters (
  number INTEGER PRIMARY KEY, sink TEXT NOT NULL, message_id INTEGER NOT NULL, received_ms INTEGER NOT NULL,
  topic TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, dead_ms INTEGER NOT NULL,
  properties BLOB
) STRICT;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
PRAGMA user_version = {VERSION};
COMMIT;
"""

_MIGRATIONS = {
    1: """
ALTER TABLE messages ADD COLUMN properties BLOB;
ALTER TABLE dead_letters ADD COLUMN properties BLOB;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
""",
}
"""Version of a file -> what makes it one of the next version."""

# A message is deleted only when every cursor is past it, so ids outlive deletion without a counter of their own.
LAST_ID = "SELECT max(coalesce((SELECT max(id) FROM messages), 0), coalesce((SELECT max(cursor) FROM sinks), 0))"
"""The newest message ever committed; 0 for none."""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The file in WAL mode with `synchronous=FULL`, made where it is missing and checked where it is not.

    After a crash SQLite itself brings it back to the last commit.
    """
    # Transactions are written out: the module's own would commit at statements of its choosing.
    # Opened in one thread and used from then on by the writer's.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA journal_size_limit = 67108864")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
            database.executescript(_SCHEMA)
        elif version not in (VERSION, *_MIGRATIONS):
            raise SpoolError(f"{path}: is no spool of this version of the bridge; set another spool.path")
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise SpoolError(
                f"{path}: the spool is damaged ({damage}); save what is left with 'sqlite3 {path} .recover'"
                " and move the file away"
            )
        for older in range(version or VERSION, VERSION):
            database.executescript(f"BEGIN;{_MIGRATIONS[older]}PRAGMA user_version = {older + 1};COMMIT;")
    except BaseException:
        database.close()
        raise
    return database


def open_read_only(path: Path) -> sqlite3.Connection:
    """The file for reading, also beside a process that writes."""
    if not path.exists():
        raise SpoolError(f"{path}: there is no spool yet; it is made when the bridge first runs")
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)


def lock(path: Path) -> IO[bytes]:
    """Keep other bridges off the file until the answer is closed or the process ends, however it ends."""
    held = _lock_file(path).open("a+b")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise SpoolError(f"{path}: another bridge uses this spool; stop it or set another spool.path") from None
    held.truncate(0)
    held.write(str(os.getpid()).encode())
    held.flush()
    return held


def holder(path: Path) -> int | None:
    """The process that has the file open for writing, if one has."""
    try:
        with _lock_file(path).open("rb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(held.read() or 0) or None
    except OSError:
        pass
    return None


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the file system, as a `SpoolError` that names the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise SpoolError(f"{path}: the disk is full; make room and start the bridge again") from error
        raise SpoolError(f"{path}: the spool cannot be used: {error}; look at the disk and its permissions") from error
    except sqlite3.DatabaseError as error:
        raise SpoolError(f"{path}: is damaged or no spool: {error}; set another spool.path") from error
    except OSError as error:
        raise SpoolError(f"{path}: the spool cannot be opened: {error.strerror}") from error
