"""Says what a target of an export is, and what windows of messages it is given."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from devices.timeline.table import Batch, Table
from devices.timeline.timeline import Timeline
from edgewire.errors import EdgefleetError

ResumeState = Mapping[str, Any]
"""What a target needs to go on from a window's end, as JSON has it."""


class ExportError(EdgefleetError):
    """Says why an export cannot begin, or cannot go on, and what to do."""


@dataclass(frozen=True)
class ExportWindow:
    """Holds the messages due in [from_ms, to_ms), at most `limit` of them, in the form a target asks for."""

    timeline: Timeline
    from_ms: int
    to_ms: int
    limit: int | None = None
    clean: bool = False
    """Whether messages say, beside what a fault made of a field, what it would be without."""

    @cached_property
    def batch(self) -> Batch:
        """Return them as payloads, in the order of due time, device id and seq."""
        batch = self.timeline.batch(self.from_ms, self.to_ms, clean=self.clean)
        return batch if self.limit is None or len(batch) <= self.limit else slice_batch(batch, slice(self.limit))

    @cached_property
    def tables(self) -> list[Table]:
        """Return them as columns, each table in the order of due time, device id and seq."""
        tables = self.timeline.tables(self.from_ms, self.to_ms, clean=self.clean)
        ordered = [table.rows(self.timeline.output_order(table.times, table.positions, table.seqs)) for table in tables]
        total = sum(len(table.times) for table in tables)
        return ordered if self.limit is None or total <= self.limit else self._first(ordered, self.limit)

    @cached_property
    def lines(self) -> bytes:
        """Return them as NDJSON, in the order of due time, device id and seq."""
        return self.timeline.encode_lines(self.tables)

    @property
    def rows(self) -> int:
        """Return how many they are."""
        return len(self.batch) if "batch" in self.__dict__ else sum(len(table.times) for table in self.tables)

    @property
    def last_ms(self) -> int:
        """Return when the last of its messages is due; `from_ms` where it has none."""
        if "batch" in self.__dict__:
            return max(self.batch.due_ms, default=self.from_ms)
        return max((int(table.times[-1]) for table in self.tables), default=self.from_ms)

    def _first(self, tables: list[Table], limit: int) -> list[Table]:
        """Return the first rows of all tables together."""
        owner = np.repeat(np.arange(len(tables)), [len(table.times) for table in tables])
        counts = np.bincount(owner[self.timeline.merged_order(tables)[:limit]], minlength=len(tables))
        return [table.rows(np.arange(count)) for table, count in zip(tables, counts, strict=True) if count]


def slice_batch(batch: Batch, rows: slice) -> Batch:
    """Return some messages of a batch."""
    return Batch(*(getattr(batch, field.name)[rows] for field in fields(Batch)))


class ExportTarget(Protocol):
    """Takes an export. The job calls `open` once, `write` window by window, and `finish` or `abandon`."""

    def open(self, state: ResumeState | None) -> None:
        """Get ready; with the `state` of an earlier export, go on behind it, dropping whatever came later."""
        ...

    def write(self, window: ExportWindow) -> int:
        """Write a window's messages, and return how many they are."""
        ...

    def save_state(self) -> ResumeState:
        """Make durable what was written, and return the state to go on from."""
        ...

    def finish(self) -> None:
        """Make all that was written durable and visible: it is complete."""
        ...

    def abandon(self) -> None:
        """Let go after an interruption; what was saved stays, and can be gone on from."""
        ...


class BatchTarget(ExportTarget, Protocol):
    """Takes messages as payloads, so also one by one."""

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        """Write these messages; they have arrived, or are flushed, when this returns."""
        ...
