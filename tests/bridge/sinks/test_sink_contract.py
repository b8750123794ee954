"""What every sink must do, run over each of them."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from confluent_kafka import Consumer, TopicPartition

from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failures, NotConnected, Retry, Sink
from bridge.sinks.file.config import FileSinkConfig
from bridge.sinks.file.sink import FileSink
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.sink import HttpSink
from bridge.sinks.kafka.config import KafkaSinkConfig
from bridge.sinks.kafka.sink import KafkaSink
from tests.bridge.fakes import FAST, TABLE, MemorySink, in_order, ingest_stub, routed


@dataclass
class SinkUnderTest:
    """A sink, what has arrived behind it, and how to make it refuse the next write."""

    sink: Sink
    arrived: Callable[[], Any]
    fail_next: Callable[[], None]


CAN_BE_MADE_TO_REFUSE = [
    "memory",
    "http-batch",
    "http-single",
    "http-json",
    "http-cloudevents",
    "file",
]

HTTP_FORMS: dict[str, dict[str, Any]] = {
    "http-batch": {},
    "http-single": {"mode": "single"},
    "http-json": {"format": "json", "compression": "gzip"},
    "http-cloudevents": {"format": "cloudevents"},
}


def refuse_once(memory: MemorySink) -> None:
    def script(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        memory.script = None
        return dict.fromkeys(range(len(batch)), Retry(cause="busy", reason="busy"))

    memory.script = script


@pytest.fixture(params=[*CAN_BE_MADE_TO_REFUSE, "kafka"])
async def destination(
    request: pytest.FixtureRequest, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SinkUnderTest]:
    if request.param == "memory":
        memory = MemorySink()
        yield SinkUnderTest(memory, lambda: memory.got, lambda: refuse_once(memory))
    elif request.param == "kafka":
        sink = KafkaSink(KafkaSinkConfig(bootstrap_servers=cluster, retry=FAST), TABLE.targets_in("kafka"), "bridge-1")
        start = await asyncio.to_thread(ends, cluster)
        yield SinkUnderTest(sink, lambda: consumed(cluster, start), pytest.fail)
        await sink.close()
    elif request.param == "file":
        file = FileSink(FileSinkConfig(folder=tmp_path, retry=FAST), TABLE.targets_in("file"), "bridge-1")
        full = OSError(errno.ENOSPC, "No space left on device")
        yield SinkUnderTest(
            file,
            lambda: lines(tmp_path),
            lambda: fail_once(monkeypatch, "bridge.sinks.file.rotating_file._sync_data", full),
        )
        await file.close()
    else:
        async with ingest_stub() as stub:
            form = HttpSinkConfig(url=stub.url, retry=FAST, **HTTP_FORMS[request.param])
            http = HttpSink(form, TABLE.targets_in("http"), "bridge-1")
            yield SinkUnderTest(
                http,
                lambda: stub.stored,
                lambda: stub.answers.append(web.Response(status=503, text="busy")),
            )
            await http.close()


def lines(folder: Path) -> list[str]:
    text = "".join(path.read_text() for path in folder.glob("*.jsonl"))
    return ["{device_id}:{boot}:{seq}".format(**orjson.loads(line)) for line in text.splitlines()]


def fail_once(monkeypatch: pytest.MonkeyPatch, target: str, error: Exception) -> None:
    """Let the next call of a function raise an error."""

    def fail(*_: object) -> None:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(target, fail)


def ends(cluster: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": cluster, "group.id": "ends", "log_level": 0})
    try:
        partitions = consumer.list_topics("sensors.bme280", timeout=10).topics["sensors.bme280"].partitions
        return {
            number: consumer.get_watermark_offsets(TopicPartition("sensors.bme280", number), timeout=10)[1]
            for number in partitions
        }
    finally:
        consumer.close()


def consumed(cluster: str, start: dict[int, int]) -> list[str]:
    """Ids of the messages after `start`."""
    consumer = Consumer(
        {"bootstrap.servers": cluster, "group.id": "test", "enable.partition.eof": True, "log_level": 0}
    )
    try:
        consumer.assign([TopicPartition("sensors.bme280", number, offset) for number, offset in start.items()])
        found: list[str] = []
        ended = 0
        while ended < len(start):
            message = consumer.poll(10)
            assert message is not None
            if message.error():
                ended += 1
                continue
            found.append(dict(message.headers())["ce_id"].decode())
        return found
    finally:
        consumer.close()


async def arrived(destination: SinkUnderTest) -> list[str]:
    return await asyncio.to_thread(destination.arrived)


@pytest.mark.slow
async def test_a_batch_arrives_whole_and_in_order(destination: SinkUnderTest) -> None:
    sink = destination.sink
    await sink.connect()
    batch = [routed(number, f"dev-{number % 7}") for number in range(1, 101)]
    queues: dict[str, list[Any]] = {}
    for one in batch:
        key = sink.queue_key(one)
        assert key is not None
        queues.setdefault(key, []).append(one)
    answers = await asyncio.gather(*(sink.write(key, part) for key, part in queues.items()))
    assert not any(answers)
    found = await arrived(destination)
    assert sorted(found) == sorted(one.message_id for one in batch)
    assert in_order(found)


async def test_the_messages_of_a_device_share_a_queue(destination: SinkUnderTest) -> None:
    sink = destination.sink
    for device in ("a", "b", "c"):
        assert len({sink.queue_key(routed(number, device)) for number in range(20)}) == 1


@pytest.mark.slow
async def test_it_can_be_closed_and_connected_again(destination: SinkUnderTest) -> None:
    sink = destination.sink
    await sink.close()
    for number in (1, 2):
        await sink.connect()
        one = routed(number)
        assert not await sink.write(str(sink.queue_key(one)), [one])
        await sink.close()
    assert await arrived(destination) == ["a:1:1", "a:1:2"]


async def test_a_closed_sink_delivers_nothing_and_says_so(destination: SinkUnderTest) -> None:
    one = routed(1)
    with pytest.raises(NotConnected):
        await destination.sink.write(str(destination.sink.queue_key(one)), [one])


async def test_a_write_can_be_cancelled(destination: SinkUnderTest) -> None:
    sink = destination.sink
    await sink.connect()
    one = routed(1)
    writing = asyncio.create_task(sink.write(str(sink.queue_key(one)), [one]))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    two = routed(2)
    assert not await sink.write(str(sink.queue_key(two)), [two])


@pytest.mark.parametrize("destination", CAN_BE_MADE_TO_REFUSE, indirect=True)
async def test_after_a_retry_nothing_of_the_device_was_delivered(destination: SinkUnderTest) -> None:
    sink = destination.sink
    await sink.connect()
    batch = [routed(number, "a") for number in range(1, 6)]
    destination.fail_next()
    failures = await sink.write(str(sink.queue_key(batch[0])), batch)
    assert sorted(failures) == [0, 1, 2, 3, 4]
    assert await arrived(destination) == []
    assert not await sink.write(str(sink.queue_key(batch[0])), batch)
    assert await arrived(destination) == [one.message_id for one in batch]


async def test_probing_says_what_answered(destination: SinkUnderTest) -> None:
    assert await destination.sink.probe()
    await destination.sink.close()


@pytest.mark.slow
async def test_a_preview_says_where_a_message_would_go_without_sending_it(destination: SinkUnderTest) -> None:
    one = routed(1, "dev-1")
    preview = destination.sink.preview(one)
    assert preview["lane"] == destination.sink.queue_key(one)
    assert preview["destination"]
    assert orjson.loads(orjson.dumps(preview)) == preview
    await destination.sink.connect()
    assert await arrived(destination) == []
