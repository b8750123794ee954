"""What is kept of every device: texts and numbers, at which the garbage collector does not have to look."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bridge.config import BridgeConfig
from bridge.loss_detection.report import LossReport
from bridge.loss_detection.sequence_gaps import SequenceMonitor
from bridge.metrics import BridgeMetrics
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import Sink
from bridge.sinks.registry import SINKS
from bridge.spool.message import SpooledMessage
from edgefleet.launch.process_tuning import GC_THRESHOLDS
from edgewire.clock import SystemClock
from tests.bridge.fakes import payload

SINGLE = {"url": "http://127.0.0.1:1", "mode": "single"}
TASMOTA = b'{"Time":"2026-03-02T12:%02d:00","BME280":{"Temperature":21.5,"Humidity":46.1,"Pressure":1002.3}}'


class Parts:
    """The parts of a bridge that remember devices, and a number for each message."""

    def __init__(self, **settings: Any) -> None:
        clock = SystemClock()
        sinks = {"http": {"url": "http://127.0.0.1:1"}, "kafka": {"bootstrap_servers": "127.0.0.1:1"}}
        config = BridgeConfig.model_validate({"broker": "mqtt://127.0.0.1:1", **sinks, **settings})
        self.monitor = SequenceMonitor(config, LossReport(BridgeMetrics(), clock), clock)
        self.table = RouteTable(config.routes, subscriptions=config.formats)
        self.table.restore(1, {})
        self.table.tell_counters(self.monitor)
        self.sinks: list[Sink] = [
            SINKS[name].build(config.sinks[name], self.table.targets_in(name), "bridge", clock) for name in sinks
        ]
        self.taken = 0

    def take(self, topic: str, body: bytes) -> None:
        """Let every part have a message, as a bridge does."""
        self.taken += 1
        message = SpooledMessage(self.taken, 1_772_452_800_000, topic, body, 1, False, False)
        self.monitor.observe_messages([message])
        event = self.table.resolve(message)
        assert isinstance(event, RoutedEvent)
        for sink in self.sinks:
            assert sink.queue_key(event)
            assert sink.preview(event)


def tracked() -> int:
    """Return how many objects a search of all generations has to look at."""
    gc.collect()
    return len(gc.get_objects())


@contextmanager
def counted_searches() -> Iterator[Counter[int]]:
    """Count the searches of each generation, with the settings of a bridge that runs."""
    searches: Counter[int] = Counter()

    def count(phase: str, info: dict[str, int]) -> None:
        searches[info["generation"]] += phase == "start"

    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.callbacks.append(count)
    try:
        yield searches
    finally:
        gc.callbacks.remove(count)
        gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("settings", "topic", "body", "most"),
    [
        ({}, "edge/site/bme280/dev-{}/telemetry", None, 0.0),
        ({"subscriptions": [{"filter": "raw/#", "decode": "none"}], "http": SINGLE}, "raw/dev-{}", b"\xff", 0.0),
        ({"subscriptions": [{"filter": "tele/#", "decode": "tasmota"}]}, "tele/dev-{}/SENSOR", TASMOTA % 1, 3.0),
    ],
    ids=["contract", "raw", "tasmota"],
)
def test_hardly_an_object_that_the_collector_looks_at_is_kept_of_a_device(
    settings: dict[str, Any], topic: str, body: bytes | None, most: float
) -> None:
    routes = [{"topic": "#", "http": {"path": "/x"}, "kafka": "x"}]
    parts, devices = Parts(**settings, routes=routes), 500
    for number in range(10):
        parts.take(topic.format(f"before{number}"), body or payload(f"dev-before{number}", 1))
    before = tracked()
    for number in range(devices):
        parts.take(topic.format(number), body or payload(f"dev-{number}", 1))
    assert (tracked() - before) / devices <= most + 0.05


@pytest.mark.slow
def test_100_000_devices_make_the_collector_search_nothing() -> None:
    parts = Parts(watch={"broker_statistics": False})
    topics = [f"edge/site/bme280/dev-{number}/telemetry" for number in range(100_000)]
    with counted_searches() as searches:
        for seq in (1, 2):
            for number, topic in enumerate(topics):
                parts.monitor.observe_messages(
                    [message := SpooledMessage(number, 0, topic, payload(f"dev-{number}", seq), 1, False, False)]
                )
                assert isinstance(parts.table.resolve(message), RoutedEvent)
    assert not searches
