"""Keeps the last messages and commands of a device that somebody looks at, from the first look on."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TAPPED_MESSAGES = 20
TAPPED_COMMANDS = 20
LONGEST_COMMAND = 4096
"""Bytes of a command, or of its answer, that are kept."""


class TappedMessage(NamedTuple):
    """Holds a message that a device has made, whether or not it could be sent at once."""

    at_ms: int
    """By the devices' clock."""
    topic: str
    payload: bytes
    """Empty where a fault keeps it from being sent."""
    boot: int
    seq: int


class TappedCommand(NamedTuple):
    """Holds a command that a device has been given, and what it has answered."""

    at_ms: int
    by: str
    """`broker`, or `control` for one that came without a message."""
    asked: bytes
    answered: bytes


class DeviceTap:
    """Holds what is known of one device since somebody has looked at it."""

    def __init__(self) -> None:
        self.messages: deque[TappedMessage] = deque(maxlen=TAPPED_MESSAGES)
        self.commands: deque[TappedCommand] = deque(maxlen=TAPPED_COMMANDS)
        self._clean: dict[int, Mapping[str, float]] = {}

    def take_command(self, at_ms: int, by: str, asked: bytes, answered: bytes) -> None:
        """Keep a command with its answer."""
        self.commands.append(TappedCommand(at_ms, by, asked[:LONGEST_COMMAND], answered[:LONGEST_COMMAND]))

    def unknown_instants(self) -> list[int]:
        """Return the instants of messages of which nobody has said yet what they would be in good order."""
        return sorted({one.at_ms for one in self.messages} - self._clean.keys())

    def learn_clean(self, instants: Sequence[int], readings: Sequence[Mapping[str, float]]) -> None:
        """Keep what messages of these instants would say in good order, and forget it of those that are gone."""
        kept = {one.at_ms for one in self.messages}
        known = self._clean | dict(zip(instants, readings, strict=True))
        self._clean = {at_ms: reading for at_ms, reading in known.items() if at_ms in kept}

    def messages_shown(self) -> list[dict[str, Any]]:
        """Return the messages, each beside what the numbers of its reading would be in good order."""
        return [one._asdict() | {"clean": self._clean.get(one.at_ms, {})} for one in self.messages]
