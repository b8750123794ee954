"""Installations whose captures tests learn of, as lines that `mosquitto_sub -F %j` writes."""

import base64
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml
from typer.testing import CliRunner

from edgefleet.cli import app
from edgewire.clock import iso_ms, parse_ms

BEGIN_MS = parse_ms("2026-03-02T12:00:00Z")

Row = tuple[int, str, bytes]
"""When it was heard (ms since 1970), topic, payload."""


def pumps(count: int = 6, readings: int = 60, interval_ms: int = 5000) -> Iterator[Row]:
    """Yield what pumps say in a format of their own: a state, a load that follows no other, a counter."""
    rng = random.Random(5)
    for number in range(count):
        load, starts = 40.0 + number, 100 * number
        for reading in range(readings):
            load = 40 + number + 0.8 * (load - 40 - number) + rng.gauss(0, 0.6)
            starts += rng.random() < 0.3
            at_ms = BEGIN_MS + reading * interval_ms + rng.randint(0, 100)
            state = "running" if (reading // 7 + number) % 2 else "idle"
            body = {"id": f"pump-{number:03d}", "ts": at_ms, "load": round(load, 1), "state": state, "starts": starts}
            yield at_ms, f"works/{'north' if number % 2 else 'south'}/pump-{number:03d}/state", orjson.dumps(body)


def thermometers(count: int = 4, readings: int = 60) -> Iterator[Row]:
    """Yield what a script says for thermometers: plain values, on two topics each."""
    rng = random.Random(6)
    for number in range(count):
        for reading in range(readings):
            at_ms = BEGIN_MS + reading * 10_000 + number * 900
            yield at_ms, f"cellar/t{number}9/temperature", f"{12 + number + rng.gauss(0, 0.5):.2f}".encode()
            yield at_ms + 15, f"cellar/t{number}9/humidity", f"{70 + rng.gauss(0, 2):.0f}".encode()


def tasmota(count: int = 3, readings: int = 20) -> Iterator[Row]:
    """Yield what Tasmota devices with a sensor of the air say."""
    rng = random.Random(7)
    for number in range(count):
        yield BEGIN_MS + number, f"tele/cellar-{number}/LWT", b"Online"
        for reading in range(readings):
            at_ms = BEGIN_MS + reading * 30_000 + number * 100
            air = {"Temperature": round(14 + number + rng.gauss(0, 0.2), 1), "Humidity": 60.5 + reading % 5,
                   "Pressure": 1002.4}  # fmt: skip
            body = {"Time": iso_ms(at_ms)[:19], "BME280": air, "PressureUnit": "hPa", "TempUnit": "C"}
            yield at_ms, f"tele/cellar-{number}/SENSOR", orjson.dumps(body)


def write_lines(path: Path, *rows: Iterable[Row]) -> Path:
    """Write a capture, in the order of time."""
    every = sorted((row for some in rows for row in some), key=lambda row: row[0])
    lines = [
        {"tst": iso_ms(at_ms).replace("Z", "Z+0000"), "topic": topic, "qos": 0, "retain": 0, **_payload(payload)}
        for at_ms, topic, payload in every
    ]
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)) + b"\n")
    return path


def _payload(payload: bytes) -> dict[str, str]:
    try:
        return {"payload": payload.decode()}
    except UnicodeDecodeError:
        return {"payload_base64": base64.b64encode(payload).decode()}


def learn(*arguments: object) -> Any:
    """Call the command."""
    return CliRunner().invoke(app, ["learn", *map(str, arguments)], catch_exceptions=True)


def learned(tmp_path: Path, *rows: Any, options: tuple[object, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the report and the scenario of a capture."""
    capture = write_lines(tmp_path / "capture.jsonl", *rows)
    result = learn(capture, "--out", tmp_path / "fleet.yaml", "--json", *options)
    assert result.exit_code == 0, result.output
    return orjson.loads(result.stdout), yaml.safe_load((tmp_path / "fleet.yaml").read_text())
