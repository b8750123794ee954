"""Values with schemas against a real registry and a real Kafka."""

import asyncio
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
import requests

from bridge.sinks.base import Retry
from bridge.sinks.kafka.config import KafkaSinkConfig
from bridge.sinks.kafka.sink import KafkaSink
from edgewire.errors import ServiceUnavailable
from edgewire.messages import CONTRACT
from tests.bridge.sinks.kafka.test_values import event, example, read_values, reading, table_of
from tests.protoc import compile_proto
from tests.services.apicurio import ApicurioProcess
from tests.services.fixtures import unavailable

pytestmark = [pytest.mark.services, pytest.mark.long]


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    try:
        process = ApicurioProcess()
    except ServiceUnavailable as error:
        unavailable(str(error))
    with process:
        yield process.url


async def written(kafka: str, registry: str, topic: str, form: str) -> list[tuple[bytes, dict[str, bytes]]]:
    table = table_of(topic, format=form, subject="topic_record")
    config = KafkaSinkConfig(bootstrap_servers=kafka, schema_registry=registry)  # type: ignore[arg-type]
    tried = KafkaSink(config, table.targets_in("kafka"), "b")  # type: ignore[arg-type]
    await tried.connect()
    batch = [
        event(table, example(kind, one.model.__name__), kind)
        for kind, contract in CONTRACT.items()
        for one in contract.messages
    ]
    failures = await tried.write(topic, [*batch, event(table, reading(humidity="wet"))])
    assert list(failures) == [len(batch)]
    assert "schema registry" in await tried.probe()
    await tried.close()
    found = await asyncio.to_thread(read_values, kafka, topic)
    assert len(found) == len(batch)
    return found


def send(method: str, url: str, document: dict[str, Any]) -> None:
    requests.request(method, url, json=document, timeout=10).raise_for_status()


def schema_of(registry: str, value: bytes) -> dict[str, Any]:
    answer = requests.get(f"{registry}/schemas/ids/{int.from_bytes(value[1:5], 'big')}", timeout=10)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.timeout(300)
async def test_what_is_written_is_read_by_the_schema_of_its_id(kafka: str, registry: str, tmp_path: Path) -> None:
    names = {one.model.__name__ for contract in CONTRACT.values() for one in contract.messages}
    avro, protobuf = set(), set()
    for value, _ in await written(kafka, registry, "test.registry.avro", "avro"):
        schema = orjson.loads(schema_of(registry, value)["schema"])
        read: Any = fastavro.schemaless_reader(BytesIO(value[5:]), fastavro.parse_schema(schema), None)
        avro.add(schema["name"])
        assert read["boot"] == 825667200
    for value, _ in await written(kafka, registry, "test.registry.protobuf", "protobuf"):
        found = schema_of(registry, value)
        assert (found["schemaType"], value[5]) == ("PROTOBUF", 0)
        file, made = compile_proto(found["schema"], tmp_path)
        protobuf.add(file.message_type[0].name)
        assert made(f"edgefleet.{file.message_type[0].name}").FromString(value[6:]).boot == 825667200
    assert avro == protobuf == names


@pytest.mark.timeout(300)
async def test_a_schema_that_is_not_compatible_waits_for_a_person(kafka: str, registry: str) -> None:
    topic = "test.registry.refused"
    other = {"type": "record", "name": "Other", "fields": [{"name": "a", "type": "string"}]}
    path = f"{registry}/subjects/{topic}-value/versions"
    await asyncio.to_thread(send, "POST", path, {"schema": orjson.dumps(other).decode()})
    await asyncio.to_thread(send, "PUT", f"{registry}/config/{topic}-value", {"compatibility": "FULL"})
    table = table_of(topic)
    config = KafkaSinkConfig(
        bootstrap_servers=kafka,
        schema_registry=registry,  # type: ignore[arg-type]
        retry={"base": "1ms"},  # type: ignore[arg-type]
    )
    tried = KafkaSink(config, table.targets_in("kafka"), "b")  # type: ignore[arg-type]
    await tried.connect()
    failure = (await tried.write(topic, [event(table, reading())]))[0]
    assert isinstance(failure, Retry)
    assert failure.needs_operator
    assert f"answers 409 for subject {topic}-value" in failure.reason
    await asyncio.to_thread(send, "PUT", f"{registry}/config/{topic}-value", {"compatibility": "NONE"})
    await asyncio.sleep(0.01)
    assert not await tried.write(topic, [event(table, reading())])
    await tried.close()
