"""The contract models: what they take, what they refuse, and that the reason names the field."""

from typing import Any

import orjson
import pytest

from edgewire.messages import ACCEPTED, Channel, ContractError, MessageId, MessageType, contract_of, kind_of
from edgewire.messages.bme280 import BME280_EXAMPLES
from edgewire.messages.gps import GPS_EXAMPLES, GpsPosition
from edgewire.messages.people import SESSION_EXAMPLES
from edgewire.messages.schema import CONTROL, ControlType
from edgewire.messages.telematics import TELEMATICS_EXAMPLES
from edgewire.messages.traffic import TRAFFIC_EXAMPLES

BME280, GPS, TRAFFIC = BME280_EXAMPLES[0], GPS_EXAMPLES[0], TRAFFIC_EXAMPLES[0]
TELEMATICS, SESSION = TELEMATICS_EXAMPLES[0], SESSION_EXAMPLES[0]

MEASUREMENTS = [
    pytest.param(contract.kind, message.model, payload, id=message.model.__name__)
    for contract in ACCEPTED.values()
    for message in contract.messages
    for payload in message.examples
]


@pytest.mark.parametrize(("kind", "model", "payload"), MEASUREMENTS)
def test_a_valid_payload_is_taken_as_its_own_model(kind: str, model: type, payload: dict[str, Any]) -> None:
    message = ACCEPTED[kind].parse(orjson.dumps(payload))
    assert type(message) is model
    assert message.message_id == MessageId(payload["device_id"], payload["boot"], payload["seq"])
    assert message.timestamp_ms == 1772439300000


@pytest.mark.parametrize(("kind", "model", "payload"), MEASUREMENTS)
def test_its_kind_is_told_by_its_fields(kind: str, model: type, payload: dict[str, Any]) -> None:
    assert kind_of(payload).kind == kind


@pytest.mark.parametrize("control", CONTROL.values(), ids=lambda control: control.model.__name__)
def test_control_messages(control: ControlType) -> None:
    for payload in control.examples:
        written = control.model.model_validate_json(orjson.dumps(payload)).model_dump(mode="json", exclude_unset=True)
        assert written.keys() == payload.keys()


@pytest.mark.parametrize(
    ("kind", "event_types"),
    [
        ("bme280", [()]),
        ("telematics", [()]),
        ("people", [("foot_traffic",), ("entry", "exit"), ("count",)]),
    ],
)
def test_the_event_types_of_a_shape_are_those_its_model_is_limited_to(
    kind: str, event_types: list[tuple[str, ...]]
) -> None:
    assert [message.event_types for message in ACCEPTED[kind].messages] == event_types


def test_a_message_without_an_example_is_refused() -> None:
    with pytest.raises(ValueError, match="GpsPosition has no example"):
        MessageType(GpsPosition, Channel.TELEMETRY, "topic", ())


def test_unknown_fields_are_kept() -> None:
    message = ACCEPTED["bme280"].check(BME280 | {"gas_ohm": 51200})
    assert message.model_extra == {"gas_ohm": 51200}


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        (
            "bme280",
            BME280 | {"device_id": "a b"},
            "device_id: should be letters, digits, '_', '.' and '-', at most 64, a letter or digit first",
        ),
        ("bme280", BME280 | {"temperature_c": 85.01}, "temperature_c: Input should be less than or equal to 85"),
        ("bme280", BME280 | {"humidity": -0.1}, "humidity"),
        ("bme280", BME280 | {"pressure_hpa": 299}, "pressure_hpa"),
        ("bme280", BME280 | {"temperature_c": "21.4"}, "temperature_c: Input should be a valid number, got '21.4'"),
        ("bme280", {key: BME280[key] for key in BME280 if key != "humidity"}, "key 'humidity' is missing"),
        ("bme280", BME280 | {"device_id": "a/b"}, "device_id"),
        ("bme280", BME280 | {"device_id": "a:b"}, "device_id"),
        ("bme280", BME280 | {"device_id": ""}, "device_id"),
        ("bme280", BME280 | {"boot": -1}, "boot"),
        ("bme280", BME280 | {"seq": 1.5}, "seq"),
        ("bme280", BME280 | {"seq": "7"}, "seq"),
        ("bme280", BME280 | {"seq": True}, "seq"),
        ("bme280", BME280 | {"seq": 10**15}, "seq"),
        ("bme280", BME280 | {"timestamp": "2026-03-01T12:00:00"}, "timestamp: Input should have timezone info"),
        ("bme280", BME280 | {"timestamp": 1772439300}, "timestamp: should be an ISO 8601 text"),
        ("bme280", BME280 | {"timestamp": "1772439300"}, "timestamp: should be an ISO 8601 text"),
        ("bme280", BME280 | {"metadata": {"generator": "x"}}, "key 'metadata.version' is missing"),
        ("gps", BME280, "key 'vehicle_id' is missing"),
        ("gps", GPS | {"fix": "4d"}, "fix"),
        ("gps", GPS | {"latitude": 90.5}, "latitude"),
        ("gps", GPS | {"heading_deg": 360.0}, "heading_deg"),
        ("traffic", TRAFFIC | {"color_counts": {"white": -2}}, "color_counts.white"),
        ("traffic", TRAFFIC | {"traffic_density_score": 1.2}, "traffic_density_score"),
        ("telematics", TELEMATICS | {"event_id": "5F"}, "event_id"),
        ("telematics", TELEMATICS | {"event_type": "Hard Braking"}, "event_type"),
        ("telematics", SESSION, "event_id"),
        ("people", SESSION | {"event_type": "left"}, "event_type"),
        ("people", SESSION | {"weekday": "Mon"}, "weekday"),
        ("people", SESSION | {"time_slot": "7-9"}, "time_slot"),
        ("people", BME280, "event_type"),
        ("gps", [GPS], "not an object"),
    ],
)
def test_a_broken_payload_is_refused_with_the_field_at_fault(kind: str, payload: object, reason: str) -> None:
    with pytest.raises(ContractError) as refused:
        ACCEPTED[kind].check(payload)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_new_telematics_type_brings_its_own_attributes() -> None:
    message = ACCEPTED["telematics"].check(TELEMATICS | {"event_type": "harsh_accel", "accel_g": 0.4})
    assert message.model_extra == {"accel_g": 0.4}


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(ContractError, match="payload is not JSON"):
        ACCEPTED["gps"].parse(b"{'fix': 1}")


@pytest.mark.parametrize("payload", [{"device_id": "x"}, {}, [1], 5, None])
def test_a_payload_of_no_kind_is_refused(payload: object) -> None:
    with pytest.raises(ContractError):
        kind_of(payload)


def test_an_unknown_kind_is_answered_with_those_there_are() -> None:
    assert contract_of("gps") is ACCEPTED["gps"]
    with pytest.raises(ContractError, match="'sonar' is not one of bme280, traffic, gps, telematics, people"):
        contract_of("sonar")


def test_paths_and_topics_are_distinct() -> None:
    topics = [message.kafka_topic for contract in ACCEPTED.values() for message in contract.messages]
    assert len(set(topics)) == len(topics)
    assert len({contract.http_path for contract in ACCEPTED.values()}) == len(ACCEPTED)


def test_a_single_value_of_another_makers_device_is_none_of_a_kind_with_more() -> None:
    fields = {"device_id": "d", "timestamp": "2026-03-01T12:00:00Z", "boot": 1, "seq": 2, "pressure_hpa": 1014.7}
    source = {"source": {"format": "esphome", "name": "d"}}
    assert kind_of(fields).kind == "bme280"
    assert kind_of(fields | source).kind == "device"
    assert kind_of(fields | source | {"temperature_c": 20.5, "humidity": 50.0}).kind == "bme280"
