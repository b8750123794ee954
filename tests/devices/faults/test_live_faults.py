"""Faults in a live run: what is lost in a device is in the record, and the labels tell of what was emitted."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
import structlog
from typer.testing import CliRunner

from devices.faults.labels import FILE_NAME
from devices.firmware.config import Build
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Reading
from devices.fleet.pacer import Pacer
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgefleet.cli import app
from edgefleet.embedded import MosquittoProcess
from edgewire.clock import parse_ms
from edgewire.device_time import DeviceTime
from edgewire.run_record import RunRecord

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
GROUPS = [{"kind": "bme280", "count": 4, "interval": "1s"}]
FAULTS = [
    {"type": "dropout", "kind": "bme280", "devices": ["bme280-0002"], "from": "2026-03-04T12:00:03Z",
     "to": "2026-03-04T12:00:06Z"},
    {"type": "bias", "kind": "bme280", "field": "humidity", "offset": 1, "devices": ["bme280-0003"],
     "from": "2026-03-04T12:00:05Z"},
]  # fmt: skip


@pytest.fixture
def own_logs() -> Iterator[None]:
    """A command sets logging up for the runner's own stderr, which is closed afterwards."""
    yield
    structlog.reset_defaults()


def test_a_lost_reading_has_its_number_and_counts_as_dropped() -> None:
    firmware = Firmware("x", 1, 1, 0, Build())
    firmware.on_lost_reading(7)
    assert firmware.on_reading(Reading(8, b"t", b"{}", 1, 1), window=1)
    firmware.on_lost_reading(9)
    counters = firmware.counters
    assert (counters.first_seq, counters.last_seq, counters.emitted, firmware.sent) == (7, 9, 3, 1)
    assert counters.dropped.as_list() == [(7, 7), (9, 9)]


async def test_the_pacer_tells_how_far_it_came() -> None:
    timeline = Timeline(Scenario(devices=GROUPS, faults=FAULTS), NOON_MS)
    emitted: list[tuple[int, int, bytes]] = []

    def emit(position: int, seq: int, _address: int, payload: bytes) -> None:
        emitted.append((position, seq, payload))
        if len(emitted) == 20:
            stop.set()

    stop = asyncio.Event()
    pacer = Pacer(timeline, NOON_MS, DeviceTime(NOON_MS, 20.0), emit)
    await pacer.run_pacer(asyncio.get_running_loop().time(), 10, stop)
    expected = timeline.batch(NOON_MS, pacer.reached_ms, lost=True)
    assert emitted == list(zip(expected.device, expected.seq, expected.payload, strict=True))
    assert 20 <= len(emitted) < 200
    assert not all(payload for _, _, payload in emitted)


@pytest.mark.services
@pytest.mark.usefixtures("own_logs")
def test_books_and_labels_of_a_run(mosquitto_factory: Callable[[], MosquittoProcess], tmp_path: Path) -> None:
    broker = mosquitto_factory()
    file = tmp_path / "fleet.yaml"
    file.write_bytes(orjson.dumps({"start": "2026-03-04T12:00:00Z", "devices": GROUPS, "faults": FAULTS}))
    # The fleet takes ten seconds of its devices' time.
    arguments = ["run", str(file), "--broker", broker.url, "--duration", "2s", "--time-scale", "5"]
    arguments += ["--from", "2026-03-04T12:00:00Z", "--record", str(tmp_path / "run"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    record = RunRecord.load(tmp_path / "run")
    assert record.totals == {"emitted": 40, "acknowledged": 37, "sent_qos0": 0, "refused": 0, "dropped": 3, "unsent": 0}
    dropped = {device.device_id: device.dropped for device in record.devices if device.dropped}
    labels = [orjson.loads(line) for line in (tmp_path / "run" / FILE_NAME).read_bytes().splitlines()]
    assert [(label["device_id"], label["type"]) for label in labels] == [
        ("bme280-0002", "dropout"),
        ("bme280-0003", "bias"),
    ]
    assert dropped == {"bme280-0002": [(labels[0]["first_seq"], labels[0]["last_seq"])]}
    assert (labels[1]["messages"], labels[1]["last_seq"], labels[1]["end_ms"]) == (5, 9, None)
    assert orjson.loads(result.stdout.splitlines()[-1])["labels"] == 2
