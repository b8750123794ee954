"""Instants and their text form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.clock import iso_ms, parse_ms


@given(st.integers(0, 4_102_444_800_000))
def test_an_instant_reads_back_as_it_was_written(instant_ms: int) -> None:
    assert parse_ms(iso_ms(instant_ms)) == instant_ms


def test_forms() -> None:
    assert iso_ms(1_772_366_400_007) == "2026-03-01T12:00:00.007Z"
    assert parse_ms("2026-03-01T12:00:00") == parse_ms("2026-03-01T13:00:00+01:00") == 1_772_366_400_000
    assert parse_ms("2026-03-01") == 1_772_323_200_000


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01"])
def test_no_instant(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - datetime's own words
        parse_ms(text)
