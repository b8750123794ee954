"""A dictionary column is its rows: whatever is done to it gives what a list of them gives."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.export.columns import distinct_objects
from devices.sensors.base import DictionaryColumn, concat_columns, take_rows
from devices.timeline.encode import json_texts

OBJECTS = [{"name": "storm", "says": "a\nb"}, {"name": None, "says": 'c"'}, None]
rows = st.lists(st.sampled_from(range(len(OBJECTS))), min_size=1)


def listed(codes: list[int]) -> tuple[DictionaryColumn, list[Any]]:
    return DictionaryColumn(np.array(codes, dtype=np.int64), OBJECTS), [OBJECTS[code] for code in codes]


@given(rows, st.data())
def test_it_reads_like_a_list(codes: list[int], data: st.DataObject) -> None:
    column, plain = listed(codes)
    assert list(column) == column.tolist() == plain
    assert [column[row] for row in range(len(column))] == plain
    assert list(column[1:3]) == plain[1:3]
    order = np.array(data.draw(st.lists(st.sampled_from(range(len(plain))))), dtype=np.int64)
    assert list(take_rows(column, order)) == [plain[row] for row in order.tolist()]


@given(rows)
def test_what_is_made_of_it_is_made_of_its_rows(codes: list[int]) -> None:
    column, plain = listed(codes)
    assert json_texts(column) == json_texts(plain)
    numbers, objects = distinct_objects(column)
    assert [objects[number] for number in numbers.tolist()] == plain
    both = concat_columns([column, column])
    assert isinstance(both, DictionaryColumn)
    assert list(both) == list(concat_columns([column, plain])) == plain + plain
