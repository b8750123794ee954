"""Devices as Azure IoT Hub has them: bags of properties, methods, desired properties and their acknowledgement."""

from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.scenario.scenario import Scenario
from edgewire.dialects.azure_iot import AzureIotDecoder, AzureIotOptions, read_bag
from edgewire.dialects.base import Arrival, DialectError
from edgewire.dialects.encoder import Publication
from tests.dialects.speaking import ONLINE, ask, device_of, format_of, reading_of, said

PUMP = format_of("bme280", {"dialect": "azure-iot", "properties": {"plant/line": "A&B 100 %"}})
METHODS = "$iothub/methods/POST"
DESIRED = "$iothub/twin/PATCH/properties/desired/?$version=7"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


def body_of(published: Publication) -> Any:
    return orjson.loads(published.payload)


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=5))
def test_whatever_is_in_a_bag_comes_out_of_it(properties: dict[str, str]) -> None:
    written = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in properties.items())
    assert read_bag(written) == properties
    with pytest.raises(DialectError, match="201 properties"):
        read_bag("a&" * 200 + "a")


def test_a_reading_has_its_properties_in_a_topic_that_any_broker_takes() -> None:
    (reading,) = said("bme280", PUMP, reading_of("bme280"))
    bag = "%24.ct=application%2Fjson&%24.ce=utf-8&plant%2Fline=A%26B%20100%20%25"
    assert reading.topic == f"devices/porch-07/messages/events/{bag}"
    found = AzureIotDecoder().decode(reading.topic, reading.payload, Arrival(1_790_000_000_000))
    assert found.values == {"temperature_c": 21.43, "humidity": 44.1, "pressure_hpa": 1013.25}
    assert (found.time_ms, found.extra["properties"]["plant/line"]) == (1_772_625_600_000, "A&B 100 %")  # type: ignore[index]


def test_a_device_that_comes_reports_what_it_is_and_asks_for_its_twin() -> None:
    report, get = PUMP.status(device_of("bme280"), ONLINE)
    assert report.topic == "$iothub/twin/PATCH/properties/reported/?$rid=reported"
    assert body_of(report)["device"]["boot"] == 826_000_000
    assert (get.topic, get.payload) == ("$iothub/twin/GET/?$rid=twin", b"")
    assert len(PUMP.command_topics(device_of("bme280"))) <= 5


def test_a_method_is_a_command_and_is_answered_under_its_number() -> None:
    request, (answer,) = ask("bme280", PUMP, f"{METHODS}/set_interval/?$rid=1a%2F", b'{"interval_s":60}')
    assert (request.action, request.arguments) == ("set_interval", {"interval": "60000ms"})
    assert (answer.topic, body_of(answer)) == ("$iothub/methods/res/200/?$rid=1a%2F", {"ok": True})
    _, (refused,) = ask("bme280", PUMP, f"{METHODS}/set_interval/?$rid=2", b'{"interval_s":0}', error="too short")
    assert (refused.topic, body_of(refused)) == ("$iothub/methods/res/400/?$rid=2", {"error": "too short"})
    request, (unknown,) = ask("bme280", PUMP, f"{METHODS}/fly/?$rid=3", b"")
    assert (request.action, unknown.topic) == ("", "$iothub/methods/res/404/?$rid=3")
    assert body_of(unknown)["error"].startswith("there is no method 'fly'")
    for topic, payload in (
        (f"{METHODS}/reboot/", b""),
        (f"{METHODS}/reboot/?$rid=4", b"["),
        ("$iothub/x/?$rid=4", b""),
    ):
        assert ask("bme280", PUMP, topic, payload) == (None, [])


def test_a_desired_property_is_acknowledged_with_its_version() -> None:
    request, (report,) = ask("bme280", PUMP, DESIRED, b'{"interval_s":60,"$version":7}')
    assert (request.action, request.arguments) == ("set_interval", {"interval": "60000ms"})
    assert body_of(report) == {"interval_s": {"value": 60, "ac": 200, "av": 7}}
    _, (report,) = ask("bme280", PUMP, DESIRED, b'{"interval_s":"soon","$version":7}', error="no duration")
    assert body_of(report) == {"interval_s": {"value": 60.0, "ac": 400, "av": 7, "ad": "no duration"}}
    assert ask("bme280", PUMP, DESIRED, b'{"rpm":1}')[1] == []
    # What was desired while it was away it learns from the twin that it has asked for.
    twin = b'{"desired":{"interval_s":60,"$version":9},"reported":{}}'
    request, (report,) = ask("bme280", PUMP, "$iothub/twin/res/200/?$rid=twin", twin)
    assert (request.action, body_of(report)["interval_s"]["av"]) == ("set_interval", 9)
    assert ask("bme280", PUMP, "$iothub/twin/res/204/?$rid=reported&$version=6", b"")[1] == []
    assert ask("bme280", PUMP, "$iothub/twin/res/429/?$rid=reported", b"") == (None, [])


def test_a_message_to_a_device_may_be_a_command() -> None:
    bound = "devices/porch-07/messages/devicebound/%24.mid=1"
    request, answers = ask("bme280", PUMP, bound, b'{"method":"reboot"}')
    assert (request.action, answers) == ("reboot", [])
    assert ask("bme280", PUMP, bound, b"stop") == (None, [])


GROUP: dict[str, Any] = {"kind": "bme280", "ids": ["a", "b"], "dialect": "azure-iot"}


@pytest.mark.parametrize(
    ("group", "scenario", "said"),
    [
        ({"qos": 2}, {}, "Azure IoT Hub has no QoS 2"),
        ({}, {"keep_alive": "20m"}, "1200 s is not what Azure IoT Hub takes: write one from 1s to 1177s"),
        ({"client_ids": ["x", "y"]}, {}, "knows devices by their client ids"),
        ({"dialect": {"dialect": "azure-iot", "token_lifetime": "1s"}}, {}, "token_lifetime"),
    ],
)
def test_what_a_hub_does_not_take_is_refused_before_a_run(
    group: dict[str, Any], scenario: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Scenario.model_validate({"devices": [GROUP | group]} | scenario)


def test_a_twin_behind_a_mount_point_is_read() -> None:
    decoder = AzureIotDecoder(AzureIotOptions(prefix="hubs/{id}/up/"))
    topic = "hubs/x7/up/$iothub/twin/PATCH/properties/reported/?$rid=1"
    found = decoder.decode(topic, b'{"timestamp":"2026-01-01T00:00:00Z","rpm":1}', Arrival(0))
    assert (found.device_id, found.role, found.values) == ("x7", "reading", {"rpm": 1})
