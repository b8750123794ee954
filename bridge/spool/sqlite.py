"""Opens the spool as a SQLite file: makes its tables, checks it, locks it, and says what its errors mean.

After a crash SQLite itself brings the file back to the last commit: what follows the last whole commit of the
write-ahead log is ignored. What it does not notice by itself is a file that was cut or overwritten. Reading everything
takes long for a large file, so that is done only when it is small or the last writer did not close it, and for a
bounded time; what is damaged beyond that shows when it is read, and stops the bridge then.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from edgewire import logs
from edgewire.errors import EdgefleetError
from edgewire.os_support import is_ours, lock_file
from edgewire.output import require_file, resolve_output

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

CHECK_S = 10.0
"""How long the check may keep the bridge from starting. About 1 GB/s is checked [measured, file in the page cache]."""

SMALL_BYTES = 128 << 20
"""A file of this size is always checked: it takes a tenth of a second."""

STEPS_BETWEEN_LOOKS = 20_000

_BUSY_S = 30.0
"""How long a commit waits for a command, such as a replay of dead letters, that writes at the same moment."""

_CLOSED = "closed in good order"

_PRIVATE = 0o600

log = logs.get("spool")


class SpoolError(EdgefleetError):
    """The spool cannot be opened, read or written; nothing more is acknowledged."""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the file in WAL mode with `synchronous=FULL`, made where it is missing and checked where it is not.

    After a crash SQLite itself brings it back to the last commit.
    """
    _make_private(path)
    # Transactions are written out: the module's own would commit at statements of its choosing.
    # Opened in one thread and used from then on by the writer's.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
    try:
        # Of a file that is somebody else's nothing is changed, neither its rights nor its mode.
        version = _read_version(database)
        if version is None:
            raise SpoolError(f"{path}: is no spool of this version of the bridge; set another spool.path")
        _close_to_others(path)
        # Before there is any table: pages that are free can then be given back to the file system in small steps.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA journal_size_limit = 67108864")
        if version:
            closed = version > 1 and database.execute("SELECT 1 FROM notes WHERE name = ?", (_CLOSED,)).fetchone()
            damage = _find_damage(database, path, closed_in_order=bool(closed))
            if damage:
                raise SpoolError(_damaged(path, damage))
        _migrate(database, version)
        database.execute("DELETE FROM notes WHERE name = ?", (_CLOSED,))
    except BaseException:
        database.close()
        raise
    return database


def _make_private(path: Path) -> None:
    """Make a file that is not there, which nobody else can read: it holds every message."""
    try:
        os.close(os.open(require_file(path), os.O_RDWR | os.O_CREAT, _PRIVATE))
    except OSError as error:
        raise SpoolError(f"{path}: the spool cannot be opened: {error.strerror}") from error


def _close_to_others(path: Path) -> None:
    """Close the spool of an earlier version to others as well, where it is ours; SQLite makes what is beside it so."""
    try:
        path = require_file(path)  # those beside it are beside the file itself
        for file in (path, *(path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-shm", ".lock"))):
            if file.exists() and is_ours(file.stat().st_uid) and file.stat().st_mode & 0o077:
                file.chmod(_PRIVATE)
    except OSError as error:
        raise SpoolError(f"{path}: the spool cannot be opened: {error.strerror}") from error


def mark_closed(database: sqlite3.Connection) -> None:
    """Write into the file that it is closed in good order."""
    database.execute("INSERT OR REPLACE INTO notes VALUES (?, '1')", (_CLOSED,))


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open the file for reading, also beside a process that writes."""
    _require(path)
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False, isolation_level=None, timeout=_BUSY_S
    )


def read_notes(path: Path, prefix: str) -> dict[str, str]:
    """Return what a spool keeps under names that begin so, by the rest of the name, also beside a bridge that runs.

    A spool that is not there, or cannot be read, keeps nothing: whoever opens it to work with it says what is wrong.
    """
    with suppress(sqlite3.Error, OSError, SpoolError), closing(open_read_only(path)) as database:
        rows = database.execute(
            "SELECT name, value FROM notes WHERE substr(name, 1, ?) = ?", (len(prefix), prefix)
        ).fetchall()
        return {name[len(prefix) :]: value for name, value in rows}
    return {}


def open_shared(path: Path) -> sqlite3.Connection:
    """Open the file for short writes, whether or not a bridge has it open: SQLite lets one transaction in at a time."""
    _require(path)
    database = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
    database.execute("PRAGMA synchronous = FULL")
    return database


def _require(path: Path) -> None:
    if not path.exists():
        raise SpoolError(f"{path}: there is no spool yet; it is made when the bridge first runs")


# -- tables


def _read_version(database: sqlite3.Connection) -> int | None:
    """Return the version of a file, 0 for an empty one; None for one that is no spool or comes from a later bridge."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        return None if database.execute("SELECT 1 FROM sqlite_master").fetchone() else 0
    return version if version in (VERSION, *_MIGRATIONS) else None


def _migrate(database: sqlite3.Connection, version: int) -> None:
    """Make the tables, or turn those of an earlier version into ours."""
    if version == 0:
        database.executescript(_NEW)
        return
    for older in range(version, VERSION):
        database.executescript(f"BEGIN;{_MIGRATIONS[older]}PRAGMA user_version = {older + 1};COMMIT;")


# -- damage


def _find_damage(database: sqlite3.Connection, path: Path, *, closed_in_order: bool) -> str | None:
    """Return what is wrong with the file, in a few words; None for nothing that was found."""
    pages, page_size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    wal = path.with_name(f"{path.name}-wal")
    size = path.stat().st_size
    missing = pages * page_size - size
    if missing > 0 and not (wal.exists() and wal.stat().st_size):
        return f"{missing:,} bytes are missing at its end"
    return None if closed_in_order and size > SMALL_BYTES else quick_check(database, path)


def quick_check(database: sqlite3.Connection, path: Path) -> str | None:
    """Let SQLite read the file for `CHECK_S` at most; return what is wrong, None for nothing that was found."""
    until = time.monotonic() + CHECK_S
    database.set_progress_handler(lambda: time.monotonic() > until, STEPS_BETWEEN_LOOKS)
    try:
        found: str = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        log.warning("the spool is large and was checked in part only", path=str(path), seconds=CHECK_S)
        return None
    finally:
        database.set_progress_handler(None, 0)
    return None if found == "ok" else found


# -- one writer


def acquire_lock(path: Path) -> IO[bytes]:
    """Keep other bridges off the file until the answer is closed or the process ends, however it ends."""
    held = os.fdopen(os.open(require_file(_lock_file(path)), os.O_RDWR | os.O_CREAT | os.O_APPEND, _PRIVATE), "a+b")
    try:
        lock_file(held.fileno())
    except BlockingIOError:
        held.close()
        raise SpoolError(f"{path}: another bridge uses this spool; stop it or set another spool.path") from None
    held.truncate(0)
    held.write(str(os.getpid()).encode())
    held.flush()
    return held


def lock_owner(path: Path) -> int | None:
    """Return the process that has the file open for writing, if one has."""
    try:
        with _lock_file(path).open("rb") as held:
            try:
                lock_file(held.fileno(), shared=True)
            except BlockingIOError:
                return int(held.read() or 0) or None
    except OSError:
        pass
    return None


def _lock_file(path: Path) -> Path:
    # Beside the file itself: two bridges must not have it by two names.
    found = resolve_output(path)
    return found.with_name(f"{found.name}.lock")


# -- errors


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into a `SpoolError` that names the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise SpoolError(_explanation(path, error)) from error
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise SpoolError(_damaged(path, str(error))) from error
        raise SpoolError(f"{path}: is damaged or no spool: {error}; set another spool.path") from error
    except OSError as error:
        raise SpoolError(f"{path}: the spool cannot be opened: {error.strerror}") from error


def _explanation(path: Path, error: sqlite3.OperationalError) -> str:
    code = error.sqlite_errorcode & 0xFF  # without the extension that says where it happened
    if code == sqlite3.SQLITE_FULL:
        return f"{path}: the disk is full; make room and start the bridge again"
    if code == sqlite3.SQLITE_IOERR:
        return (
            f"{path}: the disk does not take or give data ({error}); look at the disk, its quota and"
            " the kernel's log, and start the bridge again"
        )
    if code == sqlite3.SQLITE_BUSY:
        return f"{path}: another program has kept the spool locked for {_BUSY_S:g} s; end it and start the bridge again"
    return f"{path}: the spool cannot be used: {error}; look at the disk and its permissions"


def _damaged(path: Path, what: str) -> str:
    return (
        f"{path}: the spool is damaged ({what}); save what is left with 'sqlite3 {path} .recover' and move the file"
        " away, then the bridge starts with a new one"
    )
