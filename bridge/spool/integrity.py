"""Whether a spool file is whole, at the start.

After a crash SQLite itself brings the file back to the last commit: what follows the last whole commit of the
write-ahead log is ignored. What it does not notice by itself is a file that was cut or overwritten. Reading everything
takes long for a large file, so that is done only when it is small or the last writer did not close it, and for a
bounded time; what is damaged beyond that shows when it is read, and stops the bridge then.
"""

import sqlite3
import time
from pathlib import Path

from edgewire import logs

CHECK_S = 10.0
"""How long the check may keep the bridge from starting. About 1 GB/s is checked [measured, file in the page cache]."""

_SMALL_BYTES = 128 << 20
"""A file of this size is always checked: it takes a tenth of a second."""

_STEPS_BETWEEN_LOOKS = 20_000

log = logs.get("spool")


def find_damage(database: sqlite3.Connection, path: Path, *, closed_in_order: bool) -> str | None:
    """What is wrong with the file, in a few words; None for nothing that was found."""
    pages, page_size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    wal = path.with_name(f"{path.name}-wal")
    size = path.stat().st_size
    missing = pages * page_size - size
    if missing > 0 and not (wal.exists() and wal.stat().st_size):
        return f"{missing:,} bytes are missing at its end"
    return None if closed_in_order and size > _SMALL_BYTES else _check(database, path)


def _check(database: sqlite3.Connection, path: Path) -> str | None:
    until = time.monotonic() + CHECK_S
    database.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
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
