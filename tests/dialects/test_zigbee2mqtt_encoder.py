"""Zigbee2MQTT: sensors are read as they measured, and their gateway says and answers what a real one does."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.dialects.base import Arrival, DialectError, MessageRole
from edgewire.dialects.encoder import GatewayRequest, Publication
from edgewire.dialects.home_assistant import HomeAssistantDecoder
from edgewire.dialects.home_assistant_discovery import HomeAssistantDiscovery
from edgewire.dialects.zigbee2mqtt import Zigbee2MqttDecoder, Zigbee2MqttOptions
from edgewire.dialects.zigbee2mqtt_encoder import Zigbee2MqttEncoder
from tests.dialects.speaking import NOON_MS, ONLINE, ask, device_of, format_of, reading_of, said

GATEWAY = {"gateway": "gw-1", "site": "home", "mac": "02AABBCCDD01"}
DEVICES = [
    {"id": name, "device": name, "gateway": "gw-1", "site": "home", "mac": mac}
    for name, mac in (("porch", "02AABBCCDD02"), ("attic", "02AABBCCDD03"))
]
ON_BATTERY = {"firmware": {"battery_life": "365d"}}


def encoder(**options: Any) -> Zigbee2MqttEncoder:
    return Zigbee2MqttEncoder(Zigbee2MqttOptions.model_validate(options), "bme280")


def bodies(publications: Any) -> dict[str, Any]:
    return {one.topic: orjson.loads(one.payload) for one in publications}


@given(
    st.floats(-40, 85), st.floats(0, 100), st.floats(800, 1100), st.booleans(),
    st.sampled_from(["disable", "ISO_8601", "ISO_8601_local", "epoch"]), st.booleans(),
)  # fmt: skip
def test_a_reading_is_read_as_it_was_measured(
    temperature: float, humidity: float, pressure: float, has_battery: bool, last_seen: str, knows_list: bool
) -> None:
    group = ON_BATTERY if has_battery else {}
    row = reading_of("bme280", temperature_c=temperature, humidity=humidity, pressure_hpa=pressure)
    spoken = format_of("bme280", {"dialect": "zigbee2mqtt", "last_seen": last_seen}, **group)
    (one,) = said("bme280", spoken, row)
    assert (one.topic, one.retain) == ("zigbee2mqtt/porch-07", False)
    decoder = Zigbee2MqttDecoder()
    if knows_list:
        names = [{"id": "porch-07", "mac": "02AABBCCDD02"}]
        for told in encoder().gateway_state(GATEWAY, names, ONLINE):
            decoder.decode(told.topic, told.payload, Arrival(0))
    message = decoder.decode(one.topic, one.payload, Arrival(5))
    assert (message.role, message.device_id) == (MessageRole.READING, "porch-07")
    assert message.time_ms == (5 if last_seen == "disable" else NOON_MS)
    values = dict(message.values)
    assert 0 <= values.pop("link_quality") <= 255  # type: ignore[operator]
    assert has_battery is ("battery_pct" in values)
    if has_battery:
        assert 0 <= values.pop("battery_pct") <= 100  # type: ignore[operator]
        assert 2 < values.pop("battery_v") < 5  # type: ignore[operator]
    assert values == {
        "temperature_c": pytest.approx(temperature, abs=0.0051), "humidity": pytest.approx(humidity, abs=0.0051),
        "pressure_hpa": pytest.approx(pressure, abs=0.051),
    }  # fmt: skip
    assert message.remarks == ()


@pytest.mark.parametrize("output", ["attribute", "attribute_and_json"])
@pytest.mark.parametrize("last_seen", ["disable", "ISO_8601_local"])
def test_attributes_have_a_topic_each(output: str, last_seen: str) -> None:
    row = reading_of("bme280", temperature_c=21.347, humidity=40.0, pressure_hpa=1001.26)
    spoken = format_of("bme280", {"dialect": "zigbee2mqtt", "output": output, "last_seen": last_seen})
    decoder, values = Zigbee2MqttDecoder(), []
    decoder.decode("zigbee2mqtt/bridge/devices", b'[{"friendly_name":"porch-07"}]', Arrival(0))
    for one in said("bme280", spoken, row):
        message = decoder.decode(one.topic, one.payload, Arrival(0))
        assert (message.device_id, message.remarks) == ("porch-07", ())
        has_time = last_seen != "disable" and one.topic.endswith(("porch-07", "last_seen"))
        assert message.time_ms == (NOON_MS if has_time else 0)
        values.append({name: value for name, value in message.values.items() if name != "link_quality"})
    whole = {"temperature_c": 21.35, "humidity": 40, "pressure_hpa": 1001.3}
    alone = [{name: value} for name, value in whole.items()] + [{}]
    assert values == ([whole] if output != "attribute" else []) + alone + ([{}] if last_seen != "disable" else [])


@pytest.mark.parametrize(
    ("timezone", "written"),
    [("Asia/Kolkata", b"2026-03-04T17:30:00+05:30"), ("America/New_York", b"2026-03-04T07:00:00-05:00"),
     ("UTC", b"2026-03-04T12:00:00+00:00")],
)  # fmt: skip
def test_a_local_time_has_its_offset(timezone: str, written: bytes) -> None:
    options = {"dialect": "zigbee2mqtt", "last_seen": "ISO_8601_local"}
    (one,) = said("bme280", format_of("bme280", options, timezone=timezone), reading_of("bme280"))
    assert one.payload.endswith(b',"last_seen":"' + written + b'"}')


@pytest.mark.parametrize(
    ("form", "state", "devices"),
    [
        ("json", b'{"state":"online"}', [b'{"state":"online"}']),
        ("plain", b"online", [b"online"]),
        ("disable", b'{"state":"online"}', []),
    ],
)
def test_availability_is_that_of_1x_or_2x(form: str, state: bytes, devices: list[bytes]) -> None:
    made = encoder(availability=form)
    birth = list(made.gateway_state(GATEWAY, DEVICES, ONLINE))
    assert birth[0] == Publication("zigbee2mqtt/bridge/state", state, retain=True, qos=1)
    assert [one.topic.rpartition("/")[2] for one in birth] == ["state", "info", "devices", "groups"]
    assert all(one.retain for one in birth)
    will = made.gateway_will(GATEWAY)
    assert (will.topic, will.payload, will.retain) == (birth[0].topic, state.replace(b"online", b"offline"), True)
    assert [one.payload for one in made.state(DEVICES[0], ONLINE)] == devices
    decoder = Zigbee2MqttDecoder()
    for one in (
        birth[0],
        will,
        *made.state(DEVICES[0], ONLINE),
        *made.state(DEVICES[0], ONLINE | {"state": "offline"}),
    ):
        message = decoder.decode(one.topic, one.payload, Arrival(0))
        assert message.role is MessageRole.AVAILABILITY
        assert message.values == {"online": b"online" in one.payload}


def test_the_list_of_devices_has_the_coordinator_first() -> None:
    listed = bodies(encoder().gateway_state(GATEWAY, DEVICES, ONLINE))["zigbee2mqtt/bridge/devices"]
    assert [one["type"] for one in listed] == ["Coordinator", "EndDevice", "EndDevice"]
    assert [one["friendly_name"] for one in listed[1:]] == ["porch", "attic"]
    assert len({one["ieee_address"] for one in listed}) == 3
    assert all(len(one["ieee_address"]) == 18 for one in listed)
    (sensor,) = format_of("bme280", "zigbee2mqtt", **ON_BATTERY).topics(device_of("bme280"))
    (reading,) = said("bme280", format_of("bme280", "zigbee2mqtt", **ON_BATTERY), reading_of("bme280"))
    assert reading.topic == sensor
    exposed = {one["property"] for one in listed[1]["definition"]["exposes"]}
    assert exposed == orjson.loads(reading.payload).keys()


@pytest.mark.parametrize(
    ("request_", "payload", "response"),
    [
        ("health_check", b"", {"data": {"healthy": True}, "status": "ok"}),
        ("permit_join", b'{"time":60,"transaction":7}', {"data": {"time": 60}, "status": "ok", "transaction": 7}),
        ("permit_join", b"true", {"data": {"time": 254}, "status": "ok"}),
        ("permit_join", b'{"time":900}', {"data": {}, "status": "error", "error": "Invalid payload"}),
        (
            "device/rename",
            b'{"from":"porch","to":"hall"}',
            {"data": {"from": "porch", "to": "hall", "homeassistant_rename": False}, "status": "ok"},
        ),
        (
            "device/rename",
            b'{"from":"nobody","to":"hall"}',
            {"data": {}, "status": "error", "error": "Device 'nobody' does not exist"},
        ),
        (
            "device/rename",
            b'{"from":"porch","to":"attic"}',
            {"data": {}, "status": "error", "error": "friendly_name 'attic' is already in use"},
        ),
        (
            "device/options",
            b'{"id":"porch","options":{"debounce":1}}',
            {"data": {"from": {}, "to": {"debounce": 1}, "id": "porch", "restart_required": False}, "status": "ok"},
        ),
        ("options", b'{"options":{}}', {"data": {"restart_required": False}, "status": "ok"}),
        ("options", b"\xff\xfe{", {"data": {}, "status": "error", "error": "Invalid payload"}),
        ("restart", b"", {"data": {}, "status": "ok"}),
    ],
)
def test_requests_are_answered_as_by_a_real_one(request_: str, payload: bytes, response: dict[str, Any]) -> None:
    found = encoder().read_request(GATEWAY, DEVICES, f"zigbee2mqtt/bridge/request/{request_}", payload)
    assert isinstance(found, GatewayRequest)
    (answer,) = found.answers
    assert (answer.topic, answer.retain) == (f"zigbee2mqtt/bridge/response/{request_}", False)
    assert orjson.loads(answer.payload) == response
    assert found.renamed == (("porch", "hall") if response.get("data", {}).get("to") == "hall" else None)
    assert found.is_restart is (request_ == "restart")
    assert Zigbee2MqttDecoder().decode(answer.topic, answer.payload, Arrival(0)).role is MessageRole.ANSWER


def test_what_is_no_request_and_what_is_not_emulated() -> None:
    made = encoder()
    assert made.read_request(GATEWAY, DEVICES, "zigbee2mqtt/bridge/config", b"") is None
    found = made.read_request(GATEWAY, DEVICES, "zigbee2mqtt/bridge/request/networkmap", b"")
    assert found is not None
    assert orjson.loads(found.answers[0].payload)["status"] == "error"


@pytest.mark.parametrize(("below", "payload", "keys"), [
    ("set", b'{"state":"ON","x":1}', ["state", "x"]), ("get", b'{"temperature":""}', ["temperature"]),
    ("get/temperature", b"", ["temperature"]), ("set/state", b"ON", ["state"]),
])  # fmt: skip
def test_what_a_sensor_does_not_take_is_an_error_in_the_log(below: str, payload: bytes, keys: list[str]) -> None:
    spoken = format_of("bme280", "zigbee2mqtt")
    _, answers = ask("bme280", spoken, f"zigbee2mqtt/porch-07/{below}", payload)
    assert [one.topic for one in answers] == ["zigbee2mqtt/bridge/logging"] * len(keys)
    action = below.partition("/")[0]
    for key, one in zip(keys, answers, strict=True):
        logged = orjson.loads(one.payload)
        assert logged["level"] == "error"
        assert f"'{action}' '{key}'" in logged["message"]


def test_discovery_describes_what_is_said() -> None:
    made = encoder()
    made.discovery = HomeAssistantDiscovery()
    decoder = HomeAssistantDecoder()
    configurations = [one for one in made.state(DEVICES[0], ONLINE) if one.topic.startswith("homeassistant/")]
    assert len(configurations) == 6
    for one in configurations:
        assert one.retain
        decoder.decode(one.topic, one.payload, Arrival(0))
        body = orjson.loads(one.payload)
        assert [place["topic"] for place in body["availability"]] == [
            "zigbee2mqtt/bridge/state", "zigbee2mqtt/porch/availability",
        ]  # fmt: skip
    message = decoder.decode("zigbee2mqtt/porch", b'{"temperature":21.3,"pressure":1001.2}', Arrival(0))
    assert (message.values["temperature_c"], message.values["pressure_hpa"]) == (21.3, 1001.2)


def test_several_gateways_are_read_by_one_decoder() -> None:
    decoder = Zigbee2MqttDecoder(Zigbee2MqttOptions(base_topic="z/{gateway}"))
    assert decoder.filters == ("z/+/#",)
    for gateway, unit in (("a", "°C"), ("b", "°F")):
        exposes = [{"property": "temperature", "unit": unit}]
        devices = orjson.dumps([{"friendly_name": "hall", "definition": {"exposes": exposes}}])
        decoder.decode(f"z/{gateway}/bridge/devices", devices, Arrival(0))
    for gateway, celsius in (("a", 50), ("b", 10)):
        message = decoder.decode(f"z/{gateway}/hall", b'{"temperature":50}', Arrival(0))
        assert (message.device_id, message.values) == ("hall", {"temperature_c": pytest.approx(celsius)})
    with pytest.raises(DialectError, match="is not below z/"):
        decoder.decode("y/a/hall", b"{}", Arrival(0))
