"""Devices as ThingsBoard has them: what takes their messages apart, and RPCs and attributes that are commands."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.scenario.scenario import Scenario
from devices.scenario.topic_conflicts import check_topics
from edgewire.dialects.base import Arrival, DialectError
from edgewire.dialects.encoder import Publication
from edgewire.dialects.thingsboard import ThingsBoardDecoder, ThingsBoardOptions
from tests.dialects.speaking import ask, device_of, format_of, reading_of, said

ALONE = format_of("bme280", "thingsboard")
BEHIND = format_of("bme280", "thingsboard", gateway={"count": 1})
ME = "v1/devices/me"
NAMES = st.text(min_size=1, max_size=12)
READINGS = st.lists(st.integers(1 << 41, 1 << 42).map(lambda at_ms: {"ts": at_ms, "values": {"t": 1}}), max_size=4)
ARRIVAL = Arrival(1_790_000_000_000)


def body_of(published: Publication) -> Any:
    return orjson.loads(published.payload)


def test_a_reading_has_its_time_and_leaves_out_what_has_no_value() -> None:
    (told,) = said("gps", format_of("gps", "thingsboard"), reading_of("gps", latitude=None, longitude=None))
    assert told.topic == f"{ME}/telemetry"
    assert body_of(told)["ts"] == 1_772_625_600_000
    assert "latitude" not in body_of(told)["values"]
    (told,) = said("bme280", BEHIND, reading_of("bme280"))
    assert told.topic == "v1/gateway/telemetry"
    values = {"temperature_c": 21.43, "humidity": 44.1, "pressure_hpa": 1013.25}
    assert body_of(told) == {"porch-07": [{"ts": 1_772_625_600_000, "values": values}]}


@given(st.dictionaries(NAMES, READINGS, max_size=4))
def test_what_a_gateway_tells_of_many_is_told_of_each_and_no_more(told: dict[str, Any]) -> None:
    decoder = ThingsBoardDecoder()
    whole = orjson.dumps(told)
    count = sum(map(len, told.values()))
    parts = decoder.split_message("v1/gateway/telemetry", whole)
    if not count:
        assert parts == [whole]
        return
    read = [decoder.decode("v1/gateway/telemetry", one, ARRIVAL) for one in parts]
    expected = [(name, one["ts"]) for name, readings in told.items() for one in readings]
    assert [(one.device_id, one.time_ms) for one in read] == expected


def test_a_list_of_readings_is_one_message_each_and_nothing_else_is_taken_apart() -> None:
    split = ThingsBoardDecoder().split_message
    assert split("x/v1/devices/me/telemetry", b'[{"t":1},{"t":2}]') == [b'{"t":1}', b'{"t":2}']
    assert split("v1/gateway/attributes", b'{"A":{"t":1},"B":{"t":2}}') == [b'{"A":{"t":1}}', b'{"B":{"t":2}}']
    for topic, payload in (
        ("x/v1/devices/me/telemetry", b'{"a":{"t":1},"b":{"t":2}}'),
        ("x/v1/devices/me/attributes", b'{"a":{"t":1},"b":{"t":2}}'),
        ("x/v1/devices/me/telemetry", orjson.dumps([{"t": 1}] * 1001)),
        ("v1/gateway/attributes", b'{"device":"A","data":{"t":1}}'),
        ("v1/gateway/telemetry", b'{"A":[{"t":1}]}'),
        ("v1/gateway/telemetry", b"[1,2]"),
        ("else/where", b"[1,2]"),
    ):
        assert split(topic, payload) == [payload]
    with pytest.raises(DialectError, match="1,001 readings in one message"):
        ThingsBoardDecoder().decode("x/v1/devices/me/telemetry", orjson.dumps([{"t": 1}] * 1001), ARRIVAL)


def test_a_prefix_says_which_level_is_the_device() -> None:
    decoder = ThingsBoardDecoder(ThingsBoardOptions(prefix="plant/{id}/up/"))
    assert decoder.decode("plant/x7/up/v1/devices/me/telemetry", b'{"t":1}', ARRIVAL).device_id == "x7"
    assert decoder.filters[0] == "plant/+/up/v1/devices/me/#"
    for wrong in ("#/", "$SYS/", "{id}", "a/+/"):
        with pytest.raises(ValidationError):
            ThingsBoardOptions(prefix=wrong)


def test_an_rpc_is_a_command_and_is_answered_under_its_number() -> None:
    assert set(ALONE.command_topics(device_of("bme280"))) == {
        f"{ME}/rpc/request/+",
        f"{ME}/attributes",
        f"{ME}/attributes/response/+",
    }
    asked = b'{"method":"set_interval","params":{"interval_s":60}}'
    request, (answer,) = ask("bme280", ALONE, f"{ME}/rpc/request/31", asked, data={"interval": "1m"})
    assert (request.action, request.arguments) == ("set_interval", {"interval": "60000ms"})
    assert answer.topic == f"{ME}/rpc/response/31"
    assert body_of(answer) == {"ok": True, "interval": "1m"}
    _, (refused,) = ask("bme280", ALONE, f"{ME}/rpc/request/32", asked, error="out of range")
    assert body_of(refused) == {"error": "out of range"}
    request, (unknown,) = ask("bme280", ALONE, f"{ME}/rpc/request/33", b'{"method":"setRelay","params":true}')
    assert request.action == ""
    assert body_of(unknown)["error"].startswith("there is no method 'setRelay'; there are clear_faults, ")
    request, _ = ask("bme280", ALONE, f"{ME}/rpc/request/34", b'{"method":"reboot"}')
    assert (request.action, request.arguments) == ("reboot", {})


@pytest.mark.parametrize("topic", [f"{ME}/attributes", f"{ME}/attributes/response/1"])
def test_a_shared_attribute_sets_the_interval_and_own_attributes_set_nothing(topic: str) -> None:
    def told(body: dict[str, Any]) -> bytes:
        return orjson.dumps({"shared": body} if topic.endswith("1") else body)

    request, (answer,) = ask("bme280", ALONE, topic, told({"interval_s": 60}))
    assert (request.action, request.arguments) == ("set_interval", {"interval": "60000ms"})
    assert (answer.topic, body_of(answer)) == (f"{ME}/attributes", {"active_interval_s": 60.0})
    # On a broker that is not ThingsBoard it hears that: it would set itself for ever.
    request, answers = ask("bme280", ALONE, f"{ME}/attributes", answer.payload)
    assert (request.action, answers) == ("", [])
    assert ask("bme280", ALONE, topic, told({"deleted": ["interval_s"]}))[1] == []
    assert body_of(ask("bme280", ALONE, topic, told({"interval_s": "x"}), error="no duration")[1][0]) == {
        "interval_error": "no duration"
    }
    assert ask("bme280", ALONE, topic, b"[") == (None, [])


def test_what_a_gateway_hears_is_for_the_device_that_it_names() -> None:
    rpc = "v1/gateway/rpc"
    asked = b'{"device":"porch-07","data":{"id":3,"method":"set_interval","params":{"interval_s":60}}}'
    request, (answer,) = ask("bme280", BEHIND, rpc, asked)
    assert request.action == "set_interval"
    assert (answer.topic, body_of(answer)) == (rpc, {"device": "porch-07", "id": 3, "data": {"ok": True}})
    assert ask("bme280", BEHIND, rpc, answer.payload)[1] == []
    assert ask("bme280", BEHIND, rpc, asked.replace(b"porch-07", b"porch-08")) == (None, [])
    shared = b'{"device":"porch-07","data":{"interval_s":60}}'
    request, (answer,) = ask("bme280", BEHIND, "v1/gateway/attributes", shared)
    assert (request.action, body_of(answer)) == ("set_interval", {"porch-07": {"active_interval_s": 60.0}})
    assert ask("bme280", BEHIND, "v1/gateway/attributes", answer.payload) == (None, [])


def test_devices_that_name_themselves_nowhere_are_told_apart_by_their_login() -> None:
    devices: list[dict[str, Any]] = [
        {"kind": "bme280", "count": 3, "dialect": "thingsboard"},
        {"kind": "traffic", "count": 2, "dialect": "thingsboard"},
        {"kind": "bme280", "count": 4, "dialect": "thingsboard", "gateway": {"devices": 2}, "id": "g-{n:02d}"},
    ]
    check_topics(Scenario.model_validate({"devices": devices}))
    with pytest.raises(ValidationError, match="each device that speaks shelly has a connection of its own"):
        Scenario.model_validate({"devices": [devices[2] | {"dialect": "shelly"}]})
