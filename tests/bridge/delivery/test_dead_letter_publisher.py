"""Dead letters on a Kafka topic and an MQTT topic: each once, in order, also when the target fails or we restart."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bridge.config import BridgeConfig
from bridge.delivery import dead_letter_publisher as publisher
from bridge.delivery.dead_letter_publisher import DeadLetterPublisher
from bridge.delivery.dead_letter_targets import MqttDeadLetterTarget
from bridge.metrics import BridgeMetrics
from bridge.spool.config import SpoolConfig
from bridge.spool.message import CursorUpdate, DeadLetter
from bridge.spool.reader import read_metadata
from bridge.spool.spool import Spool
from bridge.spool.store import SpoolStore
from edgefleet.embedded import free_port
from edgewire.backoff import Backoff
from edgewire.errors import ServiceUnavailable
from edgewire.mqtt.packets import Publish
from tests.bridge.fakes import scripted_broker, spooled
from tests.services.fixtures import BrokerAddress
from tests.waiting import eventually


def letters(first: int, count: int) -> tuple[DeadLetter, ...]:
    return tuple(
        DeadLetter(
            sink="http",
            message_id=number,
            received_ms=1,
            topic=f"t/{number}",
            payload=b"\xff" if number % 2 and number > 1 else b"{}",
            reason=f"bad {number}",
            attempts=1,
            dead_ms=9,
        )
        for number in range(first, first + count)
    )


def large(number: int) -> DeadLetter:
    """More than Kafka takes, by default."""
    return replace(letters(number, 1)[0], payload=b"x" * 1_000_100)


def dead_letter(store: SpoolStore, first: int, count: int) -> None:
    dead = letters(first, count)
    store.commit(
        [spooled(number) for number in range(first, first + count)],
        [CursorUpdate(sink="http", cursor=first + count - 1, delivered=0, dead_letters=dead)],
    )


@asynccontextmanager
async def publishing(
    path: Path, config: BridgeConfig, **options: Any
) -> AsyncIterator[tuple[Spool, DeadLetterPublisher]]:
    store = SpoolStore(path, ["http"])
    spool = Spool(store, SpoolConfig(path=path), on_messages=lambda _: None, on_commit=lambda _: None)
    one = DeadLetterPublisher(lambda: config, spool, BridgeMetrics(), random.Random(1), **options)
    running = asyncio.create_task(one.run_publisher())
    try:
        yield spool, one
    finally:
        running.cancel()
        await asyncio.wait([running])
        await spool.close()


class FlakyTarget:
    """Takes letters; every `fails`-th batch arrives without a word of it."""

    def __init__(self, fails: int) -> None:
        self.got: list[int] = []
        self.batches = 0
        self._fails = fails

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.batches += 1
        self.got += [one.message_id for one in letters]
        if self.batches % self._fails == 0:
            raise ServiceUnavailable("the target is away")


async def test_every_letter_is_published_whatever_fails_and_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(publisher, "LETTERS_AT_ONCE", 7)
    path, target = tmp_path / "spool.db", FlakyTarget(fails=3)
    options: Any = {"targets": {"mqtt": lambda _: ("place", target)}, "backoff": Backoff(0.001, 0.002)}
    config = BridgeConfig(http={}, spool={"path": path})
    store = SpoolStore(path, ["http"])
    dead_letter(store, 1, 30)
    store.close()
    async with publishing(path, config, **options):
        await eventually(lambda: target.batches >= 4)
    async with publishing(path, config, **options) as (spool, one):
        await spool.run_on_writer(lambda store: dead_letter(store, 31, 10))
        await eventually(lambda: set(target.got) == set(range(1, 41)))
        await eventually(lambda: one.problems == [])
    assert len(target.got) < 40 + 7 * target.batches / 2


@pytest.mark.slow
async def test_a_kafka_topic_gets_the_payload_and_the_reason_and_what_is_too_large_holds_nobody_up(
    tmp_path: Path, cluster: str
) -> None:
    path, topic = tmp_path / "spool.db", "dead.letters"
    store = SpoolStore(path, ["http"])
    dead_letter(store, 1, 1)
    store.commit([spooled(2)], [CursorUpdate(sink="http", cursor=2, delivered=0, dead_letters=(large(2),))])
    dead_letter(store, 3, 1)
    store.close()
    config = BridgeConfig(
        http={}, kafka={"bootstrap_servers": cluster}, dead_letters={"kafka_topic": topic}, spool={"path": path}
    )
    key = f"dead letters published to kafka {topic}"
    async with publishing(path, config):
        await eventually(lambda: read_metadata(path, key) == "3")
    consumer = Consumer({"bootstrap.servers": cluster, "group.id": topic})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        got: list[Any] = []
        while len(got) < 3:
            message = await asyncio.to_thread(consumer.poll, 10)
            assert message is not None
            assert not message.error()
            got.append(message)
    finally:
        consumer.close()
    by_key = {message.key(): (message.value(), dict(message.headers())) for message in got}
    value, headers = by_key[b"t/2"]
    assert value == b""
    assert headers["dead_letter_reason"] == b"bad 2 (the payload of 1000100 bytes is left out here)"
    value, headers = by_key[b"t/3"]
    assert value == b"\xff"
    assert headers["dead_letter_reason"] == b"bad 3"
    assert headers["dead_letter_sink"] == b"http"
    assert headers["dead_letter_dead"] == b"1970-01-01T00:00:00.009Z"


@pytest.mark.services
async def test_an_mqtt_topic_gets_them_as_json(tmp_path: Path, mosquitto: BrokerAddress) -> None:
    path = tmp_path / "spool.db"
    store = SpoolStore(path, ["http"])
    dead_letter(store, 1, 50)
    store.close()
    config = BridgeConfig(
        broker=mosquitto.url,
        client_id=tmp_path.name,
        http={},
        dead_letters={"mqtt_topic": f"{tmp_path.name}/dead"},
        spool={"path": path},
    )
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        await client.subscribe(f"{tmp_path.name}/#", qos=1)
        got: list[dict[str, Any]] = []
        async with publishing(path, config), asyncio.timeout(20):
            async for message in client.messages:
                got.append(orjson.loads(message.payload))
                if len(got) == 50:
                    break
    assert [one["message_id"] for one in got] == list(range(1, 51))
    assert got[2]["payload_base64"] == "/w=="
    assert got[0]["reason"] == "bad 1"


async def test_a_letter_that_is_too_large_for_the_broker_goes_without_its_payload() -> None:
    async with scripted_broker() as broker:
        broker.offers = {"maximum_packet_size": 1000}
        config = BridgeConfig(broker=broker.url, http={})
        await MqttDeadLetterTarget(config, "dead").publish([*letters(1, 1), large(2), *letters(4, 1)])
        got = [orjson.loads(one.payload) for one in broker.said if isinstance(one, Publish)]
    assert [(one["message_id"], one["payload"]) for one in got] == [(1, "{}"), (2, ""), (4, "{}")]
    assert got[1]["reason"].endswith("is left out here)")


async def test_a_broker_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = BridgeConfig(broker=f"mqtt://127.0.0.1:{free_port()}", http={})
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        await MqttDeadLetterTarget(config, "dead").publish(letters(1, 1))
