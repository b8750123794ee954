"""The column-wise encoder writes, byte for byte, what `json` of each row would be."""

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from devices.sensors.columns import Column, DictionaryColumn, NullableColumn
from devices.timeline.encode import encode_columns, json_texts
from devices.world.timestamps import timestamps
from edgewire.clock import iso_ms

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ['",', '","', ",", "", '"', "\\", "\n"]
)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
distinct_objects = {"generator": "x", "weather_type": None}
columns = st.one_of(
    st.lists(texts, min_size=5, max_size=5),
    st.lists(scalars, min_size=5, max_size=5),
    st.lists(texts | st.none(), min_size=5, max_size=5),
    st.lists(st.sampled_from([distinct_objects, {"a": [1, 2]}, ["b", "c"]]), min_size=5, max_size=5),
    st.lists(st.floats(allow_nan=False, width=64), min_size=5, max_size=5).map(np.array),
    st.lists(st.integers(-(2**60), 2**60), min_size=5, max_size=5).map(lambda values: np.array(values, dtype=np.int64)),
    st.lists(st.booleans(), min_size=5, max_size=5).map(np.array),
)
instants = st.lists(st.integers(0, 4_000_000_000_000), min_size=5, max_size=5)


@given(
    times=instants,
    boot=st.integers(0, 10**15 - 1),
    fields=st.dictionaries(st.text(min_size=1, max_size=4), columns, max_size=5),
)
def test_a_row_is_the_json_of_its_fields(times: list[int], boot: int, fields: dict[str, object]) -> None:
    fields = {f"field_{name}": column for name, column in fields.items()}
    ids = ["a", "b", "a", "é-1", "b"]
    seqs = np.arange(5, dtype=np.int64) * 10**9
    got = encode_columns(ids, np.array(times, dtype=np.int64), boot, seqs, fields)  # type: ignore[arg-type]
    for row in range(5):
        head = {"device_id": ids[row], "timestamp": iso_ms(times[row]), "boot": boot, "seq": int(seqs[row])}
        rest = {
            name: column.tolist()[row] if isinstance(column, np.ndarray) else column[row]  # type: ignore[index]
            for name, column in fields.items()
        }
        assert got[row] == orjson.dumps(head | rest)


@given(
    st.lists(st.integers(-30, 30), min_size=2, max_size=40),
    st.sampled_from([1, 10, 100, 1000, 10_000, 3]),
    st.lists(st.sampled_from([-0.0, float("inf"), float("nan"), 1e308, 0.1 + 0.2]), max_size=2),
    st.data(),
)
def test_numbers_that_stand_in_many_rows_are_written_as_each_is(
    steps: list[int], scale: int, odd: list[float], data: st.DataObject
) -> None:
    values = [*(step / scale for step in steps), *odd]
    known = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    fields: dict[str, Column] = {
        "number": np.array(values),
        "count": np.array(steps + [0] * len(odd)),
        "some": NullableColumn(np.array(values), known),
        "all": NullableColumn(np.array(values), np.ones(len(values), dtype=np.bool_)),
        "words": DictionaryColumn(known.astype(np.int64), ["a", {"b": None}]),
        "same": DictionaryColumn(np.zeros(len(values), dtype=np.int64), [['"'], "never"]),
    }
    rows = np.arange(len(values))
    got = encode_columns(["a"] * len(rows), rows, 1, rows, fields)
    for row, value in enumerate(values):
        expected = {
            "device_id": "a", "timestamp": iso_ms(row), "boot": 1, "seq": row, "number": value,
            "count": [*steps, 0, 0][row], "some": value if known[row] else None, "all": value,
            "words": {"b": None} if known[row] else "a", "same": ['"'],
        }  # fmt: skip
        assert got[row] == orjson.dumps(expected)


@given(instants)
def test_timestamps_have_milliseconds(times: list[int]) -> None:
    assert timestamps(np.array(times, dtype=np.int64)) == [iso_ms(time) for time in times]


def test_no_rows_make_no_lines() -> None:
    nothing = np.array([], dtype=np.int64)
    assert encode_columns([], nothing, 1, nothing, {"a": nothing, "b": []}) == []
    assert list(json_texts([]).values) == list(json_texts(nothing).values) == []
