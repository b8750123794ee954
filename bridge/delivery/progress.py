"""The cursor of one sink: messages are done with in any order, and the cursor follows where none is missing. Pure."""

from bridge.spool import DeadLetter, Settlement


class Progress:
    """Counts what is done above the cursor and releases it, as a `Settlement`, when the cursor passes it.

    So the totals in the spool are always those of the messages up to the cursor, and what a crash makes us deliver once
    more is not counted twice.
    """

    def __init__(self, sink: str, cursor: int) -> None:
        self._sink = sink
        self._cursor = cursor
        self.position = cursor
        """The newest message taken from the spool."""
        self.bytes = 0
        """Payloads taken and not done with."""
        self._open: dict[int, int] = {}  # id -> bytes
        self._dropped: set[int] = set()
        self._dead: dict[int, DeadLetter] = {}

    def __len__(self) -> int:
        """Messages taken and not done with."""
        return len(self._open)

    def take(self, message_id: int, size: int) -> None:
        """A message, the one after `position`, was taken from the spool."""
        self.position = message_id
        self._open[message_id] = size
        self.bytes += size

    def delivered(self, message_id: int) -> None:
        """The sink has it."""
        self.bytes -= self._open.pop(message_id)

    def dropped(self, message_id: int) -> None:
        """A rule leaves it out."""
        self.delivered(message_id)
        self._dropped.add(message_id)

    def dead(self, letter: DeadLetter) -> None:
        """It was given up."""
        self.delivered(letter.message_id)
        self._dead[letter.message_id] = letter

    def advance(self) -> Settlement | None:
        """Move the cursor as far as it goes; None if it cannot move."""
        cursor = self._cursor
        while cursor < self.position and cursor + 1 not in self._open:
            cursor += 1
        passed = cursor - self._cursor
        if not passed:
            return None
        dropped = {number for number in self._dropped if number <= cursor}
        dead = tuple(letter for number, letter in sorted(self._dead.items()) if number <= cursor)
        self._dropped -= dropped
        for letter in dead:
            del self._dead[letter.message_id]
        self._cursor = cursor
        return Settlement(
            sink=self._sink,
            cursor=cursor,
            delivered=passed - len(dropped) - len(dead),
            dropped=len(dropped),
            dead_letters=dead,
        )
