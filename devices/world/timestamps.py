"""Instants as the text that stands in messages: ISO 8601 UTC with milliseconds, for a whole column at once."""

import numpy as np

from devices.world.random import Ints
from devices.world.runs import distinct

MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))
"""How a timestamp ends, by its milliseconds."""


def timestamps(times_ms: Ints) -> list[str]:
    """Return the ISO 8601 text of each instant (ms since 1970 UTC): `2026-03-01T12:00:00.000Z`."""
    texts, rows, milliseconds = split_timestamps(times_ms)
    seconds = np.array(texts, dtype=object)[rows].tolist()
    return [second + MILLISECONDS[number] for second, number in zip(seconds, milliseconds.tolist(), strict=True)]


def split_timestamps(times_ms: Ints) -> tuple[list[str], Ints, Ints]:
    """Return texts up to the second, each once, and of each instant which of them is its own, and its milliseconds."""
    seconds, milliseconds = np.divmod(times_ms, 1000)
    first, last = int(seconds.min(initial=2**62)), int(seconds.max(initial=-(2**62)))
    if last - first < len(seconds):
        # Of a short stretch of time every second is written: that is sooner done than to look for those there are.
        found, rows = np.arange(first, last + 1), seconds - first
    else:
        found, _, rows = distinct(seconds)
    texts: list[str] = np.datetime_as_string(found.astype("datetime64[s]"), unit="s").tolist()
    return texts, rows, milliseconds
