"""Making the sinks of a spool file those of the configuration."""

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from bridge.spool import blocks
from bridge.spool.schema import LAST_ID
from edgewire.errors import ConfigError


def adopt(database: sqlite3.Connection, path: Path, sinks: Sequence[str], abandon: Collection[str]) -> None:
    """Forget the sinks that are configured no longer, and begin the books of new ones.

    Raises `ConfigError` for a sink that still has something pending and is not named in `abandon`. Its dead letters
    are kept either way. Call in a transaction.
    """
    last_id: int = database.execute(LAST_ID).fetchone()[0]
    for name, cursor in database.execute("SELECT name, cursor FROM sinks").fetchall():
        if name in sinks:
            continue
        if cursor < last_id and name not in abandon:
            pending = last_id - cursor - _done(database, name, cursor)
            raise ConfigError(
                f"{path}: holds {pending} messages for the sink '{name}', which is no longer"
                f" configured; configure it again, or give them up with spool.abandon: [{name}]"
            )
        database.execute("DELETE FROM sinks WHERE name = ?", (name,))
        database.execute("DELETE FROM blocks WHERE owner = ?", (name,))
    known = {name for (name,) in database.execute("SELECT name FROM sinks")}
    for name in sinks:
        if name not in known:
            _begin(database, name, last_id)


def _begin(database: sqlite3.Connection, name: str, last_id: int) -> None:
    """A new sink begins with the oldest message that is still here.

    Not received are those in between that are deleted; received, in a life of this name before, are its dead letters.
    """
    cursor: int = database.execute("SELECT coalesce(min(id) - 1, ?) FROM messages", (last_id,)).fetchone()[0]
    gone = _done(database, "", cursor)
    (letters,) = database.execute("SELECT count(*) FROM dead_letters WHERE sink = ?", (name,)).fetchone()
    start = cursor + gone - letters
    database.execute("INSERT INTO sinks (name, start, cursor) VALUES (?, ?, ?)", (name, start, cursor))
    database.execute(
        "INSERT INTO blocks (owner, block, bits) SELECT ?, block, bits FROM blocks WHERE owner = ''", (name,)
    )


def _done(database: sqlite3.Connection, owner: str, cursor: int) -> int:
    """How many ids beyond `cursor` the blocks of an owner have."""
    rows = database.execute("SELECT block, bits FROM blocks WHERE owner = ?", (owner,))
    return sum(blocks.above(blocks.from_disk(bits), block, cursor).bit_count() for block, bits in rows)
