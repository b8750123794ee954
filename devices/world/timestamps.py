"""Instants as the text that stands in messages: ISO 8601 UTC with milliseconds, for a whole column at once."""

import numpy as np

from devices.world.random import Ints
from devices.world.runs import distinct

MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))
"""How a timestamp ends, by its milliseconds."""


def timestamps(times_ms: Ints) -> list[str]:
    """Return the ISO 8601 text of each instant (ms since 1970 UTC): `2026-03-01T12:00:00.000Z`."""
    seconds, milliseconds = split_timestamps(times_ms)
    return [second + MILLISECONDS[number] for second, number in zip(seconds, milliseconds, strict=True)]


def split_timestamps(times_ms: Ints) -> tuple[list[str], list[int]]:
    """Return the text up to the second, and the milliseconds, of each instant. Each second is written once."""
    seconds, milliseconds = np.divmod(times_ms, 1000)
    found, _, rows = distinct(seconds)
    texts = np.datetime_as_string(found.astype("datetime64[s]"), unit="s").astype(object)
    listed: list[str] = texts[rows].tolist()
    return listed, milliseconds.tolist()
