"""Readings that are missing among those at an interval, by the device's own times, and numbers of other formats."""

import random
from typing import Any

import pytest

from bridge.config import BridgeConfig
from bridge.loss_detection.reading_intervals import IntervalGapDetector
from bridge.loss_detection.report import LossReport
from bridge.loss_detection.sequence_gaps import SequenceMonitor
from bridge.metrics import BridgeMetrics
from bridge.routing.table import RouteTable
from bridge.spool.message import SpooledMessage

STARTED_MS = 1_790_000_000_000
OWN = {"topic": "plant/{id}", "payload": {"t": "temperature_c", "n": "seq", "b": "boot"}}


class ManualClock:
    """A clock that a test moves."""

    seconds = 1000.0

    def now_ms(self) -> int:
        return STARTED_MS

    def monotonic(self) -> float:
        return self.seconds


def missing(*seconds: float) -> int:
    detector = IntervalGapDetector()
    for second in seconds:
        detector.observe_reading("cellar", STARTED_MS + round(second * 1000))
    found = detector.take_missed()
    assert detector.take_missed() is None
    return found.missing if found else 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((0, 300, 600, 900, 1200), 0),
        ((0, 300, 600, 900, 1800), 2),
        ((0, 300, 601, 900, 1500, 1800, 2401), 2),
        ((0, 300, 600, 1200), 0),  # nothing is known yet of how often it sends
        ((0, 300, 600, 900, 1650, 1950), 0),  # it has begun anew, as after a restart
        ((0, 300, 600, 900, 600, 900, 1200), 0),  # late, and twice
        ((0, 1, 2, 3, 4, 9), 0),  # too fast for times in whole seconds
        ((0, 10, 20, 30, 10_000_000), 0),
    ],
)
def test_what_falls_out_of_an_interval_is_missing(seconds: tuple[float, ...], expected: int) -> None:
    assert missing(*seconds) == expected


def monitored(subscription: dict[str, Any], topic: str, payloads: list[bytes], *, retain: bool = False) -> list[str]:
    config = BridgeConfig.model_validate(
        {"subscriptions": [subscription], "http": {"url": "http://h"}, "watch": {"grace": "1s"}}
    )
    clock = ManualClock()
    losses = LossReport(BridgeMetrics(), clock)
    monitor = SequenceMonitor(config, losses, clock)
    table = RouteTable(subscriptions=config.formats)
    table.restore(1, {})
    table.tell_counters(monitor)
    messages = [
        SpooledMessage(number, STARTED_MS, topic, payload, 1, retain, False)
        for number, payload in enumerate(payloads, 1)
    ]
    monitor.observe_messages(messages)
    for message in (*messages, *random.Random(1).sample(messages, len(messages))):  # a second sink asks again
        table.resolve(message)
    clock.seconds += 2
    monitor.report_gaps()
    return losses.warnings


def test_the_numbers_of_a_format_of_ones_own_are_looked_at() -> None:
    payloads = [b'{"t":20,"b":1,"n":%d}' % number for number in (1, 2, 5, 6)]
    (warning,) = monitored({"filter": "plant/#", "decode": OWN}, "plant/cellar", payloads)
    assert "2 messages of 1 devices are missing, such as cellar boot 1 seq 3-4" in warning
    assert monitored({"filter": "plant/#", "decode": OWN}, "plant/cellar", payloads[2:]) == []


def test_what_another_format_calls_boot_and_seq_is_not_taken_for_ours() -> None:
    payloads = [b'{"t":20,"boot": 1,"seq": %d,"b":1,"n":%d}' % (10 * number, number) for number in (1, 2, 3)]
    assert monitored({"filter": "plant/#", "decode": OWN}, "plant/cellar", payloads) == []


def test_a_reading_of_a_tasmota_that_is_left_out_is_told() -> None:
    payloads = [
        b'{"Time":"2026-03-01T12:%02d:00Z","DHT22":{"Temperature":20.5}}' % minute for minute in (0, 5, 10, 15, 30)
    ]
    (warning,) = monitored({"filter": "tele/#", "decode": "tasmota"}, "tele/cellar/SENSOR", payloads)
    assert "cellar, 2 between 2026-03-01T12:15:00.000Z and 2026-03-01T12:30:00.000Z, one every 300 s" in warning
    local = [payload.replace(b"Z", b"") for payload in payloads]
    assert monitored({"filter": "tele/#", "decode": "tasmota"}, "tele/cellar/SENSOR", local) == []
    berlin = {"filter": "tele/#", "decode": "tasmota", "timezone": "Europe/Berlin"}
    assert len(monitored(berlin, "tele/cellar/SENSOR", local)) == 1
    assert monitored(berlin, "tele/cellar/SENSOR", local, retain=True) == []
