"""The endless form of an export: messages one by one as time passes."""

import math
from collections.abc import Callable

from devices.export.base import BatchTarget, rows_of
from devices.export.job import Progress, next_step
from devices.timeline import Timeline

_AHEAD_ROWS = 500
_FIRST_AHEAD_MS = 1000


def stream(
    timeline: Timeline,
    target: BatchTarget,
    *,
    interval_s: float | None,
    records: int | None,
    now_s: Callable[[], float],
    wait: Callable[[float], bool],
    progress: Progress | None = None,
) -> Progress:
    """Messages from the power-on of the devices on: as they fall due, or one every `interval_s` seconds.

    Ends after `records` messages, or when `wait(seconds)` returns True. Measured times are those of the schedule in
    either case; `interval_s` only sets the pace.
    """
    progress = progress or Progress()
    limit = math.inf if records is None else records
    began_s, at, step = now_s(), timeline.start_ms, _FIRST_AHEAD_MS
    stopped = limit <= 0
    target.open(None)
    try:
        while not stopped:
            batch = timeline.batch(at, at + step)
            for row, due_ms in enumerate(batch.due_ms):
                due_s = (due_ms - timeline.start_ms) / 1000 if interval_s is None else progress.records * interval_s
                stopped = wait(max(0.0, began_s + due_s - now_s()))
                if stopped:
                    break
                target.put(timeline, rows_of(batch, slice(row, row + 1)))
                progress.records += 1
                progress.report(progress)
                stopped = progress.records >= limit
                if stopped:
                    break
            else:
                stopped = wait(0)
            at, step = at + step, next_step(step, len(batch), _AHEAD_ROWS)
        progress.finished = True
        target.finish()
    finally:
        if not progress.finished:
            target.abandon()
    return progress
