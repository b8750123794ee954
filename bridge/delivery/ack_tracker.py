"""What one sink is done with: messages end in any order, the cursor follows where none is missing, flags stand above.

Everything that ends goes into the next `CursorUpdate`, also beyond a message that is stuck; so a restart sends nothing
again that was settled. Pure.
"""

from collections.abc import Iterable, Mapping

from bridge.spool import bitmap as blocks
from bridge.spool.message import CursorUpdate, DeadLetter


class AckTracker:
    """One byte a message between the cursor and the newest that is done, nothing for the others."""

    def __init__(self, sink: str, cursor: int, done: Mapping[int, int] | None = None) -> None:
        """`done` are the blocks beyond `cursor` that were settled before, as bits."""
        self._sink = sink
        self._cursor = cursor
        self._blocks = {block: blocks.flags_of(bits) for block, bits in (done or {}).items()}
        self.position = cursor
        """The newest message taken from the spool."""
        self._changed: set[int] = set()
        self._delivered = 0
        self._dropped = 0
        self._dead: list[DeadLetter] = []
        self._replaying: set[int] = set()
        self._replayed: list[int] = []

    def is_done(self, message_id: int) -> bool:
        """Whether a message of the spool was settled before."""
        flags = self._blocks.get(message_id >> blocks.SHIFT)
        return message_id <= self._cursor or (flags is not None and flags[message_id & blocks.MASK] == blocks.DONE)

    def replay(self, message_ids: Iterable[int]) -> None:
        """Dead letters that are pending again."""
        self._replaying.update(message_ids)

    @property
    def replaying(self) -> frozenset[int]:
        """The dead letters that are in hand, by the ids of their messages."""
        return frozenset(self._replaying)

    def delivered(self, message_ids: Iterable[int]) -> None:
        """The sink has them."""
        for message_id in message_ids:
            self._delivered += 1
            if self._end(message_id):
                self._replayed.append(message_id)

    def dropped(self, message_id: int) -> None:
        """A rule leaves it out."""
        self._dropped += 1
        if self._end(message_id):
            self._replayed.append(message_id)

    def dead(self, letter: DeadLetter) -> None:
        """It was given up."""
        self._end(letter.message_id)
        self._dead.append(letter)

    def advance(self) -> CursorUpdate | None:
        """What was done since the last time; None for nothing."""
        if not (self._delivered or self._dropped or self._dead):
            return None
        self._cursor = cursor = self._follow()
        lowest = cursor >> blocks.SHIFT
        above = {
            block: bytes(self._blocks[block])
            for block in self._changed
            if block > lowest or (block == lowest and blocks.DONE in self._blocks[block][(cursor & blocks.MASK) + 1 :])
        }
        settlement = CursorUpdate(
            sink=self._sink,
            cursor=cursor,
            delivered=self._delivered,
            dropped=self._dropped,
            dead_letters=tuple(self._dead),
            above=above,
            replayed=tuple(self._replayed),
        )
        self._delivered = self._dropped = 0
        self._dead, self._replayed = [], []
        self._changed.clear()
        return settlement

    def _end(self, message_id: int) -> bool:
        """Note that a message is done with; returns whether it was a replayed dead letter."""
        if self._replaying and message_id in self._replaying:
            self._replaying.remove(message_id)
            return True
        number = message_id >> blocks.SHIFT
        flags = self._blocks.get(number)
        if flags is None:
            flags = self._blocks[number] = blocks.empty()
        flags[message_id & blocks.MASK] = blocks.DONE
        self._changed.add(number)
        return False

    def _follow(self) -> int:
        """The cursor, as far as it goes; blocks behind it are forgotten."""
        follower = self._cursor + 1
        while (flags := self._blocks.get(follower >> blocks.SHIFT)) is not None:
            end = blocks.next_open(flags, follower & blocks.MASK)
            follower += end - (follower & blocks.MASK)
            if end < blocks.SIZE:
                break
        for block in range(self._cursor >> blocks.SHIFT, (follower - 1) >> blocks.SHIFT):
            self._blocks.pop(block, None)
            self._changed.discard(block)
        return follower - 1
