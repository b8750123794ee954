"""Room in the spool file: what every sink is done with is deleted, and the file shrinks again.

Below the lowest cursor everything goes. Beyond it, where one stuck message must not keep millions, a block loses what
all sinks are done with as soon as that is worth a statement.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping

from bridge.spool import bitmap as blocks
from bridge.spool.sqlite import LAST_ID

_PRUNE_AT_ONCE = 2_000
"""Messages deleted in one commit, which bounds how long it takes."""


_SWEEP_AT_LEAST = 256
"""Messages of a block that are deleted beyond the lowest cursor; so at most one in 16 stays although it is done."""


KEEP_FREE_BYTES = 16 << 20
"""Free pages that are kept for the messages to come."""


_SHRINK_PAGES = 128
"""Pages given back in one step: half a megabyte, a millisecond or two."""


class Retention:
    """The cursors of all sinks and what is done beyond them, as in the file. Every method belongs in a transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.cursors: dict[str, int] = dict(database.execute("SELECT name, cursor FROM sinks").fetchall())
        self.done: dict[str, dict[int, int]] = {name: {} for name in self.cursors}
        """By sink and block, as bits."""
        self._database = database
        self._deleted: dict[int, int] = {}
        for owner, block, bits in database.execute("SELECT owner, block, bits FROM blocks").fetchall():
            (self.done[owner] if owner else self._deleted)[block] = blocks.from_disk(bits)
        statement = f"SELECT coalesce((SELECT min(id) - 1 FROM messages), ({LAST_ID}))"  # noqa: S608
        self._pruned: int = database.execute(statement).fetchone()[0]
        self._page_size = self._pragma("page_size")

    def used_bytes(self) -> int:
        """Bytes of pages that hold something."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._page_size

    def advance(self, sink: str, cursor: int, above: Mapping[int, int]) -> set[int]:
        """Note progress of a sink; returns the blocks in which it is done with more than before."""
        done, before = self.done[sink], self.cursors[sink]
        self.cursors[sink] = cursor
        for block, bits in above.items():
            if block >= cursor >> blocks.SHIFT:
                done[block] = bits
                self._write(sink, block, bits)
        passed = [block for block in done if block < cursor >> blocks.SHIFT]
        for block in passed:
            del done[block]
        if passed:
            self._forget(sink, cursor >> blocks.SHIFT)
        return {*above, *range(before >> blocks.SHIFT, (cursor >> blocks.SHIFT) + 1)}

    def sweep(self, touched: Collection[int], last_id: int) -> None:
        """Delete beyond the lowest cursor. The newest block is left alone: ids go on from the newest message."""
        lowest = min(self.cursors.values()) >> blocks.SHIFT
        for block in touched:
            if not lowest <= block < last_id >> blocks.SHIFT:
                continue
            gone = blocks.FULL
            for sink, cursor in self.cursors.items():
                gone &= blocks.upto(block, cursor) | self.done[sink].get(block, 0)
            gone = blocks.above(gone, block, self._pruned) & ~self._deleted.get(block, 0)
            if gone.bit_count() >= _SWEEP_AT_LEAST:
                listed = json.dumps(blocks.ids(gone, block))
                self._database.execute("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))", (listed,))
                self._deleted[block] = self._deleted.get(block, 0) | gone
                self._write("", block, self._deleted[block])

    def prunable(self) -> bool:
        """Whether messages that all cursors are past are still here."""
        return self._pruned < min(self.cursors.values())

    def prune(self) -> None:
        """Delete some of what all cursors are past, oldest first."""
        lowest = min(self.cursors.values())
        if self._pruned >= lowest:
            return
        row = self._database.execute(
            "SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?", (self._pruned, _PRUNE_AT_ONCE - 1)
        ).fetchone()
        upto = min(lowest, row[0]) if row else lowest
        self._database.execute("DELETE FROM messages WHERE id <= ?", (upto,))
        self._pruned = upto
        passed = [block for block in self._deleted if block < upto >> blocks.SHIFT]
        for block in passed:
            del self._deleted[block]
        if passed:
            self._forget("", upto >> blocks.SHIFT)

    def shrinkable(self) -> bool:
        """Whether the file has more free pages than it should keep."""
        return self._pragma("freelist_count") * self._page_size > KEEP_FREE_BYTES and self._pragma("auto_vacuum") == 2

    def shrink(self) -> None:
        """Give some free pages back. A transaction of its own."""
        if self.shrinkable():
            # `execute` would stop after one page: the statement has no columns.
            self._database.executescript(f"PRAGMA incremental_vacuum({_SHRINK_PAGES})")

    def _write(self, owner: str, block: int, bits: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", (owner, block, blocks.to_disk(bits)))

    def _forget(self, owner: str, before: int) -> None:
        self._database.execute("DELETE FROM blocks WHERE owner = ? AND block < ?", (owner, before))

    def _pragma(self, name: str) -> int:
        value: int = self._database.execute(f"PRAGMA {name}").fetchone()[0]
        return value
