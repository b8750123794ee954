"""Values with schemas: wire format, registries that are away or refuse, and messages that do not fit."""

import asyncio
import re
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
from aiohttp import web
from confluent_kafka import Consumer, TopicPartition
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import NotConnected, Rejected, Retry, Scope
from bridge.sinks.kafka.avro_codec import AvroCodec
from bridge.sinks.kafka.config import KafkaSinkConfig
from bridge.sinks.kafka.protobuf_codec import ProtobufCodec, file_of
from bridge.sinks.kafka.schema_registry import SchemaRegistry
from bridge.sinks.kafka.schema_values import UnfitMessage, UnusableSchema
from bridge.sinks.kafka.sink import KafkaSink
from bridge.sinks.kafka.value_config import SchemaRegistryConfig, ValueConfig
from bridge.sinks.kafka.values import ValueWriter
from bridge.spool.message import SpooledMessage
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgefleet.provision.authority import Authority
from edgewire.clock import SystemClock, parse_ms
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.messages import CONTRACT, kind_of
from edgewire.messages.avro import avro_schema
from edgewire.messages.protobuf import proto_message, proto_text
from tests.protoc import compile_proto
from tests.services.schema_registry import ScriptedRegistry, scripted_registry

KINDS = [(kind, message.model.__name__) for kind, one in CONTRACT.items() for message in one.messages]


def example(kind: str, name: str) -> dict[str, Any]:
    return next(one.examples[0] for one in CONTRACT[kind].messages if one.model.__name__ == name)


def reading(**changed: Any) -> dict[str, Any]:
    fields = example("bme280", "Bme280Reading") | changed
    return {name: value for name, value in fields.items() if value is not ...}


def table_of(topic: str = "t", **value: Any) -> RouteTable:
    return RouteTable([RouteConfig(topic="#", kafka={"topic": topic, "value": {"format": "avro", **value}})])


def event(table: RouteTable, fields: dict[str, Any], kind: str = "bme280", number: int = 1) -> RoutedEvent:
    event_type = fields.get("event_type")
    contract = CONTRACT[kind]
    channel = next(
        one.channel.value for one in contract.messages if not one.event_types or event_type in one.event_types
    )
    topic = f"edge/site/{kind}/{fields['device_id']}/{channel}"
    found = table.resolve(SpooledMessage(number, 1000, topic, orjson.dumps(fields), 1, False, False))
    assert isinstance(found, RoutedEvent), found
    return found


class Writing:
    """A writer before a registry, and its answers for batches."""

    def __init__(self, registry: ScriptedRegistry, **settings: Any) -> None:
        config = KafkaSinkConfig(
            schema_registry={"url": registry.url, **settings},  # type: ignore[arg-type]
            retry={"base": "1ms"},  # type: ignore[arg-type]
        )
        assert config.schema_registry is not None
        self.writer = ValueWriter(config, SchemaRegistry(config.schema_registry), SystemClock())

    async def __aenter__(self) -> "Writing":
        self.writer.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.writer.close()

    async def write(self, *batch: RoutedEvent, topic: str = "t") -> tuple[list[bytes | None], dict[int, Any]]:
        return await self.writer.write_values(batch, [topic] * len(batch))


def read_avro(value: bytes | None, registry: ScriptedRegistry) -> Any:
    assert value is not None
    assert value[0] == 0
    number = int.from_bytes(value[1:5], "big")
    [text] = {text for found in registry.subjects.values() for one, _, text in found if one == number}
    rest = BytesIO(value[5:])
    found = fastavro.schemaless_reader(rest, fastavro.parse_schema(orjson.loads(text)), None)
    assert not rest.read()
    return found


def in_json(value: Any) -> Any:
    """A value that a reader of Avro gives, as JSON has it."""
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_UTC_Z).replace(b"+00:00", b"Z"))


def moments(value: Any) -> Any:
    """JSON in which instants have one form, and what is null is left out."""
    if isinstance(value, dict):
        return {name: moments(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, str) and value.endswith("Z") and value[4:5] == "-":
        head, _, fraction = value.removesuffix("Z").partition(".")
        return f"{head}.{fraction:0<6}Z"
    return [moments(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("kind", "name"), KINDS)
async def test_each_message_of_the_contract_is_read_back_from_avro(kind: str, name: str) -> None:
    async with scripted_registry() as registry, Writing(registry) as writing:
        fields = example(kind, name)
        values, failures = await writing.write(event(table_of(), fields, kind))
        assert not failures
        assert moments(in_json(read_avro(values[0], registry))) == moments(fields)
        assert list(registry.subjects) == ["t-value"]


@pytest.mark.parametrize(("kind", "name"), KINDS)
async def test_each_message_of_the_contract_is_read_back_from_protobuf(kind: str, name: str, tmp_path: Path) -> None:
    async with scripted_registry() as registry, Writing(registry) as writing:
        fields = example(kind, name)
        values, failures = await writing.write(event(table_of(format="protobuf"), fields, kind))
        assert not failures
        [(number, schema_type, text)] = registry.subjects["t-value"]
        value = values[0]
        assert value is not None
        assert (schema_type, value[:6]) == ("PROTOBUF", b"\0" + number.to_bytes(4, "big") + b"\0")
        # The compiler of Protobuf reads what was registered, and its message what was written.
        file, made = compile_proto(text, tmp_path)
        [message] = file.message_type
        read = made(f"edgefleet.{message.name}").FromString(value[6:])
        assert read.SerializeToString(deterministic=True)
        options: Any = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        found = moments(numbers(MessageToDict(read, **options), fields))
        # An empty list or map is not told from none.
        assert {name: value for name, value in found.items() if value not in ([], {})} == {
            name: value for name, value in moments(fields).items() if value not in ([], {})
        }


def numbers(found: Any, fields: Any) -> Any:
    """JSON of Protobuf, whose 64-bit numbers are texts, with numbers where `fields` has them."""
    if isinstance(found, dict):
        return {name: numbers(inner, fields.get(name)) for name, inner in found.items()}
    return int(found) if isinstance(found, str) and type(fields) is int else found


@pytest.mark.parametrize("name", [name for _, name in KINDS])
def test_the_descriptor_is_what_the_compiler_of_protobuf_makes_of_the_text(name: str, tmp_path: Path) -> None:
    message = next(one for kind in CONTRACT.values() for one in kind.messages if one.model.__name__ == name)
    described = proto_message(message)
    compiled, _ = compile_proto(proto_text(described), tmp_path)
    ours = file_of(described)
    for file in (compiled, ours):
        file.name = ""
        names_cleared(file)
    assert ours == compiled


def names_cleared(file: FileDescriptorProto) -> None:
    """Take away what the compiler adds, and everybody else finds by the names of the fields."""
    waiting = list(file.message_type)
    while waiting:
        message = waiting.pop()
        waiting += message.nested_type
        # The order of the messages inside another means nothing.
        message.nested_type.sort(key=lambda one: one.name)
        for field in message.field:
            field.ClearField("json_name")


async def test_the_registry_is_asked_once_for_each_subject() -> None:
    table = table_of(subject="topic_record")
    async with scripted_registry() as registry, Writing(registry) as writing:
        for number in range(3):
            batch = [event(table, example(kind, name), kind, number) for kind, name in KINDS]
            values, failures = await writing.write(*batch)
            assert not failures
            assert len({value[:5] for value in values if value}) == len(KINDS)
        assert sorted(registry.requests) == sorted(f"POST /subjects/t-edgefleet.{name}/versions" for _, name in KINDS)


async def test_the_subject_may_be_the_record_alone() -> None:
    async with scripted_registry() as registry, Writing(registry) as writing:
        await writing.write(event(table_of(subject="record"), reading()), topic="somewhere.else")
        assert list(registry.subjects) == ["edgefleet.Bme280Reading"]


@pytest.mark.parametrize("form", ["avro", "protobuf"])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"temperature_c": "warm"}, 'temperature_c is "warm", and its schema has a number there'),
        ({"temperature_c": True}, "temperature_c is true"),
        ({"humidity": ...}, "there is no humidity"),
        ({"timestamp": "2026-03-01T12:00:00"}, "written with an offset"),
        ({"timestamp": "noon"}, 'timestamp is "noon", and its schema has an instant there'),
        ({"charge": 3}, "its schema has no charge"),
        ({"metadata": [1]}, "metadata is [1], and its schema has an object there"),
        ({"metadata": {"generator": 5}}, "metadata.generator is 5"),
    ],
)
async def test_a_message_that_does_not_fit_is_told_by_its_field_and_costs_no_other(
    form: str, changed: dict[str, Any], said: str
) -> None:
    table = table_of(format=form)
    async with scripted_registry() as registry, Writing(registry) as writing:
        batch = [event(table, reading(seq=1)), event(table, reading(**changed)), event(table, reading(seq=3))]
        values, failures = await writing.write(*batch)
        assert list(failures) == [1]
        assert isinstance(failures[1], Rejected)
        assert said in failures[1].reason
        assert form in failures[1].reason
        assert [value is None for value in values] == [False, True, False]


@pytest.mark.parametrize("form", ["avro", "protobuf"])
async def test_a_field_beyond_the_schema_may_be_dropped(form: str) -> None:
    table = table_of(format=form, unknown_fields="drop")
    async with scripted_registry() as registry, Writing(registry) as writing:
        plain, _ = await writing.write(event(table, reading()))
        values, failures = await writing.write(event(table, reading(charge=3)))
        assert not failures
        assert values == plain


async def test_while_the_registry_is_away_all_wait_and_after_that_none_is_lost() -> None:
    table = table_of()
    async with scripted_registry() as registry, Writing(registry) as writing:
        registry.answers = [web.Response(status=503, text="busy"), web.Response(text="hello")]
        batch = [event(table, reading(device_id=f"d{number}"), number=number) for number in range(4)]
        values, failures = await writing.write(*batch)
        assert values == [None] * 4
        assert list(failures) == [0, 1, 2, 3]
        assert isinstance(failures[0], Retry)
        assert (failures[0].scope, failures[0].needs_operator) == (Scope.QUEUE, False)
        assert failures[0].reason == f"schema registry {registry.url} answers 503"
        _, failures = await writing.write(*batch)
        assert "no JSON that could be read" in failures[0].reason
        values, failures = await writing.write(*batch)
        assert not failures
        assert all(values)


async def test_a_registry_that_nobody_serves_is_for_later() -> None:
    registry = ScriptedRegistry(url="http://127.0.0.1:1")
    async with Writing(registry, timeout="500ms") as writing:
        _, failures = await writing.write(event(table_of(), reading()))
        assert failures[0].reason.startswith("schema registry http://127.0.0.1:1 cannot be reached")
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await writing.writer.probe()
    with pytest.raises(NotConnected):
        await writing.write(event(table_of(), reading()))


async def test_a_schema_that_is_refused_holds_back_its_devices_and_no_other_schema() -> None:
    table = table_of(subject="record")
    async with scripted_registry() as registry, Writing(registry) as writing:
        registry.refused["edgefleet.FootTrafficSession"] = 409, "Schema being registered is incompatible"
        session, count = example("people", "FootTrafficSession"), example("people", "FootTrafficCount")
        batch = [
            event(table, count, "people", 1),
            event(table, session, "people", 2),
            event(table, count | {"seq": 42}, "people", 3),
            event(table, count | {"device_id": "other"}, "people", 4),
        ]
        values, failures = await writing.write(*batch)
        assert list(failures) == [1, 2]  # what is behind it waits too
        assert [value is None for value in values] == [False, True, True, False]
        failure = failures[1]
        assert isinstance(failure, Retry)
        assert (failure.scope, failure.needs_operator) == (Scope.DEVICE, True)
        assert "409 for subject edgefleet.FootTrafficSession: Schema being registered is incompatible" in failure.reason
        assert "compatibility" in failure.reason
        asked = len(registry.requests)
        await writing.write(*batch)
        assert len(registry.requests) <= asked + 1
        registry.refused.clear()
        await asyncio.sleep(0.002)
        _, failures = await writing.write(*batch)
        assert not failures


LATEST: dict[str, Any] = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "device_id", "type": "string"},
        {"name": "trace", "type": ["null", {"type": "string", "logicalType": "uuid"}], "default": None},
        {"name": "temperature_c", "type": ["null", "float"]},
        {"name": "seq", "type": "int"},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["ok", "bad"]}, "default": "ok"},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "again", "type": ["null", "Row"], "default": None},
    ],
}


async def test_the_latest_version_is_used_where_the_bridge_does_not_register() -> None:
    table = table_of(format="avro", auto_register=False, unknown_fields="drop")
    async with scripted_registry() as registry, Writing(registry) as writing:
        one = event(table, reading(temperature_c=21.5, seq=7))
        _, failures = await writing.write(one)
        assert "answers 404 for subject t-value: Subject 't-value' not found." in failures[0].reason
        assert "auto_register: true" in failures[0].reason
        registry.add("t-value", "AVRO", orjson.dumps(LATEST).decode())
        await asyncio.sleep(0.002)
        values, failures = await writing.write(
            one, event(table, reading(seq=1 << 40)), event(table, reading(trace="x"))
        )
        row = read_avro(values[0], registry)
        assert (row["temperature_c"], row["seq"], row["state"], row["again"]) == (21.5, 7, "ok", None)
        assert row["timestamp"].isoformat() == "2026-03-02T08:15:00+00:00"
        assert "seq is 1099511627776" in failures[1].reason
        assert 'trace is "x", and its schema has a UUID there' in failures[2].reason
        assert [one for one in registry.requests if one.startswith("POST")] == []


async def test_the_latest_version_of_protobuf_is_asked_for_as_a_descriptor(tmp_path: Path) -> None:
    text = """
        syntax = "proto3";
        package plant;
        import "google/protobuf/timestamp.proto";
        enum State { UNKNOWN = 0; OK = 1; }
        message Row {
          string device_id = 1; float temperature_c = 2; uint32 seq = 3; google.protobuf.Timestamp timestamp = 4;
          repeated State states = 5; map<string, Row> rows = 6; repeated google.protobuf.Timestamp times = 7;
        }
    """
    file, made = compile_proto(text, tmp_path)
    table = table_of(format="protobuf", auto_register=False, unknown_fields="drop")
    inner = {"device_id": "b", "temperature_c": 1, "seq": 2}
    more = {"states": ["OK"], "rows": {"x": inner}, "times": ["2026-03-02T08:15:00.5Z"]}
    async with scripted_registry() as registry, Writing(registry) as writing:
        registry.add("t-value", "PROTOBUF", text)
        one = event(table, reading(seq=7, **more))
        _, failures = await writing.write(one)
        assert "a descriptor (format=serialized) is needed" in failures[0].reason
        registry.serialized["t-value"] = file.SerializeToString()
        await asyncio.sleep(0.002)
        values, failures = await writing.write(one, event(table, reading(states=["BROKEN"])))
        assert values[0] is not None
        read: Any = made("plant.Row").FromString(values[0][6:])
        assert (read.seq, list(read.states), read.rows["x"].seq, read.times[0].nanos) == (7, [1], 2, 500_000_000)
        assert 'states.0 is "BROKEN", and its schema has one of UNKNOWN, OK there' in failures[1].reason


@pytest.mark.parametrize(
    ("schema_type", "text", "said"),
    [
        ("PROTOBUF", "syntax", "it is of PROTOBUF, and the route says avro"),
        ("AVRO", "{", "it is no schema of Avro"),
        ("AVRO", '"string"', "it is no record"),
        ("AVRO", '{"type": "record", "name": "r", "fields": [{"name": "a", "type": "bytes"}]}', "the type bytes"),
        ("AVRO", '{"type": "record", "name": "r", "fields": [{"name": "a", "type": "Other"}]}', "no schema of Avro"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_for_a_person(schema_type: str, text: str, said: str) -> None:
    table = table_of(format="avro", auto_register=False)
    async with scripted_registry() as registry, Writing(registry) as writing:
        registry.add("t-value", schema_type, text)
        _, failures = await writing.write(event(table, reading()))
        assert isinstance(failures[0], Retry)
        assert failures[0].needs_operator
        assert "the schema of subject t-value cannot be used" in failures[0].reason
        assert said in failures[0].reason


async def test_a_kind_without_a_schema_is_a_dead_letter_that_says_what_to_do() -> None:
    table = table_of()
    async with scripted_registry() as registry, Writing(registry) as writing:
        fields = reading() | {"source": {"format": "own", "name": "a"}}
        topic = "edge/site/device/bme280-0001/telemetry"
        found = table.resolve(
            SpooledMessage(1, 1, topic, orjson.dumps(fields | {"device_id": "bme280-0001"}), 1, False, False)
        )
        assert isinstance(found, RoutedEvent)
        _, failures = await writing.write(found)
        assert "messages of kind 'device' have no schema of their own: register one for 't'" in failures[0].reason
        assert not registry.requests


async def test_credentials_are_sent_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("open-sesame\n")
    async with scripted_registry() as registry:
        registry.authorization = "Basic YnJpZGdlOm9wZW4tc2VzYW1l"
        async with Writing(registry, username="bridge", password_file=secret) as writing:
            values, _ = await writing.write(event(table_of(), reading()))
            assert values[0]
            registry.authorization = "Bearer another"
            table = table_of()
            _, failures = await writing.write(event(table, reading()), topic="u")
        assert (failures[0].scope, failures[0].needs_operator) == (Scope.QUEUE, True)
        assert "answers 401" in failures[0].reason
        assert "YnJpZGdl" not in failures[0].reason
        assert "open-sesame" not in failures[0].reason
    with pytest.raises(ValidationError) as refused:
        SchemaRegistryConfig(url="http://bridge:open-sesame@registry:8081")
    assert "a user in the URL is not sent" in str(refused.value)
    assert "'http://***@registry:8081'" in str(refused.value)


async def test_a_registry_with_tls_is_asked_by_who_is_trusted(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = Authority.open(tmp_path, now)
    (tmp_path / "server.pem").write_bytes(authority.issue_server(["127.0.0.1"], now, 2))
    (tmp_path / "device.pem").write_bytes(authority.issue_server(["bridge"], now, 2))
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.crt")
    served.load_cert_chain(tmp_path / "server.pem")
    async with scripted_registry(served) as registry:
        async with Writing(registry, ca_file=tmp_path / "ca.crt") as writing:
            values, failures = await writing.write(event(table_of(), reading()))
            assert not failures
            assert values[0]
        async with Writing(registry) as writing:
            _, failures = await writing.write(event(table_of(), reading()))
            assert failures[0].needs_operator
            assert "kafka.schema_registry.ca_file" in failures[0].reason
        with pytest.raises(ConfigError, match=r"kafka.schema_registry.ca_file .* cannot be read"):
            Writing(registry, ca_file=tmp_path / "nothing").writer.open()
        with pytest.raises(ConfigError, match=r"kafka.schema_registry.certificate .* cannot be used"):
            Writing(registry, certificate=tmp_path / "ca.crt").writer.open()


def test_what_cannot_work_is_refused_with_the_configuration() -> None:
    targets: Sequence[Any] = table_of().targets_in("kafka")
    with pytest.raises(ConfigError, match=r"kafka.schema_registry is missing"):
        KafkaSink(KafkaSinkConfig(), targets, "b")
    config = KafkaSinkConfig(schema_registry="http://127.0.0.1:1")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"all values are JSON: write kafka.value: avro"):
        KafkaSink(config, RouteTable().targets_in("kafka"), "b")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="JSON has no schema"):
        ValueConfig.model_validate({"format": "json", "auto_register": False})


@pytest.mark.slow
@pytest.mark.parametrize("form", ["avro", "protobuf"])
async def test_a_record_has_the_value_of_its_schema_and_says_so(cluster: str, form: str) -> None:
    topic = f"test.values.{form}"
    table = table_of(topic, format=form)
    async with scripted_registry() as registry:
        config = KafkaSinkConfig(bootstrap_servers=cluster, schema_registry=registry.url)  # type: ignore[arg-type]
        tried = KafkaSink(config, table.targets_in("kafka"), "b")  # type: ignore[arg-type]
        await tried.connect()
        registry.answers = [web.Response(status=500)]
        batch = [event(table, reading(seq=number)) for number in range(3)]
        batch.insert(1, event(table, reading(humidity="wet")))
        first = await tried.write(topic, batch)
        assert {type(failure) for failure in first.values()} == {Retry}
        assert len(first) == 4
        failures = await tried.write(topic, batch)
        assert list(failures) == [1]
        assert tried.preview(batch[0])["value"] == {"format": form, "subject": f"{topic}-value"}
        assert await tried.probe()
        await tried.close()
        read = await asyncio.to_thread(read_values, cluster, topic)
        assert [value[:5] for value, _ in read] == [b"\0\0\0\0\1"] * 3
        assert [headers["content-type"] for _, headers in read] == [f"application/{form}".encode()] * 3
        assert [headers["ce_id"].decode().split(":")[2] for _, headers in read] == ["0", "1", "2"]


def read_values(cluster: str, topic: str) -> list[tuple[bytes, dict[str, bytes]]]:
    consumer = Consumer({"bootstrap.servers": cluster, "group.id": "t", "log_level": 0, "enable.partition.eof": True})
    try:
        parts = [
            TopicPartition(topic, number, 0)
            for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ]
        consumer.assign(parts)
        found: list[tuple[bytes, dict[str, bytes]]] = []
        ended = 0
        while ended < len(parts):
            got = consumer.poll(10)
            assert got is not None
            if got.error():
                ended += 1
            else:
                found.append((got.value(), dict(got.headers())))
        return found
    finally:
        consumer.close()


# -- laws


@pytest.mark.slow
def test_every_message_that_is_emulated_fits() -> None:
    groups: list[dict[str, Any]] = [{"kind": kind, "count": 3, "interval": "60s"} for kind in CONTRACT]
    groups[2]["settings"] = {"context": True}
    faults = [{"type": "gps_loss", "kind": "gps", "rate": "12/day", "duration": "5m..15m"}]
    begin = parse_ms("2026-03-02T10:30:00Z")
    timeline = Timeline(Scenario.model_validate({"seed": 3, "devices": groups, "faults": faults}), begin)
    codecs = {
        one.model.__name__: (
            AvroCodec(orjson.dumps(avro_schema(one)).decode(), drops_unknown=False),
            ProtobufCodec(file_of(proto_message(one)), drops_unknown=False),
        )
        for contract in CONTRACT.values()
        for one in contract.messages
    }
    seen = set()
    for payload in timeline.batch(begin, begin + 3_600_000).payload:
        fields = orjson.loads(payload)
        name = next(
            one.model.__name__
            for one in kind_of(fields).messages
            if not one.event_types or fields["event_type"] in one.event_types
        )
        assert all(codec.encode(fields) for codec in codecs[name])
        seen.add(name)
    assert seen == codecs.keys()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.just("2026-03-01T12:00:00.123456Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
ANY_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Any",
    "fields": [
        {"name": "a", "type": ["null", "long", "double", {"type": "array", "items": ["null", "string"]}]},
        {"name": "b", "type": ["null", {"type": "map", "values": ["boolean", "Any"]}, "int"], "default": None},
        {"name": "c", "type": [{"type": "long", "logicalType": "timestamp-micros"}, "string", "float", "null"]},
    ],
}


INNER = {"type": "record", "name": "inner", "fields": [{"name": "n", "type": "int", "default": 1}]}
DEFAULT_TYPES: list[Any] = [
    "null", "boolean", "int", "long", "float", "double", "string", ["null", "int"], ["int", "null"], INNER,
    {"type": "array", "items": "int"}, {"type": "map", "values": "long"}, ["null", {"type": "map", "values": "long"}],
    {"type": "enum", "name": "colour", "symbols": ["red", "blue"]}, {"type": "long", "logicalType": "timestamp-millis"},
    ["null", INNER], {"type": "array", "items": INNER},
]  # fmt: skip
DEFAULTS: list[Any] = [
    None, True, 0, 1 << 40, (1 << 64) - 1, 1.5, 1e300, "red", "none", [], [1], ["a"], [{}], {}, {"n": 2}, {"n": "a"},
    {"a": 1}, {"a": None}, {"n": 1 << 40},
]  # fmt: skip


@pytest.mark.parametrize("of_type", DEFAULT_TYPES, ids=str)
def test_a_default_that_is_not_of_its_type_is_a_matter_of_the_schema(of_type: Any) -> None:
    """What is taken can be written, and each type takes one of these and refuses others."""
    taken = 0
    for default in DEFAULTS:
        field = {"name": "b", "type": of_type, "default": default}
        schema = orjson.dumps({"type": "record", "name": "a", "fields": [field]}).decode()
        try:
            codec = AvroCodec(schema, drops_unknown=False)
        except UnusableSchema:
            continue
        codec.encode({})
        taken += 1
    assert 0 < taken < len(DEFAULTS) - 5


@pytest.mark.parametrize(
    ("of_type", "said"),
    [
        ([], "the union []: one needs types"),
        ([["null", "int"]], "none is a union"),
        ({"type": "enum", "name": "e", "symbols": "red"}, 'the symbols of e are "red", and no list'),
        (
            {"type": "long", "logicalType": ["timestamp-millis"]},
            'the logical type ["timestamp-millis"], which is no text',
        ),
    ],
    ids=str,
)
def test_a_type_that_the_parser_takes_and_avro_has_not_is_refused(of_type: Any, said: str) -> None:
    schema = {"type": "record", "name": "a", "fields": [{"name": "b", "type": of_type}]}
    with pytest.raises(UnusableSchema, match=re.escape(said)):
        AvroCodec(orjson.dumps(schema).decode(), drops_unknown=False)


def test_a_default_of_a_record_that_lacks_a_field_is_told() -> None:
    inner = {"type": "record", "name": "inner", "fields": [{"name": "n", "type": "int"}]}
    schema = {"type": "record", "name": "a", "fields": [{"name": "b", "type": inner, "default": {}}]}
    with pytest.raises(UnusableSchema, match=re.escape("the default of a.b is {}, which its type is not")):
        AvroCodec(orjson.dumps(schema).decode(), drops_unknown=False)


@given(st.dictionaries(st.sampled_from("abcd"), JSON_VALUES))
def test_what_avro_takes_it_gives_back_and_all_else_is_told(fields: dict[str, Any]) -> None:
    schema = fastavro.parse_schema(ANY_SCHEMA)
    codec = AvroCodec(orjson.dumps(ANY_SCHEMA).decode(), drops_unknown=False)
    with suppress(UnfitMessage):
        read: Any = fastavro.schemaless_reader(BytesIO(codec.encode(fields)), schema, None)
        assert alike(read, fields)
        assert "d" not in fields


def alike(read: Any, said: Any) -> bool:
    if isinstance(said, dict):
        return all(alike(inner, said.get(name)) for name, inner in read.items())
    if isinstance(said, list):
        return all(map(alike, read, said)) and len(read) == len(said)
    if isinstance(read, datetime):
        return read == datetime.fromisoformat(said)
    if type(read) is float:
        return read in (said, float(said)) or read == struct.unpack("f", struct.pack("f", said))[0]
    return bool(read == said)


@given(st.dictionaries(st.sampled_from(["device_id", "timestamp", "boot", "seq", "metadata", "charge"]), JSON_VALUES))
def test_what_protobuf_does_not_take_is_told(changed: dict[str, Any]) -> None:
    described = proto_message(CONTRACT["bme280"].messages[0])
    codec = ProtobufCodec(file_of(described), drops_unknown=False)
    with suppress(UnfitMessage):
        assert codec.encode(reading() | changed)[:1] == b"\0"
        assert "charge" not in changed
