"""Keeps the spool file small: what every sink is done with is deleted, and the file shrinks again.

Below the lowest cursor everything goes. Beyond it, where one stuck message must not keep millions, a block loses what
all sinks are done with as soon as that is worth a statement; near the cursor, only when nothing else is to be done.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping

from bridge.spool import bitmap
from bridge.spool.sqlite import LAST_ID

_DELETE_AT_ONCE = 2_000
"""Messages deleted in one commit, which bounds how long it takes."""

_DELETE_ABOVE_AT_LEAST = 256
"""Messages of a block that are deleted beyond the lowest cursor; so at most one in 16 stays although it is done."""

_NEAR_BLOCKS = 2
"""Blocks from the lowest cursor on that are left alone while messages come: where several queues deliver, each a little
ahead of the others, the cursor passes them by itself, and what is below it is deleted in one go."""

KEEP_FREE_BYTES = 16 << 20
"""Free pages that are kept for the messages to come."""

_MOSTLY_FREE = 4
"""Free pages to each that holds something."""

_VACUUM_PAGES = 512
"""Pages given back in one step: two megabytes, some milliseconds."""


class Retention:
    """The cursors of all sinks and what is done beyond them, as in the file. Every method belongs in a transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.cursors: dict[str, int] = dict(database.execute("SELECT name, cursor FROM sinks").fetchall())
        self.done: dict[str, dict[int, int]] = {name: {} for name in self.cursors}
        """By sink and block, as bits."""
        self._database = database
        self._deleted: dict[int, int] = {}
        for owner, block, bits in database.execute("SELECT owner, block, bits FROM blocks").fetchall():
            (self.done[owner] if owner else self._deleted)[block] = bitmap.from_disk(bits)
        statement = f"SELECT coalesce((SELECT min(id) - 1 FROM messages), ({LAST_ID}))"  # noqa: S608
        self._deleted_upto: int = database.execute(statement).fetchone()[0]
        self._page_size = self._pragma("page_size")
        self._can_shrink = self._pragma("auto_vacuum") == 2
        self.measure()

    def measure(self) -> None:
        """Look how large the file is. In the transaction that has changed it that costs no lock of its own."""
        self._free_bytes = self._pragma("freelist_count") * self._page_size
        self.used_bytes = self._pragma("page_count") * self._page_size - self._free_bytes
        """Bytes of pages that hold something, when that was last measured."""

    def apply(self, sink: str, cursor: int, done_bitmaps: Mapping[int, int]) -> set[int]:
        """Write progress of a sink; return the blocks in which it is done with more than before."""
        done, before = self.done[sink], self.cursors[sink]
        self.cursors[sink] = cursor
        for block, bits in done_bitmaps.items():
            if block >= cursor >> bitmap.SHIFT:
                done[block] = bits
                self._write_bits(sink, block, bits)
        passed = [block for block in done if block < cursor >> bitmap.SHIFT]
        for block in passed:
            del done[block]
        if passed:
            self._delete_bits(sink, cursor >> bitmap.SHIFT)
        return {*done_bitmaps, *range(before >> bitmap.SHIFT, (cursor >> bitmap.SHIFT) + 1)}

    def delete_above_cursor(self, touched: Collection[int], last_id: int) -> None:
        """Delete beyond the lowest cursor in these blocks, unless they are near it; of the newest block nothing, as ids
        go on from the newest message.
        """
        first = (min(self.cursors.values()) >> bitmap.SHIFT) + _NEAR_BLOCKS
        for block in touched:
            if first <= block < last_id >> bitmap.SHIFT:
                self._delete_done(block)

    def can_delete_near_cursor(self, last_id: int) -> bool:
        """Say whether `delete_near_cursor` has something to do."""
        return any(map(self._deletable, self._near_blocks(last_id)))

    def delete_near_cursor(self, last_id: int) -> None:
        """Delete in the blocks that `delete_above_cursor` leaves alone."""
        for block in self._near_blocks(last_id):
            self._delete_done(block)

    def _near_blocks(self, last_id: int) -> range:
        lowest = min(self.cursors.values()) >> bitmap.SHIFT
        return range(lowest, min(lowest + _NEAR_BLOCKS, last_id >> bitmap.SHIFT))

    def _deletable(self, block: int) -> int:
        """Return what all sinks are done with in a block and is still here, as bits; 0 where it is not worth it."""
        gone = bitmap.FULL
        for sink, cursor in self.cursors.items():
            gone &= bitmap.bits_upto(block, cursor) | self.done[sink].get(block, 0)
        gone = bitmap.bits_above(gone, block, self._deleted_upto) & ~self._deleted.get(block, 0)
        return gone if gone.bit_count() >= _DELETE_ABOVE_AT_LEAST else 0

    def _delete_done(self, block: int) -> None:
        if gone := self._deletable(block):
            listed = json.dumps(bitmap.ids_of(gone, block))
            self._database.execute("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))", (listed,))
            self._deleted[block] = self._deleted.get(block, 0) | gone
            self._write_bits("", block, self._deleted[block])

    def can_delete_below_cursor(self) -> bool:
        """Say whether messages that all cursors are past are still here."""
        return self._deleted_upto < min(self.cursors.values())

    def delete_below_cursor(self) -> None:
        """Delete some of what all cursors are past, oldest first."""
        lowest = min(self.cursors.values())
        if self._deleted_upto >= lowest:
            return
        row = self._database.execute(
            "SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?",
            (self._deleted_upto, _DELETE_AT_ONCE - 1),
        ).fetchone()
        upto = min(lowest, row[0]) if row else lowest
        self._database.execute("DELETE FROM messages WHERE id <= ?", (upto,))
        self._deleted_upto = upto
        passed = [block for block in self._deleted if block < upto >> bitmap.SHIFT]
        for block in passed:
            del self._deleted[block]
        if passed:
            self._delete_bits("", upto >> bitmap.SHIFT)

    def can_vacuum(self) -> bool:
        """Say whether the file has more free pages than it should keep."""
        return self._free_bytes > KEEP_FREE_BYTES and self._can_shrink

    def is_mostly_free(self) -> bool:
        """Say whether little of the file holds something."""
        return self._free_bytes > _MOSTLY_FREE * self.used_bytes

    def vacuum(self) -> None:
        """Give some free pages back. A transaction of its own."""
        if self.can_vacuum():
            # `execute` would stop after one page: the statement has no columns.
            self._database.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            self.measure()
            if not self.can_vacuum():
                # The file is cut with the next checkpoint, for which what was written may never be enough.
                self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _write_bits(self, owner: str, block: int, bits: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", (owner, block, bitmap.to_disk(bits)))

    def _delete_bits(self, owner: str, before: int) -> None:
        self._database.execute("DELETE FROM blocks WHERE owner = ? AND block < ?", (owner, before))

    def _pragma(self, name: str) -> int:
        value: int = self._database.execute(f"PRAGMA {name}").fetchone()[0]
        return value
