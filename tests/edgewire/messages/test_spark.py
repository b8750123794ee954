"""The schemas for Spark: of the form that Spark reads, and every message of every kind fits its own."""

import re
from datetime import datetime
from typing import Any

import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.messages import CONTRACT, kind_of
from edgewire.messages.cloudevents import event_source, event_type, topic_headers
from edgewire.messages.spark import HEADERS, ddl, kafka_record, spark_schemas, spark_struct
from edgewire.messages.topics import Topic

SCHEMAS = spark_schemas()
ATOMS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "long": int,
    "double": (int, float),
    "binary": bytes,
    "integer": int,
}


def misfits(value: object, data_type: Any, at: str) -> list[str]:
    """What of a JSON value Spark would read as null, or leave out, by this type."""
    if data_type == "timestamp":
        # What Spark's default pattern reads, yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX], and Python's too.
        good = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value)
        return [] if good and datetime.fromisoformat(str(value)) else [f"{at}: {value!r} is no time"]
    if isinstance(data_type, str):
        good = isinstance(value, ATOMS[data_type]) and isinstance(value, bool) == (data_type == "boolean")
        return [] if good else [f"{at}: {value!r} is no {data_type}"]
    if data_type["type"] == "array":
        assert isinstance(value, list)
        return [one for item in value for one in misfits(item, data_type["elementType"], f"{at}[]")]
    assert isinstance(value, dict)
    if data_type["type"] == "map":
        return [one for item in value.values() for one in misfits(item, data_type["valueType"], f"{at}{{}}")]
    fields = {field["name"]: field for field in data_type["fields"]}
    found = [f"{at}.{name} has no field" for name in value.keys() - fields.keys()]
    for name, field in fields.items():
        if value.get(name) is not None:
            found += misfits(value[name], field["type"], f"{at}.{name}")
        elif not field["nullable"]:
            found.append(f"{at}.{name} is null")
    return found


def test_every_topic_of_the_contract_has_a_schema() -> None:
    topics = [message.kafka_topic for contract in CONTRACT.values() for message in contract.messages]
    assert list(SCHEMAS) == topics
    assert len(set(topics)) == len(topics)


@pytest.mark.parametrize("topic", SCHEMAS)
def test_examples_fit(topic: str) -> None:
    (message,) = [one for contract in CONTRACT.values() for one in contract.messages if one.kafka_topic == topic]
    assert [one for example in message.examples for one in misfits(example, spark_struct(message), "")] == []


def test_every_message_of_every_kind_fits() -> None:
    groups = [{"kind": kind, "count": 5, "interval": "60s"} for kind in CONTRACT]
    groups[2]["settings"] = {"context": True}
    faults = [{"type": "gps_loss", "kind": "gps", "rate": "12/day", "duration": "5m..15m"}]
    scenario = Scenario.model_validate({"seed": 3, "devices": groups, "faults": faults})
    begin = parse_ms("2026-03-02T10:30:00Z")
    batch = Timeline(scenario, begin).batch(begin, begin + 2 * 3_600_000)
    seen: dict[str, int] = {}
    for payload in batch.payload:
        fields = orjson.loads(payload)
        contract = kind_of(fields)
        topic = next(
            one.kafka_topic
            for one in contract.messages
            if not one.event_types or fields["event_type"] in one.event_types
        )
        assert misfits(fields, SCHEMAS[topic]["struct"], "") == []
        seen[topic] = seen.get(topic, 0) + 1
    assert seen.keys() == SCHEMAS.keys()


def test_a_message_that_does_not_fit_is_seen() -> None:
    struct = SCHEMAS["sensors.bme280"]["struct"]
    example = CONTRACT["bme280"].messages[0].examples[0]
    for wrong in (
        {"seq": "1"},
        {"humidity": None},
        {"timestamp": "yesterday"},
        {"metadata": {"version": "1"}},
        {"x": 1},
    ):
        assert misfits(example | wrong, struct, ""), wrong


def test_ddl_says_what_the_struct_says() -> None:
    assert SCHEMAS["traffic_events"]["ddl"].startswith("`device_id` STRING NOT NULL, `timestamp` TIMESTAMP NOT NULL, ")
    assert "`color_counts` MAP<STRING, BIGINT> NOT NULL, " in SCHEMAS["traffic_events"]["ddl"]
    assert "`metadata` STRUCT<`generator`: STRING NOT NULL, " in SCHEMAS["sensors.bme280"]["ddl"]
    assert ddl(kafka_record()).endswith("`headers` ARRAY<STRUCT<`key`: STRING NOT NULL, `value`: BINARY>>")
    for schema in SCHEMAS.values():
        assert [re.split("[` ]", part)[1] for part in re.split(r", (?![^<]*>)", schema["ddl"])] == [
            field["name"] for field in schema["struct"]["fields"]
        ]


def test_the_headers_are_those_of_the_bridge() -> None:
    topic = Topic.parse("edge/hq/gps/g1/telemetry")
    assert event_source(topic) == HEADERS["ce_source"].format(site="hq", kind="gps", device_id="g1").strip("`")
    assert event_type(topic) == HEADERS["ce_type"].format(kind="gps", channel="telemetry").strip("`")
    assert HEADERS.keys() - {"ce_id", "ce_time"} <= {name for name, _ in topic_headers("source", "type")}
