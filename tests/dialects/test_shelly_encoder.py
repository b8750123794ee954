"""Sensors of Shelly: their notifications are read as what was measured, and their RPC answers who asks."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.dialects.base import Arrival, MessageRole
from edgewire.dialects.encoder import Publication
from edgewire.dialects.shelly import ShellyDecoder
from edgewire.messages import Channel
from tests.dialects.speaking import NOON_MS, ONLINE, ask, device_of, format_of, reading_of, said

SENSOR = device_of("bme280")
ON_BATTERY = {"firmware": {"battery_life": "365d", "rssi": -61}}


def decoded(one: Publication) -> Any:
    return ShellyDecoder().decode(one.topic, one.payload, Arrival(0))


@given(st.floats(-40, 85), st.floats(0, 100))
def test_a_reading_is_read_as_it_was_measured(temperature: float, humidity: float) -> None:
    row = reading_of("bme280", temperature_c=temperature, humidity=humidity)
    (one,) = said("bme280", format_of("bme280", "shelly"), row)
    frame = orjson.loads(one.payload)
    assert (one.topic, one.retain) == ("porch-07/events/rpc", False)
    assert (frame["src"], frame["dst"], frame["method"]) == ("porch-07", "porch-07/events", "NotifyStatus")
    assert frame["params"]["temperature:0"]["tF"] == pytest.approx(temperature * 1.8 + 32, abs=0.051)
    message = decoded(one)
    assert (message.role, message.device_id, message.time_ms) == (MessageRole.READING, "porch-07", NOON_MS)
    values = dict(message.values)
    assert -100 < values.pop("rssi_dbm") < -30
    assert values == {
        "temperature_c": pytest.approx(temperature, abs=0.051), "humidity": pytest.approx(humidity, abs=0.051),
    }  # fmt: skip


def test_component_states_are_said_beside_or_instead_of_notifications() -> None:
    row = reading_of("bme280", temperature_c=21.34, humidity=40.0)
    both = said("bme280", format_of("bme280", {"dialect": "shelly", "status_ntf": True}, **ON_BATTERY), row)
    prefix = "porch-07/status/"
    below = [f"{prefix}{name}:0" for name in ("temperature", "humidity", "devicepower")]
    assert [one.topic for one in both] == ["porch-07/events/rpc"] * 2 + below
    assert [decoded(one).role for one in both[1:2]] == [MessageRole.STATE], "a battery alone is no reading"
    only = {"dialect": "shelly", "status_ntf": True, "rpc_ntf": False, "topic_prefix": "sh/{site}/{id}"}
    spoken = format_of("bme280", only)
    assert {one.topic: dict(decoded(one).values) for one in said("bme280", spoken, row)} == {
        "sh/home/porch-07/status/temperature:0": {"temperature_c": 21.3},
        "sh/home/porch-07/status/humidity:0": {"humidity": 40.0},
    }
    assert [part.is_numbered for part in spoken.parts(Channel.TELEMETRY)] == [True, True, False]


def test_birth_and_will() -> None:
    spoken = format_of("bme280", "shelly")
    online, full = spoken.status(SENSOR, ONLINE | {"rssi_dbm": -61, "battery_pct": 80.4, "battery_v": 3.9})
    assert online == Publication("porch-07/online", b"true", retain=True)
    frame = orjson.loads(full.payload)
    assert (full.topic, full.retain, frame["method"]) == ("porch-07/events/rpc", False, "NotifyFullStatus")
    assert frame["params"]["ts"] == NOON_MS / 1000
    assert frame["params"]["devicepower:0"] == {
        "id": 0, "battery": {"V": 3.9, "percent": 80}, "external": {"present": False},
    }  # fmt: skip
    message = decoded(full)
    assert (message.role, message.values["rssi_dbm"]) == (MessageRole.STATE, -61), "a birth is no reading"
    assert spoken.status(SENSOR, ONLINE | {"state": "offline"}) == (spoken.will(SENSOR, ONLINE),)
    assert spoken.will(SENSOR, ONLINE) == Publication("porch-07/online", b"false", retain=True)
    unsynced = orjson.loads(spoken.status(SENSOR, ONLINE | {"timestamp": None})[1].payload)
    assert unsynced["params"]["sys"]["unixtime"] is None


def request(method: str, **more: Any) -> bytes:
    return orjson.dumps({"id": 7, "src": "user_1", "method": method} | more)


@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("Shelly.GetStatus", {"temperature:0", "humidity:0", "sys", "wifi", "mqtt"}),
        ("shelly.getdeviceinfo", {"id", "mac", "model", "gen", "ver", "app"}),
        ("Temperature.GetStatus", {"id", "tC", "tF"}),
        ("Humidity.GetStatus", {"id", "rh"}),
        ("Sys.GetStatus", {"mac", "unixtime", "uptime"}),
        ("Wifi.GetStatus", {"sta_ip", "status", "ssid", "rssi"}),
    ],
)
def test_requests_are_answered_to_who_asks(method: str, keys: set[str]) -> None:
    spoken = format_of("bme280", "shelly")
    reading = said("bme280", spoken, reading_of("bme280", temperature_c=21.34))
    _, (answer,) = ask("bme280", spoken, "porch-07/rpc", request(method), reading)
    frame = orjson.loads(answer.payload)
    assert (answer.topic, answer.retain) == ("user_1/rpc", False)
    assert (frame["id"], frame["src"], frame["dst"]) == (7, "porch-07", "user_1")
    assert keys <= frame["result"].keys()
    assert "21.3" in str(frame) or "tC" not in str(frame)
    assert decoded(answer).role is MessageRole.ANSWER


def test_a_reboot_unknown_methods_and_what_cannot_be_done() -> None:
    spoken = format_of("bme280", "shelly")
    asked, (answer,) = ask("bme280", spoken, "porch-07/rpc", request("Shelly.Reboot"))
    assert (asked.action, orjson.loads(answer.payload)["result"]) == ("reboot", None)
    _, (refused,) = ask("bme280", spoken, "porch-07/rpc", request("Shelly.Reboot"), error="about to restart")
    assert orjson.loads(refused.payload)["error"] == {"code": -109, "message": "about to restart"}
    _, (unknown,) = ask("bme280", spoken, "porch-07/rpc", request("Switch.Toggle", params={"id": 0}))
    assert orjson.loads(unknown.payload)["error"] == {"code": 404, "message": "No handler for Switch.Toggle"}
    _, (mains,) = ask("bme280", spoken, "porch-07/rpc", request("DevicePower.GetStatus"))
    assert orjson.loads(mains.payload)["error"]["code"] == 404, "there is no battery"


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"[]", b'{"id":1,"method":"Sys.GetStatus"}', request("Sys.GetStatus", src="a/+"),
     request("Sys.GetStatus", src=""), request("Sys.GetStatus", id=None), request("Sys.GetStatus", src="a\n"),
     b'{"id":7,"src":"user_1","result":{}}'],
)  # fmt: skip
def test_what_is_no_request_is_not_heeded(payload: bytes) -> None:
    assert ask("bme280", format_of("bme280", "shelly"), "porch-07/rpc", payload) == (None, [])


def test_status_update_says_the_state_of_each_component() -> None:
    spoken = format_of("bme280", "shelly", **ON_BATTERY)
    assert spoken.command_topics(SENSOR) == ("porch-07/rpc", "porch-07/command")
    reading = said("bme280", spoken, reading_of("bme280"))
    _, states = ask("bme280", spoken, "porch-07/command", b"status_update", reading)
    assert [one.topic.rpartition("/")[2] for one in states] == ["temperature:0", "humidity:0", "devicepower:0"]
    assert ask("bme280", spoken, "porch-07/command", b"announce?") == (None, [])


@pytest.mark.parametrize(
    ("kind", "dialect", "said"),
    [
        ("gps", "shelly", "no Shelly measures what a gps measures"),
        ("people", "shelly", "no Shelly measures what a people measures"),
        ("bme280", {"dialect": "shelly", "rpc_ntf": False}, "both off"),
        ("bme280", {"dialect": "shelly", "topic_prefix": "a/#"}, "topic_prefix"),
    ],
)
def test_what_no_shelly_is_is_refused(kind: str, dialect: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        format_of(kind, dialect)
