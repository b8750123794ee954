"""Phones of OwnTracks: what they say is where they are, and nothing where they do not know it."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.outbox import NO_SEQ
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.dialects.base import Arrival, MessageRole
from edgewire.dialects.encoder import Publication
from edgewire.dialects.owntracks import OwnTracksDecoder
from tests.dialects.speaking import NOON_MS, ONLINE, ask, device_of, format_of, reading_of, said

PHONE = device_of("gps")
TOPIC = "owntracks/home/porch-07"


def decoded(one: Publication) -> Any:
    return OwnTracksDecoder().decode(one.topic, one.payload, Arrival(0, retained=False))


@given(
    st.floats(-90, 90), st.floats(-180, 180), st.none() | st.floats(-400, 9000), st.none() | st.floats(0, 400),
    st.none() | st.floats(0, 359.99), st.floats(0.5, 20),
)  # fmt: skip
def test_a_position_is_read_as_it_was_measured(
    lat: float, lon: float, alt: float | None, vel: float | None, cog: float | None, hdop: float
) -> None:
    row = reading_of("gps", latitude=lat, longitude=lon, altitude_m=alt, speed_kmh=vel, heading_deg=cog, hdop=hdop)
    (one,) = said("gps", format_of("gps", "owntracks"), row)
    assert (one.topic, one.retain) == (TOPIC, True)
    message = decoded(one)
    assert (message.role, message.device_id, message.time_ms) == (MessageRole.READING, "home/porch-07", NOON_MS)
    assert (message.extra["tid"], message.extra["topic"]) == ("07", TOPIC)
    expected = {"latitude": lat, "longitude": lon, "accuracy_m": pytest.approx(5 * hdop, abs=0.56)}
    for name, value in (("altitude_m", alt), ("speed_kmh", vel), ("heading_deg", cog)):
        if value is not None:
            expected[name] = pytest.approx(value, abs=0.51)
    assert dict(message.values) == expected


def test_topics_and_battery_are_as_set() -> None:
    spoken = format_of(
        "gps", {"dialect": "owntracks", "user": "u{n}", "device": "d-{id}"}, firmware={"battery_life": "9d"}
    )
    (one,) = said("gps", spoken, reading_of("gps"))
    assert one.topic == "owntracks/u2/d-porch-07"
    assert 0 <= orjson.loads(one.payload)["batt"] <= 100


def test_the_will_is_no_position_and_leaves_the_last_one() -> None:
    spoken = format_of("gps", "owntracks")
    will = spoken.will(PHONE, ONLINE)
    assert will == Publication(TOPIC, b'{"_type":"lwt"}', retain=False, qos=0)
    assert decoded(will).values == {"online": False}
    assert spoken.status(PHONE, ONLINE) == ()


def test_commands_are_answered_as_the_app_does() -> None:
    spoken = format_of("gps", "owntracks")
    reading = said("gps", spoken, reading_of("gps"))
    assert spoken.command_topics(PHONE) == (f"{TOPIC}/cmd",)

    def told(action: str, **more: Any) -> tuple[Any, list[Publication]]:
        body = orjson.dumps({"_type": "cmd", "action": action} | more)
        return ask("gps", spoken, f"{TOPIC}/cmd", body, reading)

    request, (where,) = told("reportLocation")
    assert request.wants_reading
    assert (where.topic, where.retain, orjson.loads(where.payload)["t"]) == (TOPIC, True, "r")
    assert decoded(where).values == decoded(reading[0]).values
    for action, below, kind in (
        ("status", "status", "status"), ("dump", "dump", "configuration"), ("waypoints", "waypoints", "waypoints"),
    ):  # fmt: skip
        (answer,) = told(action)[1]
        assert (answer.topic, answer.retain) == (f"{TOPIC}/{below}", False)
        assert orjson.loads(answer.payload)["_type"] == kind
        assert decoded(answer).role is not MessageRole.READING
    request, answers = told("setConfiguration", configuration={"_type": "configuration", "locatorInterval": 30})
    assert (request.action, request.arguments, answers) == ("set_interval", {"interval": "30s"}, [])
    assert told("setConfiguration", configuration={"locatorInterval": -1}) == (None, [])
    assert told("restart") == (None, [])
    assert ask("gps", spoken, f"{TOPIC}/cmd", b"\xff{") == (None, [])


def test_readings_without_a_position_are_no_messages_and_leave_no_gap() -> None:
    group = {"kind": "gps", "count": 4, "interval": "1s", "dialect": "owntracks"}
    scenario = Scenario.model_validate({"seed": 3, "devices": [group]})
    line, native = Timeline(scenario, NOON_MS, in_dialects=True), Timeline(scenario, NOON_MS)
    everything = native.batch(NOON_MS, NOON_MS + 120_000)
    with_fix = [
        (position, orjson.loads(payload)["latitude"])
        for position, payload in zip(everything.device, everything.payload, strict=True)
        if orjson.loads(payload)["fix"] != "none"
    ]
    assert 0 < len(with_fix) < len(everything)
    spoken: list[tuple[int, float]] = []
    numbers: dict[int, list[int]] = {}
    for begin in range(0, 120_000, 7_500):
        batch = line.batch(NOON_MS + begin, NOON_MS + begin + 7_500, lost=True)
        for position, seq, payload in zip(batch.device, batch.seq, batch.payload, strict=True):
            spoken.append((position, orjson.loads(payload)["lat"]))
            numbers.setdefault(position, []).append(seq)
    assert spoken == with_fix
    assert all(NO_SEQ not in found for found in numbers.values())
    assert all(after == before + 1 for found in numbers.values() for before, after in pairwise(found))
    assert line.read_now(0, NOON_MS) == [], "no fix yet"


def test_a_window_that_is_asked_for_twice_is_the_same() -> None:
    group = {"kind": "gps", "count": 1, "interval": "1s", "dialect": "owntracks"}
    line = Timeline(Scenario.model_validate({"devices": [group]}), NOON_MS, in_dialects=True)
    first = line.batch(NOON_MS, NOON_MS + 60_000)
    again = line.batch(NOON_MS, NOON_MS + 60_000)
    assert (first.seq, first.payload) == (again.seq, again.payload), "asked twice, the same"


@pytest.mark.parametrize(
    ("kind", "said"), [("telematics", "no word for what telematics tell"), ("bme280", "where a phone is"),
                       ("people", "where a phone is"), ("traffic", "where a phone is")],
)  # fmt: skip
def test_what_is_no_phone_is_refused(kind: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        format_of(kind, "owntracks")


def test_numbers_begin_anew_with_each_boot_and_skip_nothing() -> None:
    group = {"kind": "gps", "count": 3, "interval": "1s", "dialect": "owntracks"}
    reboots = {"type": "reboot", "kind": "gps", "rate": "288/day", "duration": "20s"}
    scenario = Scenario.model_validate({"seed": 4, "devices": [group], "faults": [reboots]})
    line = Timeline(scenario, NOON_MS, in_dialects=True)
    numbers: dict[tuple[int, int], list[int]] = {}
    for begin in range(0, 600_000, 60_000):
        batch = line.batch(NOON_MS + begin, NOON_MS + begin + 60_000)
        for position, boot, seq in zip(batch.device, batch.boot, batch.seq, strict=True):
            numbers.setdefault((position, boot), []).append(seq)
    assert len(numbers) > 3, "some have rebooted"
    for found in numbers.values():
        assert found == list(range(found[0], found[0] + len(found)))
    assert all(found[0] == 0 for (_, boot), found in numbers.items() if boot > line.boot)
