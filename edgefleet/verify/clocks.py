"""Tells from the times of arrival when the clocks of fleet and sink differ, and what is older than the run. No I/O."""

import numpy as np
from numpy.typing import NDArray

ALLOWANCE_MS = 1000
"""So much earlier than it was sent may a message seem to have arrived, for its run's: clocks are never quite equal."""
SHIFT_MS = 5000
"""So late must all of a run be, and all by the same, to be taken for a difference of the clocks."""
# All by the same: what lies between the fifth and the ninety-fifth percentile is at most this part of the time in which
# they were due. What was held up for a while and came in one go is late by very different times.
SAME = 0.1
SPAN_MS = 2000
"""Of a shorter run it cannot be told."""


def clock_difference_ms(latency: NDArray[np.int32], due_span_ms: int) -> int | None:
    """Return about how far the sink's clock is ahead of the fleet's, or None where nothing says that they differ.

    `latency` is that of every message that arrived, `due_span_ms` the time from when the first of them was due to when
    the last was. What arrived before it was due proves it; what all arrived equally late makes it likely.
    """
    if not len(latency):
        return None
    p5, p50, p95 = np.percentile(latency, (5, 50, 95), method="inverted_cdf").tolist()
    shifted = p5 >= SHIFT_MS and due_span_ms >= SPAN_MS and p95 - p5 <= SAME * due_span_ms
    return int(p50) if p50 < 0 or shifted else None


def humanize_ms(milliseconds: int) -> str:
    """Return a length of time for people, to a tenth of a second, or in milliseconds where it is short."""
    length = abs(milliseconds)
    return f"{length:,} ms" if length < 1000 else f"{length / 1000:,.1f}".removesuffix(".0") + " s"
