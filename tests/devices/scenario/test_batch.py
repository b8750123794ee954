"""`batch` and `each`: what can be meant by them is taken, and everything else refused with its place."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from devices.scenario.scenario import Scenario
from tests.devices.scenario.test_bad_topics import refused

EACH = {"r": {"each": {"t": "temperature_c", "at": "timestamp"}}}
OWN: dict[str, Any] = {"kind": "bme280", "count": 2, "batch": 6, "topic": "p/{id}", "payload": EACH}


def scenario(*groups: dict[str, Any], **keys: Any) -> Scenario:
    return Scenario.model_validate({"devices": groups, **keys})


@pytest.mark.parametrize(
    ("group", "place", "said"),
    [
        ({"batch": 0}, "batch", "greater than or equal to 1, got 0"),
        ({"batch": 1001}, "batch", "less than or equal to 1000, got 1001"),
        ({"batch": None}, "payload", "write batch beside it, such as batch: 6"),
        ({"payload": {"t": "temperature_c"}}, "batch", "no payload has a list of readings"),
        ({"topic": None, "payload": None}, "batch", "is of a format of your own"),
        ({"topic": None, "payload": None, "dialect": "tasmota"}, "batch", "is of a format of your own"),
        ({"payload": {"a": {"each": {"b": {"each": "humidity"}}}}}, "payload", "a.0.b: each is inside another"),
        ({"payload": {"a": {"each": "humidity", "n": 1}}}, "payload", "a: each stands alone, without n"),
        ({"payload": {"a": {"each": {"c": 5}}, "h": "humidity"}}, "payload", "a: each has no field in it"),
        ({"payload": EACH | {"n": "seq"}}, "payload", "write it inside each"),
        ({"payload": {"at": "timestamp", "h": {"each": "humidity"}}}, "payload", "would have no time"),
        ({"payload": {"h": {"each": "humidty"}}}, "payload", "there is no field 'humidty'"),
        ({"standby": True}, "batch", "write standby: false, or no batch"),
        ({"kind": "telematics", "payload": {"r": {"each": {"s": "speed_kmh"}}}}, "batch", "tells what happens as it"),
        ({"kind": "people", "payload": {"r": {"each": {"s": "entries"}}}, "events": [{"topic": "e/{id}", "payload":
          {"w": "event_type"}}]}, "batch", "tells what happens as it happens"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, group: dict[str, Any], place: str, said: str) -> None:
    told = refused(tmp_path, {key: value for key, value in {**OWN, **group}.items() if value is not None})
    assert told.startswith(f"s.yaml:2: devices[0].{place}: "), told
    assert said in told


def test_an_event_is_said_as_it_happens() -> None:
    group = {"kind": "people", "topic": "p/{id}", "payload": {"in": "entries"}}
    events = [{"topic": "e/{id}", "payload": {"r": {"each": {"w": "event_type", "n": "exits"}}}}]
    with pytest.raises(ValidationError, match="an event is said as it happens"):
        scenario(group | {"events": events})


def test_damage_by_chance_is_of_messages_of_one_reading() -> None:
    fault = {"type": "corrupt", "kind": "bme280", "chance": 0.5, "rate": "2/day", "duration": "1m"}
    with pytest.raises(ValidationError, match="strikes messages by their number"):
        scenario(OWN, faults=[fault])
    assert scenario(
        {"kind": "bme280"}, OWN | {"kind": "traffic", "payload": {"v": {"each": "vehicle_count"}}}, faults=[fault]
    )


def test_a_message_of_several_readings_is_one_message() -> None:
    plain = {"topic": "q/{id}", "payload": {"h": "humidity"}}
    several = {key: OWN[key] for key in ("kind", "count", "batch")} | {
        "messages": [{"topic": "p/{id}", "payload": EACH}, plain]
    }
    assert scenario(OWN | {"interval": "1s"}).messages_per_s == pytest.approx(2 / 6)
    # Each reading has a message of its own as well.
    assert scenario(several | {"interval": "1s"}).messages_per_s == 2
