"""Tracks what one sink is done with: messages end in any order, the cursor follows where none is missing.

Everything that ends goes into the next `CursorUpdate`, also beyond a message that is stuck, where it has a flag; so a
restart sends nothing again that was settled. Pure.
"""

from collections.abc import Iterable, Mapping

from bridge.spool import bitmap
from bridge.spool.message import CursorUpdate, DeadLetter


class AckTracker:
    """Holds one byte a message between the cursor and the newest that is done, nothing for the others."""

    def __init__(self, sink: str, cursor: int, done: Mapping[int, int] | None = None) -> None:
        """Take the cursor, and the blocks beyond it in which something was done before, as bits."""
        self._sink = sink
        self._cursor = cursor
        self._blocks = {block: bitmap.flags_of(bits) for block, bits in (done or {}).items()}
        self.position = cursor
        """The newest message taken from the spool."""
        self._changed: set[int] = set()
        self._delivered = 0
        self._dropped = 0
        self._dead: list[DeadLetter] = []
        self._replaying: set[int] = set()
        self._replayed: list[int] = []

    def is_done(self, message_id: int) -> bool:
        """Say whether a message of the spool was settled before."""
        flags = self._blocks.get(message_id >> bitmap.SHIFT)
        return message_id <= self._cursor or (flags is not None and flags[message_id & bitmap.MASK] == bitmap.DONE)

    def add_replays(self, message_ids: Iterable[int]) -> None:
        """Take dead letters that are pending again."""
        self._replaying.update(message_ids)

    @property
    def replaying(self) -> frozenset[int]:
        """The dead letters that are in hand, by the ids of their messages."""
        return frozenset(self._replaying)

    def record_delivered(self, message_ids: Iterable[int]) -> None:
        """Note that the sink has these."""
        for message_id in message_ids:
            self._delivered += 1
            if self._mark_done(message_id):
                self._replayed.append(message_id)

    def record_dropped(self, message_id: int) -> None:
        """Note that a rule leaves it out."""
        self._dropped += 1
        if self._mark_done(message_id):
            self._replayed.append(message_id)

    def record_dead(self, letter: DeadLetter) -> None:
        """Note that it was given up."""
        self._mark_done(letter.message_id)
        self._dead.append(letter)

    def flush(self) -> CursorUpdate | None:
        """Return what was done since the last time; None for nothing."""
        if not (self._delivered or self._dropped or self._dead):
            return None
        cursor = self.advance_cursor()
        lowest = cursor >> bitmap.SHIFT
        done_bitmaps = {
            block: bytes(self._blocks[block])
            for block in self._changed
            if block > lowest or (block == lowest and bitmap.DONE in self._blocks[block][(cursor & bitmap.MASK) + 1 :])
        }
        update = CursorUpdate(
            sink=self._sink,
            cursor=cursor,
            delivered=self._delivered,
            dropped=self._dropped,
            dead_letters=tuple(self._dead),
            done_bitmaps=done_bitmaps,
            replayed=tuple(self._replayed),
        )
        self._delivered = self._dropped = 0
        self._dead, self._replayed = [], []
        self._changed.clear()
        return update

    def _mark_done(self, message_id: int) -> bool:
        """Note that a message is done with; return whether it was a replayed dead letter."""
        if self._replaying and message_id in self._replaying:
            self._replaying.remove(message_id)
            return True
        number = message_id >> bitmap.SHIFT
        flags = self._blocks.get(number)
        if flags is None:
            flags = self._blocks[number] = bitmap.empty_flags()
        flags[message_id & bitmap.MASK] = bitmap.DONE
        self._changed.add(number)
        return False

    def advance_cursor(self) -> int:
        """Move the cursor as far as it goes, forget the blocks behind it, and return it."""
        follower = self._cursor + 1
        while (flags := self._blocks.get(follower >> bitmap.SHIFT)) is not None:
            end = bitmap.next_open(flags, follower & bitmap.MASK)
            follower += end - (follower & bitmap.MASK)
            if end < bitmap.SIZE:
                break
        for block in range(self._cursor >> bitmap.SHIFT, (follower - 1) >> bitmap.SHIFT):
            self._blocks.pop(block, None)
            self._changed.discard(block)
        self._cursor = follower - 1
        return self._cursor
