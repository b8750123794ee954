"""What devices say in a dialect or a format of their own is what the readers of these formats read."""

import re
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from devices.firmware.outbox import NO_SEQ
from devices.scenario.scenario import Scenario
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.dialects.base import Arrival, MessageRole
from edgewire.dialects.own_format import OwnFormat, OwnFormatDecoder
from edgewire.dialects.tasmota import TasmotaDecoder, TasmotaOptions
from edgewire.errors import ConfigError

NOON_MS = parse_ms("2026-03-04T12:00:00Z")


def scenario(**group: Any) -> Scenario:
    return Scenario.model_validate({"seed": 5, "devices": [{"kind": "bme280", "count": 3, "interval": "7s"} | group]})


def spoken(**group: Any) -> tuple[Timeline, Batch, Batch]:
    """Return what these devices say in half a minute, and the same in the native format."""
    asked = scenario(**group)
    line, native = Timeline(asked, NOON_MS, in_dialects=True), Timeline(asked, NOON_MS)
    return line, line.batch(NOON_MS, NOON_MS + 30_000), native.batch(NOON_MS, NOON_MS + 30_000)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature_unit": "F", "pressure_unit": "mmHg"},
        {"full_topic": "home/%topic%/%prefix%/", "prefixes": ["c", "s", "t"], "pressure_unit": "inHg"},
    ],
)
def test_what_tasmota_says_is_read_as_what_was_measured(options: dict[str, Any]) -> None:
    line, batch, native = spoken(dialect={"dialect": "tasmota", **options}, timezone="Europe/Berlin")
    decoder = TasmotaDecoder(TasmotaOptions(**options))
    readings: list[tuple[str, int, dict[str, Any]]] = []
    for device, seq, address, payload in zip(batch.device, batch.seq, batch.address, batch.payload, strict=True):
        topic = line.wire_format(device).topics(line.devices[device])[address]
        found = decoder.decode(topic, payload, Arrival(0, zone=ZoneInfo("Europe/Berlin")))
        assert found.role is (MessageRole.STATE if seq == NO_SEQ else MessageRole.READING)
        if seq != NO_SEQ:
            readings.append((found.device_id, found.time_ms, dict(found.values)))
    assert len(batch) == 2 * len(native)
    for (name, time_ms, values), due_ms, payload in zip(readings, native.due_ms, native.payload, strict=True):
        fields = orjson.loads(payload)
        assert (name, time_ms) == (fields["device_id"], due_ms // 1000 * 1000)
        assert values.pop("dew_point_c") == pytest.approx(fields["temperature_c"] - 9, abs=9)
        assert values == {
            key: pytest.approx(fields[key], abs=0.18) for key in ("temperature_c", "humidity", "pressure_hpa")
        }


def test_a_format_of_ones_own_is_read_by_the_mapping_that_it_is_written_by() -> None:
    mapping = {
        "topic": "plant/{site}/{id}/state",
        "payload": {
            "t": {"from": "temperature_c", "unit": "°F", "round": 2},
            "rh": {"from": "humidity", "round": 1},
            "p": [{"from": "pressure_hpa", "unit": "Pa"}],
            "ts": {"from": "timestamp", "as": "epoch_ms"},
            "who": {"b": "boot", "n": "seq"},
            "fw": "1.4.2",
            "meta": {"tenant": "t-{n}", "kind": {"const": "humidity"}},
        },
    }
    line, batch, native = spoken(**mapping)
    decoder = OwnFormatDecoder(OwnFormat(**mapping))
    assert (batch.seq, batch.due_ms, batch.boot) == (native.seq, native.due_ms, native.boot)
    for device, payload, told in zip(batch.device, batch.payload, native.payload, strict=True):
        (topic,) = line.wire_format(device).topics(line.devices[device])
        found, fields = decoder.decode(topic, payload, Arrival(0)), orjson.loads(told)
        body = orjson.loads(payload)
        assert body["meta"] == {"tenant": f"t-{device + 1}", "kind": "humidity"}
        assert body["fw"] == "1.4.2"
        assert (found.device_id, found.time_ms) == (fields["device_id"], parse_ms(fields["timestamp"]))
        assert dict(found.values) == {
            "site": "default",
            "boot": fields["boot"],
            "seq": fields["seq"],
            "temperature_c": pytest.approx(fields["temperature_c"], abs=0.003),
            "humidity": pytest.approx(fields["humidity"], abs=0.051),
            "pressure_hpa": pytest.approx(fields["pressure_hpa"]),
        }


def test_several_messages_of_a_reading_are_each_numbered() -> None:
    messages = [
        {"topic": "s/{id}/t", "payload": {"from": "temperature_c", "round": 1, "fixed": True}, "retain": True},
        {"topic": "s/{id}/h", "payload": {"from": "humidity", "missing": "nan"}, "pad_to": 12},
    ]
    line, batch, native = spoken(messages=messages, count=1)
    assert batch.seq == list(range(2 * len(native)))
    assert batch.address == [0, 1] * len(native)
    assert all(re.fullmatch(rb"-?\d+\.\d", payload) for payload in batch.payload[::2])
    assert {len(payload) for payload in batch.payload[1::2]} == {12}
    options = line.wire_format(0).options
    assert options is not None
    assert [one.retain for one in options] == [True, False]


def test_what_has_no_value_is_written_as_the_mapping_says() -> None:
    group = {
        "kind": "gps", "count": 1, "interval": "1s", "topic": "g/{id}",
        "payload": {"lat": "latitude", "lon": {"from": "longitude", "missing": "NaN"},
                    "alt": {"from": "altitude_m", "optional": True}, "fix": "fix"},
    }  # fmt: skip
    cold = spoken(**group)[1].payload[0]
    assert orjson.loads(cold) == {"lat": None, "lon": "NaN", "fix": "none"}


def test_a_text_for_what_is_missing_may_have_a_line_break() -> None:
    field = {"from": "latitude", "missing": "no\nfix"}
    payloads = spoken(kind="gps", count=1, interval="1s", topic="g/{id}", payload=field)[1].payload
    assert len(payloads) == 30
    assert payloads[0] == b"no\nfix"
    assert b"48." in payloads[-1]


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"dialect": "tasmotta"}, "there is no dialect 'tasmotta', did you mean 'tasmota'?"),
        ({"dialect": "tasmota", "kind": "gps"}, "Tasmota has no driver that says what a gps says"),
        ({"dialect": {"dialect": "tasmota", "full_topic": "%prefix%/x"}}, "has no %topic%"),
        ({"dialect": {"dialect": "tasmota", "fulltopic": "x"}}, "fulltopic"),
        ({"topic": "a/{id}"}, "needs topic and payload"),
        ({"payload": {"t": "temperature_c"}}, "needs topic and payload"),
        ({"topic": "a/{id}", "payload": {"t": "temperatur_c"}}, "temperature_c"),
        ({"topic": "a/{id}", "payload": {"v": "speed_kmh"}}, "bme280 has no field 'speed_kmh'"),
        ({"topic": "a/{line}", "payload": {"t": "temperature_c"}}, "nothing is called {line}"),
        ({"topic": "a/{site}/x", "payload": {"t": "temperature_c"}}, "all 3 devices would speak on 'a/{site}/x'"),
        ({"topic": "a/+", "payload": {"t": "temperature_c"}}, "wildcard"),
        ({"topic": "a/{id}", "payload": {"t": "temperature_c"}, "dialect": "tasmota"}, "format of your own"),
        ({"retain": True}, "format of your own"),
        ({"kind": "people", "topic": "a/{id}", "payload": {"in": "entries"}}, "has events beside its readings"),
        ({"dialect": "tasmota", "timezone": "Mars/Base"}, "there is no zone 'Mars/Base'"),
        ({"topic": "a/{id}", "payload": {"t": {"from": "temperature_c", "fixed": True}}}, "round says how many"),
        ({"topic": "a/{id}", "payload": {"t": {"from": "humidity", "optional": True}}}, "all its keys are optional"),
    ],
)
def test_what_cannot_be_said_is_refused(group: dict[str, Any], said: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=re.escape(said)):
        scenario(**group)


@pytest.mark.parametrize(
    ("group", "qos", "interval_ms"),
    [
        ({"dialect": "tasmota"}, 0, 300_000),
        ({"dialect": {"dialect": "shelly"}}, 1, 60_000),
        ({"dialect": "owntracks", "kind": "gps"}, 1, 60_000),
        ({"dialect": "tasmota", "qos": 2, "interval": "5s"}, 2, 5_000),
        ({"dialect": "edgefleet"}, 1, 10_000),
        ({"topic": "a/{id}", "payload": {"t": "temperature_c"}}, 1, 10_000),
    ],
)
def test_a_dialect_has_its_own_qos_and_interval(group: dict[str, Any], qos: int, interval_ms: int) -> None:
    (found,) = Scenario.model_validate({"devices": [{"kind": "bme280"} | group]}).devices
    assert (found.qos, found.interval) == (qos, interval_ms)


def test_each_message_of_a_reading_says_the_number_under_which_it_is_accounted_for() -> None:
    messages = [
        {"topic": "s/{id}/" + name, "payload": {"v": name, "b": "boot", "n": "seq"}}
        for name in ("humidity", "pressure_hpa")
    ]
    _, batch, _ = spoken(messages=messages, count=1)
    assert [orjson.loads(payload)["n"] for payload in batch.payload] == batch.seq
