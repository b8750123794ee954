"""`world: 1` stays as it was, bit for bit: digests of what every kind said before there was a choice."""

import hashlib

import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms

FROM_MS = parse_ms("2026-03-02T07:00:00Z")
SITES = [
    {"name": "a", "latitude": 48.9, "longitude": 2.4, "timezone": "Europe/Paris"},
    {"name": "b", "latitude": -33.9, "longitude": 18.4, "timezone": "Africa/Johannesburg", "climate": "mediterranean"},
]
OUTDOORS = {"profile": "outdoor", "filter": 16}
GOLDEN = [
    ("bme280", {}, "c3d9b8fab5442015"),
    ("bme280", {"profile": "outdoor", "filter": 16}, "c807a32f8b78c4e4"),
    ("traffic", {}, "d2914c2183591634"),
    ("gps", {}, "f307c2c840cd65f9"),
    ("telematics", {}, "9e15c9b0a22242ce"),
    ("people", {}, "326aa3a8b4a33d4d"),
]


def digest(kind: str, settings: dict[str, object]) -> str:
    group = {"kind": kind, "count": 4, "interval": "30s", "settings": settings}
    scenario = Scenario.model_validate({"seed": 11, "world": 1, "sites": SITES, "devices": [group]})
    timeline = Timeline(scenario, FROM_MS)
    found = hashlib.blake2b(digest_size=8)
    for table in timeline.tables(FROM_MS, FROM_MS + 1_800_000):
        for message in timeline.encode_table(table):
            found.update(message)
    return found.hexdigest()


@pytest.mark.parametrize(("kind", "settings", "expected"), GOLDEN)
def test_the_first_world_says_what_it_always_said(kind: str, settings: dict[str, object], expected: str) -> None:
    assert digest(kind, settings) == expected
