"""Waiting for what has not arrived yet, and the verdict on services that run."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from edgefleet.ingest.server import IngestConfig, serve
from edgefleet.ingest.store import Delivery, NewMessage, open_store
from edgefleet.verify import Arrivals, Checker, Latency, from_rows, verify_run
from edgefleet.verify.message_index import MessageIndex
from edgefleet.verify.run import read_until_complete
from edgewire.clock import iso_ms
from edgewire.errors import ServiceUnavailable
from edgewire.run_record import RunRecord

Row = tuple[str, int, int, int, int]


class Scripted:
    """A source that yields one piece a read."""

    note = ""

    def __init__(self, *pieces: Sequence[Row]) -> None:
        self.pieces = list(pieces)
        self.reads = 0

    def read_arrivals(self) -> Iterator[Arrivals]:
        self.reads += 1
        return from_rows(self.pieces.pop(0) if self.pieces else [])

    def close(self) -> None:
        """Nothing to close."""


class FakeClock:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def now_ms(self) -> int:
        return round(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_it_waits_until_all_has_arrived(record: RunRecord, everything: list[Row]) -> None:
    index, clock, seen = MessageIndex(record), FakeClock(), []
    sources = {"http": Scripted(everything), "kafka": Scripted(everything[:9], [], everything[9:])}
    checkers = {name: Checker(index) for name in sources}
    read_until_complete(sources, checkers, 30, clock, clock.sleep, lambda *progress: seen.append(progress))
    assert all(checker.complete for checker in checkers.values())
    assert sources["kafka"].reads == 3
    assert clock.now == 101.0
    assert seen == [("http", 15, 15), ("kafka", 9, 15), ("kafka", 15, 15)]


def test_it_gives_up_when_the_time_is_over(record: RunRecord, everything: list[Row]) -> None:
    index, clock = MessageIndex(record), FakeClock()
    sources = {"http": Scripted(everything[:9])}
    checkers = {"http": Checker(index)}
    read_until_complete(sources, checkers, 1.2, clock, clock.sleep)
    assert clock.now == pytest.approx(101.2)
    assert (sources["http"].reads, checkers["http"].stored) == (4, 9)


def test_without_waiting_it_looks_once(record: RunRecord) -> None:
    index, clock = MessageIndex(record), FakeClock()
    sources = {"http": Scripted()}
    read_until_complete(sources, {"http": Checker(index)}, 0, clock, clock.sleep)
    assert sources["http"].reads == 1


async def test_a_run_against_real_services(record: RunRecord, everything: list[Row], tmp_path: Path) -> None:
    store_url = f"sqlite:///{tmp_path / 'ingest.db'}"
    store = await open_store(store_url)
    for device, boot, seq, timestamp_ms, arrived_ms in everything:
        await store.add(Delivery(arrived_ms, [NewMessage(device, boot, seq, "gps", timestamp_ms, "{}")]))
    await store.close()
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    for device, boot, seq, timestamp_ms, arrived_ms in everything[:-1]:
        fields = {"device_id": device, "boot": boot, "seq": seq, "timestamp": iso_ms(timestamp_ms)}
        producer.produce("gps_positions", orjson.dumps(fields), key=device, timestamp=arrived_ms + 5)
    assert producer.flush(10) == 0

    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(IngestConfig(port=0, store=store_url), stop, ready.set_result))
    url = await ready
    verdict = await asyncio.to_thread(verify_run, record, ingest=url, kafka=f"{broker.host}:{broker.port}")
    stop.set()
    await running

    assert not verdict.ok
    http, kafka = verdict.sinks["http"].total, verdict.sinks["kafka"].total
    assert (http.stored, http.lost, http.latency) == (15, 0, Latency(20, 20, 20))
    assert (kafka.stored, kafka.missing, kafka.latency) == (14, ("b-1:7:7",), Latency(25, 25, 25))
    assert "CreateTime" in verdict.sinks["kafka"].note


def test_a_sink_that_is_not_there_is_named(record: RunRecord) -> None:
    with pytest.raises(ServiceUnavailable, match=r"http://127\.0\.0\.1:1"):
        verify_run(record, ingest="http://127.0.0.1:1", wait_s=30)
