"""A sink of the bridge: a file with a line a message, on disk before the message counts as delivered."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from edgefleet.plugin_sinks import (
    Clock,
    ConfigError,
    Failures,
    KindContract,
    MessageType,
    NotConnected,
    Rejected,
    Retry,
    RoutedEvent,
    SinkConfig,
    SinkKind,
    Target,
    Template,
    TemplateError,
)


class JournalConfig(SinkConfig):
    """The journal."""

    path: Path = Path("journal.txt")
    """Of its one file."""


class JournalTarget(Target):
    """Says how a route writes its lines."""

    mark: Template = Template("{kind}")
    """Template; what a line begins with."""

    @classmethod
    def from_contract(cls, kind: KindContract, message: MessageType) -> Self:
        """Return the target of a type of message where the configuration has no routes of its own."""
        return cls()


class JournalSink:
    """Appends. There is one queue: a file has one writer."""

    name = "journal"
    batch_messages = 500
    linger_s = 0.05
    last_error: str | None = None
    destinations: Sequence[str] = ()

    def __init__(
        self, config: JournalConfig, targets: Sequence[JournalTarget], bridge: str, clock: Clock | None = None
    ) -> None:
        self.config = config
        self._is_open = False

    def queue_key(self, event: RoutedEvent) -> str | None:
        """Return the one queue."""
        return str(self.config.path) if self.name in event.route.targets else None

    async def connect(self) -> None:
        """Get ready. Raises `ConfigError` where the file cannot be written."""
        try:
            await asyncio.to_thread(self._append, b"")
        except OSError as error:
            raise ConfigError(f"{self.config.path} cannot be written: {error.strerror}; set journal.path") from None
        self._is_open = True

    async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        """Write a line a message; all are on disk when it returns."""
        if not self._is_open:
            raise NotConnected(f"{self.config.path} is closed")
        lines: dict[int, bytes] = {}
        failures: dict[int, Retry | Rejected] = {}
        for position, event in enumerate(batch):
            try:
                lines[position] = self._line(event)
            except TemplateError as error:
                failures[position] = Rejected(str(error))
        try:
            await asyncio.to_thread(self._append, b"".join(lines.values()))
        except OSError as error:
            retry = Retry(cause="file", reason=f"{self.config.path} cannot be written: {error.strerror}")
            failures.update(dict.fromkeys(lines, retry))
        return failures

    async def close(self) -> None:
        """Let go of the file."""
        self._is_open = False

    async def probe(self) -> str:
        """Say whether the file is there."""
        return f"{self.config.path} {'is there' if self.config.path.exists() else 'will be made'}"

    def preview(self, event: RoutedEvent) -> dict[str, Any]:
        """Return what `write` would write."""
        return {
            "lane": self.queue_key(event),
            "destination": str(self.config.path),
            "body": self._line(event).decode(errors="replace"),
        }

    def _line(self, event: RoutedEvent) -> bytes:
        target: Any = event.route.targets[self.name]
        mark = str(target.mark.render(event))
        return b"%s\t%s\t%s\n" % (mark.encode(), event.message_id.encode(), bytes(event.body))

    def _append(self, lines: bytes) -> None:
        with self.config.path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


SINK = SinkKind("journal", JournalConfig, JournalTarget, JournalSink)
