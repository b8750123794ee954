"""A sample of `make exports`: what was killed at random and gone on with is exact."""

import random
from pathlib import Path

import pytest

from tests.exports.storm import storm

pytestmark = [pytest.mark.services, pytest.mark.chaos, pytest.mark.timeout(400)]


@pytest.mark.parametrize("place", ["parquet", "parts"])
def test_a_place_is_exact_after_a_storm(tmp_path: Path, place: str) -> None:
    outcome = storm(random.Random(place), tmp_path / "x", "http://127.0.0.1:9", place)
    assert not outcome.wrong
