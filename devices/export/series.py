"""Collects what was exported, or would be, as series a device: what plots are made of."""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from devices.export.base import ExportError
from devices.export.manifest import listed_files
from devices.sensors.registry import KINDS
from devices.timeline.timeline import Timeline
from edgewire.bounded_lines import LinesTooLarge, bounded_lines
from edgewire.clock import parse_ms
from edgewire.messages import ContractError, kind_of

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
MOST_RECORDS = 50_000_000
"""Of a scenario, that are all looked at: to compute more takes longer than anybody waits for a picture."""
SAMPLED_RECORDS = 2_000_000
"""Of a scenario of more, about as many are looked at: all of some stretches of time, evenly spread."""
_MOST_STRETCHES = 2000
MOST_POINTS = 2_000_000
"""Of all devices together: more would neither fit a picture nor the memory of a small machine."""
MOST_OF_A_DEVICE = 8192
"""More than a picture has pixels side by side; beyond, the least and the most of a stretch are kept."""
LEAST_OF_A_DEVICE = 128
_LONGEST_LINE = 1 << 20
_LONG_GAP = 3.0
"""In usual intervals: a longer silence is a gap in the line."""


@dataclass(slots=True)
class Series:
    """Holds the readings of one device: times in ms since 1970 UTC, and the values of each field, None where null."""

    times: list[int] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    hours: dict[int, float] = field(default_factory=dict)
    """Sum of the field of the daily profile, of all readings of an hour since 1970."""
    stretch_ms: int = 0
    """How long the stretches are of which the least and the most was kept; 0 where every reading is there."""

    def decimate(self) -> None:
        """Keep at most half: of each of equal stretches of time the least and the most of every field."""
        first_ms, last_ms = min(self.times), max(self.times)
        count = max(len(self.times) // (4 * max(len(self.values), 1)), 1)
        stretch_ms = (last_ms - first_ms) // count + 1
        self.stretch_ms = max(self.stretch_ms, stretch_ms)
        stretches: dict[int, list[int]] = {}
        for number, time_ms in enumerate(self.times):
            stretches.setdefault((time_ms - first_ms) // stretch_ms, []).append(number)
        kept: set[int] = set()
        for stretch in stretches.values():
            for column in self.values.values():
                known = [(value, number) for number in stretch if (value := column[number]) is not None]
                # A null breaks the line: one of a stretch without any reading stays.
                kept.update((min(known)[1], max(known)[1]) if known else stretch[:1])
        chosen = sorted(kept)
        self.times = [self.times[number] for number in chosen]
        self.values = {name: [column[number] for number in chosen] for name, column in self.values.items()}

    def long_gap_ms(self) -> float:
        """Return how long a silence is that breaks a line."""
        steps = sorted(after - before for before, after in pairwise(self.times))
        usual = steps[len(steps) // 2] if steps else math.inf
        return max(_LONG_GAP * usual, 2 * self.stretch_ms)


@dataclass(slots=True)
class Recording:
    """Maps kind to device id to series."""

    kinds: dict[str, dict[str, Series]] = field(default_factory=dict)
    records: int = 0
    expected: int | None = None
    """About how many there are, where only some stretches of time were looked at."""
    _devices: int = field(default=0, init=False, repr=False)

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take the drawn fields of a message; crossings and sessions of people are left out, their counts are kept."""
        self.records += 1
        kind = kind_of(fields).kind
        names = KINDS[kind].plotted_fields
        if not any(name in fields for name in names):
            return
        devices = self.kinds.setdefault(kind, {})
        device_id = str(fields["device_id"])
        series = devices.get(device_id)
        if series is None:
            series = devices[device_id] = Series()
            self._devices += 1
        time_ms = parse_ms(str(fields["timestamp"]).replace(" ", "T"))
        series.times.append(time_ms)
        for name in names:
            series.values.setdefault(name, []).append(fields.get(name))
        if profile := KINDS[kind].plot_profile:
            # A reading counts what came before it.
            hour = (time_ms - 1) // 3_600_000
            series.hours[hour] = series.hours.get(hour, 0.0) + (fields.get(profile[0]) or 0.0)
        if len(series.times) >= min(MOST_OF_A_DEVICE, max(LEAST_OF_A_DEVICE, MOST_POINTS // self._devices)):
            series.decimate()


def read_timeline(
    timeline: Timeline, from_ms: int, to_ms: int, *, most: int = MOST_RECORDS, sampled: int = SAMPLED_RECORDS
) -> Recording:
    """Return what the devices say in [from_ms, to_ms); of more than `most` about `sampled`, of stretches of time."""
    expected = timeline.rate_per_s * (to_ms - from_ms) / 1000
    recording = Recording()
    if expected <= most:
        _add_all(recording, timeline, from_ms, to_ms)
        return recording
    # In each stretch every device is to say something.
    longest_ms = max(device.interval_ms for device in timeline.devices)
    count = max(1, min(_MOST_STRETCHES, round(sampled / (timeline.rate_per_s * longest_ms / 1000))))
    step_ms = (to_ms - from_ms) / count
    look_ms = min(max(longest_ms, round(step_ms * sampled / expected)), step_ms)
    for number in range(count):
        begin = from_ms + round(number * step_ms)
        _add_all(recording, timeline, begin, min(begin + round(look_ms), to_ms))
    for series in (one for devices in recording.kinds.values() for one in devices.values()):
        series.stretch_ms = max(series.stretch_ms, round(step_ms))
        series.hours = {hour: total * step_ms / look_ms for hour, total in series.hours.items()}
    recording.expected = round(expected)
    return recording


def _add_all(recording: Recording, timeline: Timeline, from_ms: int, to_ms: int) -> None:
    for batch in timeline.batches(from_ms, to_ms, 50_000):
        for payload in batch.payload:
            recording.add(orjson.loads(payload))


def read_export(path: Path) -> Recording:
    """Return what is in a file of an export, or in a folder of them; raises `ExportError` where it is none of ours."""
    recording = Recording()
    for file in _data_files(path) if path.is_dir() else [path]:
        _read_file(file, recording)
    return recording


def _data_files(folder: Path) -> list[Path]:
    """Return the files that the manifests in a folder tell of, or else all that can be drawn, of one format."""
    told = sorted({path for path in listed_files(folder, with_former=False) if path.is_file()})
    found = told or sorted(
        path
        for path in folder.rglob("*")
        if _format(path) and path.is_file() and not any(part[0] in "._" for part in path.relative_to(folder).parts)
    )
    formats = {_format(path)[0] for path in found if _format(path)}
    if not found:
        raise ExportError(f"{folder}: has no export to draw: no file ends in .jsonl, .csv, .parquet or .arrow")
    if len(formats) > 1:
        raise ExportError(f"{folder}: has exports as {' and as '.join(sorted(formats))}: give one of its files")
    return found


def _read_file(path: Path, recording: Recording) -> None:
    said = f"{path}"
    try:
        for said, fields in _rows(path):
            try:
                recording.add(fields if _format(path)[:1] in (("parquet",), ("arrow",)) else _typed(fields))
            except (ContractError, KeyError, ValueError, TypeError) as error:
                raise ExportError(f"{said}: is no message of ours: {error}") from None
    except FileNotFoundError:
        raise ExportError(f"{path}: there is no such file") from None
    except LinesTooLarge as error:
        raise ExportError(str(error)) from None
    except (ContractError, csv.Error) as error:
        raise ExportError(f"{said}: is no file of messages of ours: {error}") from None
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise ExportError(f"{path}: cannot be read: {error}") from None


def _format(path: Path) -> tuple[str, ...]:
    """Return the format of a file and its compression, as its name says; nothing of a file that is not drawn."""
    *rest, last = ["", *(suffix.lower() for suffix in path.suffixes)]
    compression = last if last in (".gz", ".zst") else ""
    named = _FORMATS.get(rest[-1] if compression and rest else last)
    return (named, compression) if named else ()


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every message with its place: file and line, or the number of the row."""
    format_, compression = _format(path) or ("jsonl", "")
    if format_ in ("parquet", "arrow"):
        for number, row in enumerate(_table_rows(path, format_), start=1):
            yield f"{path}, row {number}", row
        return
    with _opened(path, compression) as file:
        if format_ == "jsonl":
            yield from _json_rows(file, path)
            return
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        reader = csv.DictReader(bounded_lines(text, path, longest=_LONGEST_LINE))
        for row in reader:
            yield f"{path}, line {reader.line_num}", row


def _opened(path: Path, compression: str) -> BinaryIO:
    if compression == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    if compression == ".zst":
        import pyarrow as pa

        return cast("BinaryIO", io.BufferedReader(pa.CompressedInputStream(str(path), "zstd")))
    return path.open("rb")


def _json_rows(file: BinaryIO, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(bounded_lines(file, path, longest=_LONGEST_LINE), start=1):
        try:
            yield f"{path}, line {number}", orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ExportError(f"{path}, line {number}: is not JSON: {error}") from None


def _typed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message with numbers where its cells in CSV have their texts."""
    drawn = KINDS[kind_of(row).kind].plotted_fields
    return {
        name: _number(text) if name in drawn and isinstance(text, str) else text
        for name, text in row.items()
        if text is not None
    }


def _number(text: str) -> float | None:
    return float(text) if text else None


def _table_rows(path: Path, format_: str) -> Iterator[Mapping[str, Any]]:
    from pyarrow import ArrowException, ipc, memory_map, parquet

    try:
        if format_ == "arrow":
            with memory_map(str(path)) as source, ipc.open_file(source) as file:
                for number in range(file.num_record_batches):
                    batch = file.get_batch(number)
                    # Arrow believes what a file says of itself, as where its texts begin.
                    batch.validate(full=True)
                    yield from batch.to_pylist()
            return
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except ArrowException as error:
        raise ExportError(f"{path}: is no {format_.capitalize()} file: {error}") from None
