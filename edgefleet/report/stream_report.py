"""What a person is told of a stream of `edgefleet generate`: a banner, a line a reading, and statistics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from devices.export.base import BatchTarget, ExportError, ExportWindow, ResumeState, slice_batch
from devices.scenario.device_group import DeviceGroup
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire.clock import SystemClock, iso_ms
from edgewire.config import duration_text

Say = Callable[[str], None]
_IDS_NAMED = 3


class Discard:
    """A target that takes everything and keeps nothing: for a stream that is only looked at."""

    def open(self, state: ResumeState | None) -> None:
        """Do nothing."""

    def write(self, window: ExportWindow) -> int:
        """Return how many messages there were."""
        return len(window.batch)

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        """Do nothing."""

    def save_state(self) -> ResumeState:
        """Return nothing, as there is nothing to go on from."""
        return {}

    def finish(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class StreamStatistics:
    """Counts what became of the messages of a stream."""

    sent: int = 0
    refused: int = 0
    failed: int = 0
    last_success: str | None = None
    """When, ISO 8601 UTC."""
    last_error: str | None = None
    """When, and what was wrong."""

    def __str__(self) -> str:
        return (
            f"statistics: {self.sent:,} sent, {self.refused:,} refused, {self.failed:,} failed; "
            f"last success {self.last_success or 'never'}, last error {self.last_error or 'never'}"
        )


class StreamReport:
    """Hands messages on to a target one by one and tells what became of each; a target of a stream itself."""

    def __init__(
        self,
        target: BatchTarget,
        *,
        say_line: Say | None,
        say: Say,
        every: int | None,
        every_s: float | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Tell `say_line` of every message, and `say` the statistics of each `every` messages and at the end.

        Or every so many seconds. Messages are handed on one by one where each is told of, or counted.
        """
        self.statistics = StreamStatistics()
        self._target = target
        self._say_line, self._say, self._every = say_line, say, every
        self._every_s = every_s
        self._now_ms = now_ms or SystemClock().now_ms
        self._told_ms = self._now_ms()

    @property
    def failed(self) -> int:
        """Messages that the target gave up."""
        return int(getattr(self._target, "failed", 0))

    @property
    def statuses(self) -> Mapping[int, int]:
        """Status of an answer -> how many requests had it, where the target posts them."""
        found: Mapping[int, int] = getattr(self._target, "statuses", {})
        return found

    @property
    def rejected(self) -> int:
        """Messages that the target's server refused."""
        return int(getattr(self._target, "rejected", 0))

    @property
    def reason(self) -> str:
        """Why it refused the first of them."""
        return str(getattr(self._target, "reason", ""))

    def on_trouble(self, said: str) -> None:
        """Remember what a target tells of an outage that it waits for the end of."""
        self.statistics.last_error = f"{iso_ms(self._now_ms())} {said}"

    def open(self, state: ResumeState | None) -> None:
        """Open the target."""
        self._target.open(state)

    def write(self, window: ExportWindow) -> int:
        """Write a window's messages."""
        self.write_batch(window.timeline, window.batch)
        return len(window.batch)

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        """Write these messages one after the other."""
        if self._say_line is None and self._every is None:
            self._write_rows(timeline, batch)
        else:
            for row in range(len(batch)):
                self._write_rows(timeline, slice_batch(batch, slice(row, row + 1)))

    def save_state(self) -> ResumeState:
        """Return what the target needs to go on."""
        return self._target.save_state()

    def finish(self) -> None:
        """Finish the target, and tell the statistics of all."""
        self._target.finish()
        self._tell_statistics()

    def abandon(self) -> None:
        """Abandon the target, and tell the statistics of all."""
        self._target.abandon()
        self._tell_statistics()

    def _write_rows(self, timeline: Timeline, rows: Batch) -> None:
        counted, refused, failed = self.statistics, self.rejected, self.failed
        kind = timeline.devices[rows.device[0]].kind
        try:
            self._target.write_batch(timeline, rows)
        except ExportError as error:
            counted.failed += len(rows)
            self.on_trouble(str(error))
            self._tell(False, kind, rows.payload[0], str(error))
            raise
        refused, failed, why = self.rejected - refused, self.failed - failed, ""
        counted.refused += refused
        counted.failed += failed
        if refused or failed:
            why = str(getattr(self._target, "latest", self.reason))
            self.on_trouble(f"{'refused' if refused else 'failed'}: {why}")
        if refused + failed < len(rows):
            counted.sent += len(rows) - refused - failed
            counted.last_success = iso_ms(self._now_ms())
        self._tell(not refused and not failed, kind, rows.payload[0], why)
        self._tell_statistics_in_turn()

    def _tell_statistics_in_turn(self) -> None:
        counted = self.statistics
        if self._every and (counted.sent + counted.refused + counted.failed) % self._every == 0:
            self._tell_statistics()
        elif self._every_s and self._now_ms() - self._told_ms >= self._every_s * 1000:
            self._told_ms = self._now_ms()
            self._tell_statistics()

    def _tell(self, is_taken: bool, kind: str, payload: bytes, why: str = "") -> None:
        if self._say_line:
            self._say_line(f"{'✓' if is_taken else '✗'} {reading_line(kind, payload)}{f'  ({why})' if why else ''}")

    def _tell_statistics(self) -> None:
        if self._every or self._every_s:
            self._say(str(self.statistics))


def reading_line(kind: str, payload: bytes) -> str:
    """Return one readable line for a message: when, who, and what a person looks for first."""
    fields: dict[str, Any] = orjson.loads(payload)
    shown = KINDS[kind].summary_formats.items()
    values = "  ".join(form.format(fields[name]) for name, form in shown if fields.get(name) is not None)
    return f"{fields['timestamp']}  {fields['device_id']}  {values}"


def banner(scenario: Scenario, place: str, interval_s: float | None) -> list[str]:
    """Return what a stream begins with: where it goes, which devices there are, and the ranges they keep to."""
    pace = f", a message every {interval_s:g} s" if interval_s else ""
    return [f"streaming to {place}{pace}; Ctrl-C ends it", *(_group_line(group) for group in scenario.devices)]


def _group_line(group: DeviceGroup) -> str:
    named = ", ".join(group.ids[:_IDS_NAMED]) + (", …" if len(group.ids) > _IDS_NAMED else "")
    names = f" ({named})" if named else ""
    settings = KINDS[group.kind].settings(**group.settings)
    ranges = [
        f"{name} {limits.low:g} to {limits.high:g}"
        for name in type(settings).model_fields
        if hasattr(limits := getattr(settings, name), "low") and getattr(settings, "profile", "indoor") == "indoor"
    ]
    told = f": {', '.join(ranges)}" if ranges else ""
    return f"  {group.size:,} {group.kind}{names}, every {duration_text(group.interval)}{told}"
