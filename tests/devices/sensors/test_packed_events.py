"""Packed events read like the list of dicts that they stand for, whatever is taken of them."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.sensors.columns import Columns, DictionaryColumn, TimeColumn, nullable
from devices.sensors.packed_events import PackedEvents

SHAPES = 2
which = st.lists(st.integers(0, SHAPES - 1), max_size=30)


def packed(shape_of_each: list[int], first: int = 0) -> tuple[PackedEvents, list[dict[str, Any]]]:
    """Return events numbered from `first`, and the same as a list."""
    shapes = np.array(shape_of_each, dtype=np.int64)
    numbers = np.arange(len(shapes)) + first
    long, short = numbers[shapes == 0], numbers[shapes == 1]
    columns: list[Columns] = [
        {"number": long, "half": nullable(long / 2, long % 2 == 0)},
        {"number": short, "word": DictionaryColumn(short % 2, ["even", "odd"]), "at": TimeColumn(short)},
    ]
    rows = np.where(shapes == 0, np.cumsum(shapes == 0), np.cumsum(shapes == 1)) - 1
    expected: list[dict[str, Any]] = [
        {"number": number, "half": number / 2 if number % 2 == 0 else None}
        if shape == 0
        else {"number": number, "word": ["even", "odd"][number % 2], "at": f"1970-01-01T00:00:00.{number:03d}Z"}
        for shape, number in zip(shape_of_each, numbers.tolist(), strict=True)
    ]
    return PackedEvents(columns, shapes, rows), expected


@given(which)
def test_they_read_like_a_list_of_their_rows(shapes: list[int]) -> None:
    events, expected = packed(shapes)
    assert list(events) == expected
    assert len(events) == len(expected)
    assert events[1:] == expected[1:]
    assert [events[row] for row in range(len(events))] == expected


@given(which, st.data())
def test_what_is_taken_of_them_is_what_is_taken_of_the_list(shapes: list[int], data: st.DataObject) -> None:
    events, expected = packed(shapes)
    rows = data.draw(st.lists(st.integers(0, len(shapes) - 1), max_size=10)) if shapes else []
    assert list(events.take(np.array(rows, dtype=np.int64))) == [expected[row] for row in rows]


@given(st.lists(which, min_size=1, max_size=4))
def test_parts_follow_one_another(parts: list[list[int]]) -> None:
    made = [packed(shapes, 100 * number) for number, shapes in enumerate(parts)]
    joined = PackedEvents.concat([events for events, _ in made])
    assert list(joined) == [event for _, expected in made for event in expected]


@given(which)
def test_every_event_is_in_the_columns_of_one_shape(shapes: list[int]) -> None:
    events, expected = packed(shapes)
    found: dict[int, int] = {}
    for places, columns in events.by_shape():
        numbers = np.asarray(columns["number"]).tolist()
        assert all(set(columns) == set(expected[place]) for place in places.tolist())
        found |= dict(zip(places.tolist(), numbers, strict=True))
    assert [found[place] for place in range(len(events))] == [event["number"] for event in expected]
