"""YAML that is changed stays YAML, and the changes reach every value and how it is written."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.test_json_mutator import VALUES
from tests.fuzz.yaml_mutator import UNREADABLE, mutate_yaml

SEEDS = range(2000)
SCENARIO = b"seed: 3\nsites:\n- {name: a, latitude: 1}\ndevices:\n- kind: gps\n  count: 2 # of a kind\n"


@given(VALUES, st.integers(0, 2**32))
def test_a_document_stays_one(root: Any, seed: int) -> None:
    before = yaml.safe_dump(root, allow_unicode=True).encode()
    made = mutate_yaml(before, 1 << 20, seed)
    assert made == mutate_yaml(before, 1 << 20, seed)
    if made is not None:
        # Not read: a tag may be of another type than the value.
        assert list(yaml.parse(made))


def test_every_value_is_changed_and_how_it_is_written() -> None:
    made = {one for seed in SEEDS if (one := mutate_yaml(SCENARIO, 1 << 20, seed))}
    read = [one for one in map(_read, made) if isinstance(one, dict)]
    assert any("seed" not in one for one in read)
    assert any(one.get("seed") == 4 for one in read)
    assert any(one.get("devices") == [{"kind": "gps", "count": 1}] for one in read)
    assert any(one.get("devices") == [{"kind": "a", "count": 2}] for one in read)
    assert any(one.get("seed") == "1h" for one in read)
    assert all(any(sign in one for one in made) for sign in (b"&id001", b"<<: ", b"!!float ", b"[{", b"\n  count: "))
    assert len(made) > 500


def _read(text: bytes) -> Any:
    try:
        return yaml.safe_load(text)
    except UNREADABLE:
        return None


def test_what_is_too_long_or_no_document_is_left_to_others() -> None:
    assert mutate_yaml(b"a: [", 100, 1) is None
    assert mutate_yaml(b"a: 2026-02-30", 100, 1) is None
    assert all(len(mutate_yaml(b"a: b", 12, seed) or b"") <= 12 for seed in SEEDS)
    # An alias that stands for what it is in, and one that stands for much.
    for hard in (b"&a [*a, *a, *a]", b"a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b, *b]"):
        assert any(mutate_yaml(hard, 4096, seed) for seed in range(50))
