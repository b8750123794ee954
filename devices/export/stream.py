"""Writes messages as time passes: the endless form of an export."""

import math
from collections.abc import Callable

from devices.export.base import BatchTarget, slice_batch
from devices.export.job import ExportProgress, next_step
from devices.timeline.timeline import Timeline

_AHEAD_ROWS = 500
_FIRST_AHEAD_MS = 1000
_MOST_AT_ONCE = 1000


def stream(
    timeline: Timeline,
    target: BatchTarget,
    *,
    interval_s: float | None,
    records: int | None,
    now_s: Callable[[], float],
    wait: Callable[[float], bool],
    linger_s: float = 0.0,
    time_scale: float = 1.0,
    progress: ExportProgress | None = None,
) -> ExportProgress:
    """Write messages from the power-on of the devices on: as they fall due, or one every `interval_s` seconds.

    The devices' time passes `time_scale` times as fast, which does not change a pace that is given in seconds.
    All that are due are put together, and with `linger_s` those that fall due so soon after the first of them: a target
    that was away is given what fell due meanwhile in large pieces. Ends after `records` messages, or when
    `wait(seconds)` returns True. Measured times are those of the schedule; `interval_s` only sets the pace.
    """
    progress = progress or ExportProgress()
    limit = math.inf if records is None else records
    began_s, at, step = now_s(), timeline.start_ms, _FIRST_AHEAD_MS
    linger_s = 0.0 if interval_s else linger_s

    def due_s(row: int) -> float:
        """Return when a row of the batch is due, on the clock of `now_s`."""
        number = progress.records + row - done
        since_ms = batch.due_ms[row] - timeline.start_ms
        return began_s + (number * interval_s if interval_s else since_ms / 1000 / time_scale)

    stopped = limit <= 0
    target.open(None)
    try:
        while not stopped:
            batch, done = timeline.batch(at, at + step), 0
            stopped = wait(0)
            while done < len(batch) and not stopped:
                stopped = wait(max(0.0, due_s(done) + linger_s - now_s()))
                if stopped:
                    break
                most = min(len(batch), done + _MOST_AT_ONCE, done + limit - progress.records)
                stop, now = done + 1, now_s()
                while stop < most and due_s(stop) <= now:
                    stop += 1
                target.write_batch(timeline, slice_batch(batch, slice(done, stop)))
                progress.records += stop - done
                done = stop
                progress.report(progress)
                stopped = progress.records >= limit
            at, step = at + step, next_step(step, len(batch), _AHEAD_ROWS)
        progress.finished = True
        target.finish()
    finally:
        if not progress.finished:
            target.abandon()
    return progress
