"""The spool file as SQLite sees it: how it is opened, locked and checked, and what its errors mean."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from bridge.spool.integrity import find_damage
from bridge.spool.schema import bring_up, version_of
from edgewire.errors import EdgefleetError


class SpoolError(EdgefleetError):
    """The spool cannot be opened, read or written; nothing more is acknowledged."""


_BUSY_S = 30.0
"""How long a commit waits for a command, such as a replay of dead letters, that writes at the same moment."""


_CLOSED = "closed in good order"


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The file in WAL mode with `synchronous=FULL`, made where it is missing and checked where it is not.

    After a crash SQLite itself brings it back to the last commit.
    """
    # Transactions are written out: the module's own would commit at statements of its choosing.
    # Opened in one thread and used from then on by the writer's.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
    try:
        # Before there is any table: pages that are free can then be given back to the file system in small steps.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA journal_size_limit = 67108864")
        version = version_of(database)
        if version is None:
            raise SpoolError(f"{path}: is no spool of this version of the bridge; set another spool.path")
        if version:
            closed = version > 1 and database.execute("SELECT 1 FROM notes WHERE name = ?", (_CLOSED,)).fetchone()
            damage = find_damage(database, path, closed_in_order=bool(closed))
            if damage:
                raise SpoolError(_damaged(path, damage))
        bring_up(database, version)
        database.execute("DELETE FROM notes WHERE name = ?", (_CLOSED,))
    except BaseException:
        database.close()
        raise
    return database


def note_closed(database: sqlite3.Connection) -> None:
    """Write into the file that it is closed in good order."""
    database.execute("INSERT OR REPLACE INTO notes VALUES (?, '1')", (_CLOSED,))


def open_read_only(path: Path) -> sqlite3.Connection:
    """The file for reading, also beside a process that writes."""
    _require(path)
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False, isolation_level=None, timeout=_BUSY_S
    )


def open_beside(path: Path) -> sqlite3.Connection:
    """The file for short writes, whether or not a bridge has it open: SQLite lets one transaction in at a time."""
    _require(path)
    database = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
    database.execute("PRAGMA synchronous = FULL")
    return database


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


def _require(path: Path) -> None:
    if not path.exists():
        raise SpoolError(f"{path}: there is no spool yet; it is made when the bridge first runs")
