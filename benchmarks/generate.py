"""How fast exports are, beside the generator one writes first: an object a device, `json.dumps` a reading.

Both run in this process one after the other, so their ratio says more than the rates, which are this machine's.
"""

import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from devices.export.base import ExportTarget
from devices.export.csv import CsvWriter
from devices.export.files import TableFiles
from devices.export.job import ROW_GROUP_ROWS, WINDOW_ROWS, ExportSpan, export
from devices.export.jsonl import JsonlFile
from devices.export.parquet import ParquetWriter
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms

DEVICES = 1000
INTERVAL_S = 10
RECORDS = 500_000
_FROM_MS = parse_ms("2026-03-03T12:00:00Z")
"""Noon of a Tuesday: shops are open, vehicles drive, and roads are full."""
_OURS = (
    *(("bme280", format_, 1.0) for format_ in ("jsonl", "csv", "parquet")),
    *((kind, format_, 0.7) for kind in ("gps", "telematics", "traffic", "people") for format_ in ("jsonl", "parquet")),
)
"""Kind, format, and how much of `RECORDS`, so that no kind takes long."""


class PlainSensor:
    """A BME280 that walks randomly, as the producers that this project replaces do."""

    def __init__(self, device_id: str, rng: random.Random) -> None:
        self._device_id, self._rng = device_id, rng
        self._temperature, self._humidity, self._pressure = 22.0, 50.0, 1013.0
        self._seq = 0

    def reading(self, now_s: float) -> dict[str, object]:
        """The next reading."""
        uniform = self._rng.uniform
        self._temperature = min(max(self._temperature + uniform(-0.5, 0.5), 18), 28)
        self._humidity = min(max(self._humidity + uniform(-2, 2), 30), 70)
        self._pressure = min(max(self._pressure + uniform(-0.5, 0.5), 1000), 1025)
        self._seq += 1
        return {
            "device_id": self._device_id,
            "timestamp": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds"),
            "boot": 1,
            "seq": self._seq,
            "temperature_c": round(self._temperature, 2),
            "humidity": round(self._humidity, 2),
            "pressure_hpa": round(self._pressure, 2),
            "metadata": {"generator": "plain", "version": "1", "in_weather_event": False, "weather_event_type": None},
        }


def run() -> list[str]:
    """The table as lines of Markdown."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-bench-") as name:
        folder = Path(name)
        plain = _plain(folder / "plain.jsonl", RECORDS // 5)
        rows = [
            ("a plain generator, jsonl", "bme280", plain),
            *(
                (f"edgefleet, {format_}", kind, _ours(kind, format_, folder, round(RECORDS * share)))
                for kind, format_, share in _OURS
            ),
        ]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        "## Generate",
        "",
        f"{DEVICES:,} devices, a reading every {INTERVAL_S} s, one process; records per second of its CPU time.",
        "",
        "| generator | kind | records/s | against the plain one |",
        "|---|---|---:|---:|",
        *(f"| {what} | {kind} | {rate:,.0f} | {rate / plain:.1f} × |" for what, kind, rate in rows),
        "",
        f"Peak memory of the process: {peak_mb:.0f} MB.",
    ]


def _plain(path: Path, records: int) -> float:
    rng = random.Random(1)
    sensors = [PlainSensor(f"bme280-{number:04d}", rng) for number in range(DEVICES)]
    began = time.process_time()
    with path.open("w", encoding="utf-8") as file:
        for round_ in range(records // DEVICES):
            for sensor in sensors:
                file.write(json.dumps(sensor.reading(_FROM_MS / 1000 + round_ * INTERVAL_S)) + "\n")
    return records / (time.process_time() - began)


def _ours(kind: str, format_: str, folder: Path, records: int) -> float:
    devices = [{"kind": kind, "count": DEVICES, "interval": f"{INTERVAL_S}s"}]
    timeline = Timeline(Scenario(devices=devices), EPOCH_MS)
    targets: dict[str, Callable[[], ExportTarget]] = {
        "jsonl": lambda: JsonlFile(folder / f"{kind}.jsonl"),
        "csv": lambda: TableFiles(timeline, folder / format_, ".csv", CsvWriter),
        "parquet": lambda: TableFiles(timeline, folder / format_, ".parquet", ParquetWriter),
    }
    # A reading of every device before fills caches that a long export fills once.
    export(timeline, ExportSpan(_FROM_MS - INTERVAL_S * 1000, _FROM_MS), targets[format_](), checkpoint=None)
    span = ExportSpan(_FROM_MS, _FROM_MS + records * INTERVAL_S * 1000 // DEVICES)
    began = time.process_time()
    # As `edgefleet generate` does.
    rows = ROW_GROUP_ROWS if format_ == "parquet" else WINDOW_ROWS
    done = export(timeline, span, targets[format_](), checkpoint=None, window_rows=rows)
    return done.records / (time.process_time() - began)


if __name__ == "__main__":
    print("\n".join(run()))
