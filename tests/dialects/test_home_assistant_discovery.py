"""Home Assistant is told what a device has, whatever it speaks, so that it can read all that the device says."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from devices.firmware.config import Build
from devices.firmware.firmware import Firmware
from devices.fleet.forget import retained_topics
from devices.scenario.devices import Gateway
from devices.timeline.wire_format import WireFormat
from edgewire.dialects.base import Arrival, MessageRole
from edgewire.dialects.encoder import Publication
from edgewire.dialects.home_assistant import HomeAssistantDecoder, HomeAssistantOptions
from edgewire.messages import Channel
from tests.dialects.speaking import NOON_MS, ONLINE, ask, device_of, format_of, reading_of, said

OWN = {
    "topic": "plant/{site}/{id}/state",
    "payload": {"t": [{"from": "temperature_c", "unit": "°F"}], "rh": "humidity"},
}
MEASURED = {
    "bme280": {"temperature_c": 21.5, "humidity": 40.0, "pressure_hpa": 1013.0},
    "traffic": {"vehicle_count": 3, "avg_speed": 47.0, "min_speed": None, "max_speed": 52.0},
    "gps": {"latitude": 48.5, "longitude": 2.25, "speed_kmh": 31.0, "altitude_m": 40.0, "heading_deg": 273.0},
    "people": {"entries": 4, "exits": 3, "total_entries": 61, "total_exits": 48, "occupancy": 13},
    "telematics": {"latitude": 48.5, "longitude": 2.25, "speed_mph": 20.0, "event_type": "hard_braking"},
}
READ = {
    "traffic": {"vehicle_count": 3, "average_speed": 47.0, "highest_speed": 52.0},
    "telematics": {"latitude": 48.5, "longitude": 2.25, "speed_kmh": 32.187, "last_event": "hard_braking"},
}
"""Where names are others than those of the contract: by entity."""


def born(kind: str, spoken: WireFormat, **status: Any) -> list[Publication]:
    return list(spoken.status(device_of(kind), ONLINE | status))


def by_entity(message: Any) -> dict[str, Any]:
    """Return the values of a message by their names, the first of each, and where several have one by the entity."""
    values = dict(message.values)
    for name, part in message.parts.items():
        values |= {name: next(iter(part.values()))} | {one: value for one, value in part.items() if one not in values}
    return values


@pytest.mark.parametrize("form", ["device", "single"])
@pytest.mark.parametrize(
    ("kind", "group"),
    [
        *((kind, {}) for kind in MEASURED),
        ("bme280", {"dialect": "tasmota"}),
        ("bme280", {"dialect": {"dialect": "tasmota", "temperature_unit": "F", "pressure_unit": "inHg"}}),
        ("bme280", {"dialect": {"dialect": "shelly", "status_ntf": True}}),
        ("bme280", OWN),
    ],
)
def test_what_a_device_says_can_be_read_by_what_it_describes(kind: str, group: dict[str, Any], form: str) -> None:
    dialect = {"dialect": "edgefleet"} | group
    spoken = format_of(kind, discovery={"form": form, "prefix": "ha/x"}, **dialect)
    decoder = HomeAssistantDecoder(HomeAssistantOptions(discovery_prefix="ha/x"))
    for one in born(kind, spoken):
        if one.topic.startswith("ha/x/"):
            assert one.retain
            found = decoder.decode(one.topic, one.payload, Arrival(0))
            assert (found.role, found.device_id, found.remarks) == (MessageRole.DESCRIPTION, "porch-07", ())
    read: dict[str, Any] = {}
    for one in said(kind, spoken, reading_of(kind, **MEASURED[kind])):
        if decoder.registry.entities_on(one.topic):
            message = decoder.decode(one.topic, one.payload, Arrival(NOON_MS))
            assert message.remarks == ()
            read |= by_entity(message)
    expected = READ.get(kind, MEASURED[kind])
    if "payload" in group or group.get("dialect", {"dialect": ""}) == {"dialect": "shelly", "status_ntf": True}:
        expected = {name: value for name, value in expected.items() if name != "pressure_hpa"}
    assert {name: read.get(name) for name in expected} == {
        name: value if isinstance(value, str) else pytest.approx(value, abs=0.2) for name, value in expected.items()
    }


def test_the_two_forms_say_the_same() -> None:
    forms = {form: format_of("bme280", "tasmota", discovery={"form": form}) for form in ("device", "single")}
    plain, *configurations = born("bme280", format_of("bme280", "edgefleet", discovery="homeassistant"))
    assert plain.topic == "edge/home/bme280/porch-07/status"
    assert [one.topic for one in configurations] == ["homeassistant/device/porch-07/config"]
    (device,) = (one for one in born("bme280", forms["device"]) if one.topic.startswith("homeassistant/"))
    whole = orjson.loads(device.payload)
    assert whole["dev"] == {"ids": ["porch-07"], "name": "porch-07", "mf": "edgefleet", "mdl": "bme280", "sw": "1.0.0"}
    for one in born("bme280", forms["single"]):
        if one.topic.startswith("homeassistant/"):
            _, component, node, key, _ = one.topic.split("/")
            body = orjson.loads(one.payload)
            assert node == "porch-07"
            assert body == {name: value for name, value in whole["cmps"].pop(key).items() if name != "p"} | {
                "dev": whole["dev"], "o": whole["o"],
            }  # fmt: skip
            assert component == ("binary_sensor" if key == "connection" else "sensor")
    assert whole["cmps"] == {}


@pytest.mark.parametrize(
    ("dialect", "kind", "told"),
    [
        ("edgefleet", "bme280", ("edge/home/bme280/porch-07/status", "online", "offline", "{{ value_json.state }}")),
        ("tasmota", "bme280", ("tele/porch-07/LWT", "Online", "Offline", None)),
        ("shelly", "bme280", ("porch-07/online", "true", "false", None)),
        ("owntracks", "gps", None),
    ],
)
def test_availability_is_where_the_dialect_tells_it(dialect: str, kind: str, told: Any) -> None:
    spoken = format_of(kind, dialect, discovery="homeassistant")
    components = orjson.loads(born(kind, spoken)[-1].payload)["cmps"]
    connection = components.pop("connection", None)
    if told is None:
        assert connection is None
        assert not any("avty_t" in one for one in components.values())
        return
    assert (connection["stat_t"], connection["pl_on"], connection["pl_off"], connection.get("val_tpl")) == told
    assert {one["avty_t"] for one in components.values()} == {told[0]}
    assert {(one.get("pl_avail", "online"), one.get("pl_not_avail", "offline")) for one in components.values()} == {
        told[1:3]
    }
    assert "avty_t" not in connection, "it would be unavailable where it should be off"


@pytest.mark.parametrize(
    ("group", "topics", "online"),
    [
        ({}, ["edge/home/bme280/porch-07/status", "edge/home/gateway/gw-1/status"], b'{"state": "online"}'),
        (OWN | {"gateway": {"count": 1, "availability": {"topic": "plant/{gateway}/up", "online": "up {gateway}"}}},
         ["plant/gw-1/up"], b"up gw-1"),
        (OWN, [], b""),
    ],
)  # fmt: skip
def test_who_is_behind_a_gateway_is_there_only_with_it(group: dict[str, Any], topics: list[str], online: bytes) -> None:
    spoken = format_of("bme280", "edgefleet", discovery="homeassistant", **({"gateway": {"count": 1}} | group))
    behind = replace(device_of("bme280"), gateway=Gateway("gw-1", "home", 5))
    told = list(spoken.status(behind, ONLINE))[-1]
    components = orjson.loads(told.payload)["cmps"]
    connection = components.pop("connection", None)
    assert (connection or {}).get("avty_t") == (topics[1] if len(topics) > 1 else None)
    for one in components.values():
        listed = [place["t"] for place in one.get("avty", [])]
        assert (listed or [one[key] for key in ("avty_t",) if key in one]) == topics
        assert one.get("avty_mode") == ("all" if len(topics) > 1 else None)
    decoder = HomeAssistantDecoder(HomeAssistantOptions())
    decoder.decode(told.topic, told.payload, Arrival(NOON_MS))
    for topic in topics[-1:]:
        read = decoder.decode(topic, online, Arrival(NOON_MS))
        assert (read.role, read.values["online"]) == (MessageRole.AVAILABILITY, True)


def test_a_position_is_a_tracker_and_the_last_will_takes_none_away() -> None:
    native = orjson.loads(born("gps", format_of("gps", "edgefleet", discovery="homeassistant"))[-1].payload)["cmps"]
    assert native["position"]["json_attr_t"] == "edge/home/gps/porch-07/telemetry"
    phone = orjson.loads(born("gps", format_of("gps", "owntracks", discovery="homeassistant"))[-1].payload)["cmps"]
    assert phone["position"]["json_attr_tpl"] == (
        "{{ ({'latitude': value_json.lat, 'longitude': value_json.lon, 'gps_accuracy': value_json.acc} "
        "if value_json.lat is defined else {}) | tojson }}"
    )
    assert phone["speed"]["val_tpl"] == "{{ value_json.vel if value_json.vel is defined else '' }}"


def test_people_are_events_at_a_door() -> None:
    components = orjson.loads(born("people", format_of("people", "edgefleet", discovery="homeassistant"))[-1].payload)
    door = components["cmps"]["door"]
    assert (door["p"], door["stat_t"]) == ("event", "edge/home/people/porch-07/event")
    assert door["evt_typ"] == ["entry", "exit", "foot_traffic"]


def test_vitals_are_described_where_the_status_has_them() -> None:
    spoken = format_of("bme280", "edgefleet", discovery="homeassistant")
    with_both = orjson.loads(born("bme280", spoken, rssi_dbm=-60, battery_pct=40.0)[-1].payload)["cmps"]
    assert {"wifi_signal", "battery"} <= with_both.keys()
    assert with_both["battery"]["stat_t"] == "edge/home/bme280/porch-07/status"
    template = "{{ value_json.battery_pct if value_json.battery_pct is defined else '' }}"
    assert with_both["battery"]["val_tpl"] == template, "a last will has no charge"
    assert not {"wifi_signal", "battery"} & orjson.loads(born("bme280", spoken)[-1].payload)["cmps"].keys()


def test_home_assistant_is_told_again_when_it_has_started() -> None:
    spoken = format_of("bme280", "shelly", discovery="homeassistant")
    device = device_of("bme280")
    assert spoken.command_topics(device) == ("porch-07/rpc", "porch-07/command", "homeassistant/status")
    _, again = ask("bme280", spoken, "homeassistant/status", b"online")
    assert again == [one for one in born("bme280", spoken) if one.topic.startswith("homeassistant/")]
    request, nothing = ask("bme280", spoken, "homeassistant/status", b"offline")
    assert (request.action, nothing) == ("", [])
    reading = said("bme280", spoken, reading_of("bme280"))
    _, (answer,) = ask("bme280", spoken, "porch-07/rpc", b'{"id":1,"src":"me","method":"Humidity.GetStatus"}', reading)
    assert answer.topic == "me/rpc", "the dialect's commands are its own"
    native = format_of("bme280", "edgefleet", discovery="homeassistant")
    assert native.command_topics(device) == ("edge/home/bme280/porch-07/cmd", "homeassistant/status")


def test_forget_clears_what_is_described_and_leaves_home_assistant_alone() -> None:
    spoken = format_of("bme280", "tasmota", discovery={"form": "single"})
    device = device_of("bme280")
    first, others = retained_topics(device, Firmware(device.device_id, device.key, 1, 0, Build()), spoken)
    described = {one.topic for one in born("bme280", spoken) if one.retain}
    assert described <= {first, *others}
    assert "homeassistant/status" not in others


@pytest.mark.parametrize(
    ("kind", "group", "said"),
    [
        ("bme280", {"dialect": "esphome", "discovery": "homeassistant"}, "ESPHome describes itself"),
        ("bme280", {"dialect": "influx", "discovery": "homeassistant"}, "finds values by their place in JSON"),
        ("bme280", {"dialect": "homeassistant"}, "write `discovery: homeassistant`"),
        ("bme280", {"discovery": "homeassistent"}, "discovery"),
        ("bme280", {"discovery": {"prefix": "a/#"}}, "prefix"),
        ("bme280", {"topic": "x/{id}", "payload": {"who": "firmware"}, "discovery": "homeassistant"}, "show nothing"),
    ],
)
def test_what_cannot_be_described_is_refused(kind: str, group: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        format_of(kind, group.pop("dialect", "edgefleet"), **group)


def test_the_layer_changes_nothing_of_what_is_said() -> None:
    plain, layered = (format_of("people", "edgefleet", discovery=one) for one in ({"prefix": "p"}, "homeassistant"))
    row = reading_of("people")
    assert said("people", plain, row) == said("people", layered, row)
    assert layered.parts(Channel.EVENT)[0].is_numbered
    assert layered.leaves_out is False
    assert layered.will(device_of("people"), ONLINE) is not None
