"""Bounds what a sink gets twice after a crash: what it has taken, but the spool does not have on disk as delivered.

Usually the spool is far ahead of the limit. Where its disk is slow, delivering waits for it, as receiving does. Pure.
"""

from collections.abc import Callable

REPEATED_MESSAGES = 1000
"""No write begins while more than these wait for their commit; those that are under way then may come on top."""


class RepeatLimit:
    """Counts the messages of one sink that would be delivered once more."""

    def __init__(self) -> None:
        self._uncommitted = 0
        self.listeners: list[Callable[[], None]] = []
        """Called when writes may begin again."""

    @property
    def is_reached(self) -> bool:
        """Say whether no write may begin."""
        return self._uncommitted > REPEATED_MESSAGES

    def record_settled(self, messages: int) -> None:
        """Note that the sink is done with so many."""
        self._uncommitted += messages

    def record_committed(self, messages: int) -> None:
        """Note that so many of them are on disk as done."""
        was_reached = self.is_reached
        self._uncommitted -= messages
        if was_reached and not self.is_reached:
            for listener in self.listeners:
                listener()
