"""Collects what was exported, or would be, as series a device: what plots are made of."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from devices.export.base import ExportError
from devices.sensors.registry import KINDS
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.messages import ContractError, kind_of

MOST_RECORDS = 2_000_000
"""More would neither fit a picture nor the memory of a small machine."""


@dataclass(slots=True)
class Series:
    """Holds the readings of one device: times in ms since 1970 UTC, and the values of each field, None where null."""

    times: list[int] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Recording:
    """Maps kind to device id to series."""

    kinds: dict[str, dict[str, Series]] = field(default_factory=dict)
    records: int = 0

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take the drawn fields of a message; crossings and sessions of people are left out, their counts are kept."""
        self.records += 1
        if self.records > MOST_RECORDS:
            raise ExportError(f"more than {MOST_RECORDS:,} records are too many for a plot: choose a shorter time")
        kind = kind_of(fields).kind
        names = KINDS[kind].plotted_fields
        if not any(name in fields for name in names):
            return
        series = self.kinds.setdefault(kind, {}).setdefault(str(fields["device_id"]), Series())
        series.times.append(parse_ms(str(fields["timestamp"]).replace(" ", "T")))
        for name in names:
            series.values.setdefault(name, []).append(fields.get(name))


def read_timeline(timeline: Timeline, from_ms: int, to_ms: int) -> Recording:
    """Return what the devices say in [from_ms, to_ms); raises `ExportError` where that is too much to draw."""
    expected = timeline.rate_per_s * (to_ms - from_ms) / 1000
    if expected > MOST_RECORDS:
        raise ExportError(f"about {expected:,.0f} records are too many for a plot: choose a shorter --from and --to")
    recording = Recording()
    for batch in timeline.batches(from_ms, to_ms, 50_000):
        for payload in batch.payload:
            recording.add(orjson.loads(payload))
    return recording


def read_export(path: Path) -> Recording:
    """Return what is in a .jsonl, .csv or .parquet file; raises `ExportError` where it is none of ours."""
    recording = Recording()
    try:
        for number, fields in enumerate(_rows(path), start=1):
            try:
                recording.add(fields)
            except (ContractError, KeyError, ValueError) as error:
                raise ExportError(f"{path}, record {number}: is no message of ours: {error}") from None
    except FileNotFoundError:
        raise ExportError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: cannot be read: {error}") from None
    return recording


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            yield from map(_typed, csv.DictReader(file))
    elif path.suffix == ".parquet":
        yield from _parquet_rows(path)
    else:
        with path.open("rb") as lines:
            yield from _json_rows(lines)


def _json_rows(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, start=1):
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ExportError(f"line {number} is not JSON: {error}") from None


def _typed(row: Mapping[str, str]) -> Mapping[str, Any]:
    drawn = KINDS[kind_of(row).kind].plotted_fields
    return {
        name: (float(text) if text else None) if name in drawn else text
        for name, text in row.items()
        if text is not None
    }


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    from pyarrow import ArrowInvalid, parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except ArrowInvalid as error:
        raise ExportError(f"{path}: is no Parquet file: {error}") from None
