"""Things as AWS IoT Core has them: what a shadow wants of them, conflicts of versions, commands, and limits."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from devices.scenario.scenario import Scenario
from edgefleet.doctor import platform_checks
from edgewire.dialects.aws_iot import AWS_LIMITS
from edgewire.dialects.encoder import Publication
from edgewire.dialects.registry import DIALECTS
from tests.dialects.speaking import ONLINE, ask, device_of, format_of, reading_of, said

PUMP = format_of("bme280", "aws-iot")
SHADOW = "$aws/things/porch-07/shadow"
EXECUTIONS = "$aws/commands/things/porch-07/executions"


def body_of(published: Publication) -> Any:
    return orjson.loads(published.payload)


def told(version: int, interval_s: object = 60) -> bytes:
    return orjson.dumps({"state": {"settings": {"interval_s": interval_s}}, "version": version})


def test_a_reading_goes_to_its_topic_or_is_reported_in_the_shadow() -> None:
    row = reading_of("bme280")
    (reading,) = said("bme280", PUMP, row)
    assert reading.topic == "dt/edgefleet/home/porch-07/bme280"
    assert body_of(reading)["timestamp"] == "2026-03-04T12:00:00.000Z"
    reported = format_of("bme280", {"dialect": "aws-iot", "readings": "shadow", "shadow": "air"})
    (reading,) = said("bme280", reported, row)
    assert reading.topic == f"{SHADOW}/name/air/update"
    assert body_of(reading)["state"]["reported"]["temperature_c"] == row["temperature_c"]


def test_a_thing_that_comes_says_what_it_is_and_asks_what_is_desired() -> None:
    update, get = PUMP.status(device_of("bme280"), ONLINE)
    assert body_of(update)["state"]["reported"]["device"]["boot"] == 826_000_000
    assert (get.topic, get.payload) == (f"{SHADOW}/get", b"")
    filters = PUMP.command_topics(device_of("bme280"))
    assert len(filters) <= 8
    without = format_of("bme280", {"dialect": "aws-iot", "commands": False})
    assert [one for one in filters if "commands" in one] == [f"{EXECUTIONS}/+/request/+"]
    assert not [one for one in without.command_topics(device_of("bme280")) if "commands" in one]


def test_what_is_desired_is_done_and_reported_as_it_was_asked_for_at_its_version() -> None:
    request, (update,) = ask("bme280", PUMP, f"{SHADOW}/update/delta", told(15))
    assert (request.action, request.arguments) == ("set_interval", {"interval": "60000ms"})
    assert body_of(update) == {
        "state": {"reported": {"settings": {"interval_s": 60, "error": None}}},
        "clientToken": body_of(update)["clientToken"],
        "version": 15,
    }
    assert len(body_of(update)["clientToken"]) <= 64
    got = orjson.dumps({"state": {"desired": {}, "delta": orjson.loads(told(16))["state"]}, "version": 16})
    assert body_of(ask("bme280", PUMP, f"{SHADOW}/get/accepted", got)[1][0])["version"] == 16
    for nothing in (b'{"state":{"reported":{}},"version":2}', b'{"state":{"delta":{"rpm":1}}}', b"{}"):
        assert ask("bme280", PUMP, f"{SHADOW}/get/accepted", nothing)[1] == []
    assert ask("bme280", PUMP, f"{SHADOW}/update/delta", b"[") == (None, [])


def test_what_is_refused_is_desired_no_longer() -> None:
    _, (update,) = ask("bme280", PUMP, f"{SHADOW}/update/delta", told(15, "soon"), error="'soon' is no duration")
    state = body_of(update)["state"]
    # Else the difference would stay, and come again with each report.
    assert state["desired"] == {"settings": {"interval_s": None}}
    assert state["reported"]["settings"] == {"interval_s": 60.0, "error": "'soon' is no duration"}


def test_after_a_conflict_of_versions_the_shadow_is_asked_for_and_of_those_of_others_nothing_is_done() -> None:
    (update,) = ask("bme280", PUMP, f"{SHADOW}/update/delta", told(15))[1]
    token = body_of(update)["clientToken"]
    rejected = {"code": 409, "message": "Version conflict", "clientToken": token}
    _, (get,) = ask("bme280", PUMP, f"{SHADOW}/update/rejected", orjson.dumps(rejected))
    assert (get.topic, get.payload) == (f"{SHADOW}/get", b"")
    for other in (rejected | {"clientToken": "k2"}, rejected | {"code": 413}):
        assert ask("bme280", PUMP, f"{SHADOW}/update/rejected", orjson.dumps(other)) == (None, [])


def test_a_command_is_answered_for_its_execution() -> None:
    asked = b'{"method":"set_interval","params":{"interval_s":60}}'
    request, (answer,) = ask("bme280", PUMP, f"{EXECUTIONS}/e1/request/json", asked)
    assert request.action == "set_interval"
    assert (answer.topic, body_of(answer)) == (f"{EXECUTIONS}/e1/response/json", {"status": "SUCCEEDED"})
    _, (answer,) = ask("bme280", PUMP, f"{EXECUTIONS}/e1/request/json", asked, error="out of range")
    assert body_of(answer)["statusReason"]["reasonDescription"] == "out of range"
    for payload, form in ((b'{"method":"fly"}', "json"), (b"\xa1", "cbor"), (b"[", "json")):
        request, (answer,) = ask("bme280", PUMP, f"{EXECUTIONS}/e2/request/{form}", payload)
        assert (request.action, body_of(answer)["status"]) == ("", "REJECTED")


GROUP: dict[str, Any] = {"kind": "bme280", "count": 2, "dialect": "aws-iot", "interval": "10s"}


@pytest.mark.parametrize(
    ("group", "scenario", "said"),
    [
        ({"qos": 2}, {}, "AWS IoT Core has no QoS 2"),
        ({}, {"keep_alive": "20s"}, "20 s is not what AWS IoT Core takes: write one from 30s to 1200s"),
        ({}, {"keep_alive": "21m"}, "1260 s is not what AWS IoT Core takes"),
        ({}, {"time_scale": 2000}, "would publish 200 messages a second"),
        ({"dialect": {"dialect": "aws-iot", "topic": "a/b/c/d/e/f/g/h/{id}"}}, {}, "has 9 levels"),
        ({"dialect": {"dialect": "aws-iot", "topic": "{id}/" + "x" * 250}}, {}, "bytes, and AWS IoT Core takes 256"),
        ({"ids": ["a", "b"], "client_ids": ["a", "b" * 129]}, {}, "is longer than the 128 bytes"),
        ({"dialect": {"dialect": "aws-iot", "topic": "plant/telemetry"}}, {}, "a topic with {id} in it"),
        ({"dialect": {"dialect": "aws-iot", "shadow": "a/b"}}, {}, "up to 64 letters"),
    ],
)
def test_what_aws_iot_does_not_take_is_refused_before_a_run(
    group: dict[str, Any], scenario: dict[str, Any], said: str
) -> None:
    changed = GROUP | group
    if "ids" in group:
        del changed["count"]
    with pytest.raises(ValidationError, match=said):
        Scenario.model_validate({"devices": [changed]} | scenario)


def test_the_doctor_compares_with_the_limits_what_options_have_changed() -> None:
    fine = Scenario.model_validate({"devices": [GROUP]})
    assert [(one.name, one.verdict) for one in platform_checks(fine)] == [("bme280 at AWS IoT Core, limits", "ok")]
    hasty = fine.model_copy(update={"time_scale": 2000.0, "broker": "mqtts://x.iot.eu-west-1.amazonaws.com:443"})
    found = {one.name: one for one in platform_checks(hasty)}
    assert found["bme280 at AWS IoT Core, messages a second"].verdict == "failure"
    assert found["broker x.iot.eu-west-1.amazonaws.com:443, ALPN"].fix.startswith("alpn: [x-amzn-mqtt-ca]")
    assert not [*platform_checks(Scenario.model_validate({"devices": [GROUP | {"dialect": "senml"}]}))]


def test_a_rule_of_basic_ingest_does_not_count_as_levels() -> None:
    assert not [*AWS_LIMITS.topic_faults("$aws/rules/store/a/b/c/d/e/f/g/h")]
    assert [*AWS_LIMITS.topic_faults("$aws/rules/store/a/b/c/d/e/f/g/h/i")]
    assert DIALECTS["aws-iot"].limits is AWS_LIMITS
