"""Writes how a run is into its folder while it goes on, on a thread: nothing of the fleet waits for a disk.

A disk that takes nothing costs the time line and nothing else; once it takes something again, so does the file.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from edgefleet.report.status_series import (
    FILE_NAME,
    MOST_BYTES,
    MOST_EVENTS,
    MOST_STATES,
    RECENT,
    StatusSeries,
    encode_line,
    series_head,
    series_state,
)
from edgewire import logs
from edgewire.errors import ConfigError
from edgewire.os_support import OPEN_FLAGS
from edgewire.output import write_output

MOST_WAITING = 1000
"""Lines that wait for a disk; the oldest go where there are more."""

_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
"""Of `os.open`: what is there may be a FIFO that nobody reads."""

log = logs.get("record")


class SeriesWriter:
    """Holds the file of one run. All but the writing itself is for the run's event loop."""

    def __init__(self, folder: Path, most_states: int = MOST_STATES, most_bytes: int = MOST_BYTES) -> None:
        self.path = folder / FILE_NAME
        self._most_states, self._most_bytes = most_states, most_bytes
        self._waiting: list[bytes] = []
        self._has_some = asyncio.Event()
        self._is_over = False
        self._head: bytes | None = None
        self._at_ms: int | None = None
        self._size = self._states = self._events = 0
        """Of the file; bytes, and lines of either sort."""
        self._warned = False

    def add_state(self, status: Mapping[str, Any]) -> None:
        """Keep what `/v1/status` tells; its rates are since the one before."""
        if self._head is None:
            self._head = orjson.dumps(series_head(status)) + b"\n"
        at_ms: int = status["at_ms"]
        span_ms = 0 if self._at_ms is None else max(0, at_ms - self._at_ms)
        self._at_ms = at_ms
        self._add(encode_line("state", series_state(status, span_ms)))

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Keep what has happened, in words."""
        self._add(encode_line("event", event))

    def _add(self, line: bytes) -> None:
        self._waiting.append(line)
        del self._waiting[:-MOST_WAITING]
        self._has_some.set()

    async def write_along(self) -> None:
        """Write what is added, until `close`."""
        while not (self._is_over and not self._has_some.is_set()):
            await self._has_some.wait()
            self._has_some.clear()
            if self._head is not None:  # otherwise nobody has said yet whose run it is
                lines, self._waiting = self._waiting, []
                self._waiting[:0] = await asyncio.to_thread(self._write, lines)

    def close(self) -> None:
        """Have `write_along` end, once it has written what is there."""
        self._is_over = True
        self._has_some.set()

    def _write(self, lines: list[bytes]) -> list[bytes]:
        """Write lines; return those that the disk did not take."""
        try:
            self._append(lines)
        except OSError as error:
            self._warn(error.strerror)
            return lines
        try:
            if self._states > self._most_states or self._size > self._most_bytes or self._events > 2 * MOST_EVENTS:
                self._condense()
            self._warned = False
        except OSError as error:
            self._warn(error.strerror)
        except ConfigError as error:  # somebody else has written there
            self._warn(str(error))
        return []

    def _warn(self, reason: str | None) -> None:
        if not self._warned:
            log.warning("the time line of the run is not written", path=str(self.path), reason=reason)
        self._warned = True

    def _append(self, lines: list[bytes]) -> None:
        assert self._head is not None
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | OPEN_FLAGS | _NO_WAIT, 0o666)
        try:
            if os.fstat(descriptor).st_size < self._size:  # somebody has taken it away
                self._size = self._states = self._events = 0
            content = b"".join(lines if self._size else [self._head, *lines])
            # What a full disk took a part of is written over.
            os.ftruncate(descriptor, self._size)
            os.lseek(descriptor, self._size, os.SEEK_SET)
            written = 0
            while written < len(content):
                written += os.write(descriptor, content[written:])
        finally:
            os.close(descriptor)
        self._size += len(content)
        self._states += sum(line.startswith(b'{"state"') for line in lines)
        self._events += sum(line.startswith(b'{"event"') for line in lines)

    def _condense(self) -> None:
        series = StatusSeries.load(self.path, is_own=True)
        series.condense(self._most_states // 2, self._most_bytes // 2, min(RECENT, self._most_states // 4))
        content = series.to_bytes()
        write_output(self.path, content)
        self._size, self._states, self._events = len(content), len(series.states), len(series.events)


@asynccontextmanager
async def recorded_series(writer: SeriesWriter | None) -> AsyncIterator[None]:
    """Write what is added for as long as the block runs, and the rest at its end; without a writer, do nothing."""
    if writer is None:
        yield
        return
    task = asyncio.create_task(writer.write_along(), name="status series")
    try:
        yield
    finally:
        writer.close()
        await task
