"""A packed column is its rows: whatever is done to it gives what a list of them gives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.export.columns import distinct_objects
from devices.sensors.columns import (
    Column,
    CountsColumn,
    DictionaryColumn,
    FixedTextColumn,
    NullableColumn,
    StructColumn,
    TimeColumn,
    concat_columns,
    distinct_rows,
    first_known,
    nullable,
    numbered_column,
    plain_values,
    take_rows,
)
from devices.timeline.encode import json_texts
from edgewire.clock import iso_ms

OBJECTS = [{"name": "storm", "says": "a\nb"}, {"name": None, "says": 'c"'}, None]
codes = st.lists(st.sampled_from(range(len(OBJECTS))), min_size=1, max_size=20)
numbers = st.lists(st.none() | st.floats(-1e6, 1e6) | st.just(-0.0), min_size=1, max_size=20)
whole_numbers = st.lists(st.none() | st.integers(-9, 2**40), min_size=1, max_size=20)
Packed = tuple[
    CountsColumn | DictionaryColumn | FixedTextColumn | NullableColumn | StructColumn | TimeColumn, list[Any]
]
NAMES = ("red", "green", "blue")


def coded(found: list[int]) -> Packed:
    return DictionaryColumn(np.array(found, dtype=np.int64), OBJECTS), [OBJECTS[code] for code in found]


def nullable_of(values: Sequence[float | None], dtype: type) -> NullableColumn:
    known = np.array([value is not None for value in values], dtype=bool)
    return nullable(np.array([7 if value is None else value for value in values], dtype=dtype), known)


def struct_of(rows: list[int]) -> Packed:
    column, plain = coded(rows)
    fields: dict[str, Column] = {
        "count": np.array(rows, dtype=np.int64),
        "mean": nullable_of([None if row == 1 else row / 3 for row in rows], float),
        "said": column,
        "name": [f"n{row}" for row in rows],
    }
    return StructColumn(fields), [
        {"count": row, "mean": None if row == 1 else row / 3, "said": said, "name": f"n{row}"}
        for row, said in zip(rows, plain, strict=True)
    ]


def counts_of(rows: list[tuple[int, int, int]]) -> Packed:
    plain = [{name: n for name, n in zip(NAMES, row, strict=True) if n} for row in rows]
    return CountsColumn(np.array(rows, dtype=np.int64), NAMES), plain


some_counts = st.lists(st.tuples(*[st.integers(0, 3) | st.just(2**40)] * 3), min_size=1, max_size=20)


def texts_of(rows: list[bytes]) -> Packed:
    return FixedTextColumn(np.array([list(row) for row in rows], dtype=np.uint8)), [row.decode() for row in rows]


def times_of(rows: list[int]) -> Packed:
    return TimeColumn(np.array(rows, dtype=np.int64)), [iso_ms(row) for row in rows]


instants = st.integers(0, 4_000_000_000_000) | st.integers(1_772_539_200_000, 1_772_539_210_000)
packed = st.one_of(
    st.lists(instants, min_size=1, max_size=20).map(times_of),
    st.lists(st.sampled_from([b"4f-0", b"00aa", b"9-9-"]), min_size=1, max_size=20).map(texts_of),
    some_counts.map(counts_of),
    codes.map(coded),
    numbers.map(lambda found: (nullable_of(found, float), found)),
    whole_numbers.map(lambda found: (nullable_of(found, int), found)),
    codes.map(struct_of),
)


@given(packed, st.data())
def test_it_reads_like_a_list(made: Packed, data: st.DataObject) -> None:
    column, plain = made
    assert list(column) == column.tolist() == plain_values(column) == plain
    assert len(column) == len(plain)
    assert [column[row] for row in range(len(column))] == plain
    assert list(column[1:3]) == plain[1:3]
    order = np.array(data.draw(st.lists(st.sampled_from(range(len(plain))))), dtype=np.int64)
    assert list(take_rows(column, order)) == [plain[row] for row in order.tolist()]


@given(packed)
def test_what_is_made_of_it_is_made_of_its_rows(made: Packed) -> None:
    column, plain = made
    quote, texts = json_texts(column)
    assert [quote + text + quote for text in texts] == [orjson.dumps(row) for row in plain]
    indices, objects = distinct_objects(column)
    assert [objects[index] for index in indices.tolist()] == plain
    both = concat_columns([column, column])
    assert type(both) is type(column)
    assert list(both) == list(concat_columns([column, plain])) == plain + plain


@pytest.mark.parametrize("column", [coded([])[0], nullable_of([], float), struct_of([])[0]])
def test_without_rows_it_has_nothing(column: Column) -> None:
    assert plain_values(column) == []
    assert list(json_texts(column).values) == []


@given(codes, codes)
def test_dictionaries_are_joined(first: list[int], second: list[int]) -> None:
    other = DictionaryColumn(np.array(second, dtype=np.int64), OBJECTS[::-1])
    both = concat_columns([coded(first)[0], other])
    assert isinstance(both, DictionaryColumn)
    assert list(both) == coded(first)[1] + list(other)
    least = both.compacted()
    assert list(least) == list(both)
    # In the order of their rows, and nothing that stands in none.
    assert list(dict.fromkeys(least.indices.tolist())) == list(range(len(least.dictionary)))


@given(some_counts)
def test_counts_that_are_alike_are_one_object(rows: list[tuple[int, int, int]]) -> None:
    column, plain = counts_of(rows)
    assert isinstance(column, CountsColumn)
    assert list(column.distinct()) == plain
    first, indices = distinct_rows(column.counts)
    assert column.counts[first][indices].tolist() == column.counts.tolist()


def test_few_objects_stand_for_many_rows() -> None:
    table = np.tile([[0, 1], [2, 0]], (500, 1))
    assert len(CountsColumn(table, ("a", "b")).distinct().dictionary) == 2
    named = numbered_column(np.tile([3, 1], 500), lambda number: f"V{number:03d}")
    assert (len(named.dictionary), named[0], named[1]) == (2, "V003", "V001")


def test_the_first_known_value_is_told() -> None:
    first, second = nullable_of([1.5, None, None], float), nullable_of([2.5, 3.5, None], float)
    assert list(first_known(first, second)) == [1.5, 3.5, None]
