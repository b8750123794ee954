"""JSON that is changed stays JSON, and the changes reach every value."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.json_mutator import mutate_json

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(VALUES, min_size=1, max_size=3), st.binary(max_size=2), st.integers(0, 2**32))
def test_lines_stay_json_and_all_but_one_as_they_are(lines: list[Any], prefix: bytes, seed: int) -> None:
    prefix = prefix.replace(b"\n", b"x")
    before = [prefix + orjson.dumps(line) for line in lines]
    made = mutate_json(b"\n".join(before), 1 << 20, seed)
    assert made == mutate_json(b"\n".join(before), 1 << 20, seed)
    if made is None:  # such as a whole number that is none any more
        return
    after = made.split(b"\n")
    assert len(after) == len(before)
    assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1
    for one in after:
        assert any(_is_json(one[length:]) for length in range(3))


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def test_every_value_is_changed_and_every_field_goes() -> None:
    record = {"name": "a", "devices": [{"seq": 3}, {"seq": 4}]}
    made = [orjson.loads(mutate_json(orjson.dumps(record), 1 << 20, seed) or b"null") for seed in range(2000)]
    assert any(isinstance(one, dict) and "name" not in one for one in made)
    assert any(isinstance(one, dict) and one.get("devices") == [{"seq": 3}, {}] for one in made)
    assert any(isinstance(one, dict) and one.get("devices") == [{"seq": 3}, {"seq": 5}] for one in made)
    assert any(isinstance(one, dict) and len(one.get("devices") or ()) == 3 for one in made)
    assert len({orjson.dumps(one) for one in made}) > 200


def test_what_is_too_long_or_no_json_is_left_to_others() -> None:
    assert mutate_json(b"\x10\x0c\x00\x04MQTT", 100, 1) is None
    assert mutate_json(b"", 100, 1) is None
    assert all(len(mutate_json(b'{"a":"b"}', 12, seed) or b"") <= 12 for seed in range(300))
