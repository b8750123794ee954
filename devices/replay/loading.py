"""Reads the file that a group plays back, with everything that can be told of it before anybody connects."""

import os
from array import array
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from devices.replay.block import ReplayBlock
from devices.replay.cells import CellColumn
from devices.replay.config import ReplayConfig
from devices.replay.parquet_file import parquet_columns, read_parquet
from devices.replay.recording import ReplayRecording, usual_gap_ms
from devices.replay.rows import CsvFile, GpxFile, JsonLinesFile, RowFile
from devices.replay.targets import ReplayTarget, targets_of
from devices.replay.times import read_time_ms
from devices.sensors.kind import DeviceKind
from edgewire.config_errors import closest, located_error
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT, Channel

_MOST_ROWS = 5_000_000
"""Of a file that is read whole."""
_MOST_IDS = 100_000
_MOST_FILES = 16
_GPX_TIME = "timestamp"


def replayed_targets(config: ReplayConfig, kind: DeviceKind) -> dict[str, ReplayTarget]:
    """Return which column of the file goes to which field of a kind.

    Raises `ConfigError` for what is wrong with the file, and `ValueError`, pydantic's, for a key that is.
    """
    columns = _columns(config.file)
    for key, name in (("time", _time_column(config)), ("id", config.id)):
        if name is not None and name not in columns:
            raise located_error((key,), f"{config.file} has no column '{name}'{_hint(name, columns)}")
    known = targets_of(kind)
    for field, column in config.fields.items():
        if field not in known:
            hint = closest(field, known) or f"; there are {', '.join(known)}"
            raise located_error(("fields", field), f"is no field of {kind.name} that can be played back{hint}")
        if column not in columns:
            raise located_error(("fields", field), f"{config.file} has no column '{column}'{_hint(column, columns)}")
    taken = {field: config.fields.get(field, field) for field in known}
    found = {field: column for field, column in taken.items() if column in columns}
    if missing := [name for name in kind.recorded if name not in found]:
        said = f"'{missing[0]}' is recorded, and {config.file} has no column of that name{_hint(missing[0], columns)}"
        raise located_error(("fields",), f"{said}: write fields: {{{missing[0]}: COLUMN}}")
    if not found:
        said = f"{config.file} has no column that is a field of {kind.name}: it has {', '.join(columns[:10])}"
        raise located_error(("fields",), f"{said}; write fields: {{{next(iter(known), 'FIELD')}: COLUMN}}")
    by_column: dict[str, ReplayTarget] = {}
    for field, column in found.items():
        if column in by_column:
            said = f"'{column}' is taken by {by_column[column].name} as well: each column goes to one field"
            raise located_error(("fields", field), said)
        by_column[column] = known[field]
    return by_column


def check_replay(config: ReplayConfig, kind: DeviceKind) -> None:
    """Raise `ValueError`, pydantic's, where a kind has nothing that could be played back."""
    if any(message.channel is Channel.EVENT for message in CONTRACT[kind.name].messages):
        said = f"{kind.name} tells events, and a file has readings alone: give a kind without events"
        raise located_error(("file",), f"{said}, or one of your own")


def load_recording(config: ReplayConfig, targets: Mapping[str, ReplayTarget]) -> ReplayRecording:
    """Return what a file holds of these columns; a file that is read again and is the same is not read twice.

    Raises `ConfigError` with file and line.
    """
    try:
        state = os.stat(config.file)
    except OSError as error:
        raise ConfigError(f"{config.file}: cannot be read: {error.strerror}") from None
    return _load(
        config.file,
        (state.st_mtime_ns, state.st_size, state.st_ino),
        _time_column(config),
        config.id,
        config.timezone,
        tuple(targets.items()),
    )


@lru_cache(maxsize=_MOST_FILES)
def _load(
    path: Path,
    _state: tuple[int, int, int],
    time: str,
    id_: str | None,
    timezone: str | None,
    targets: tuple[tuple[str, ReplayTarget], ...],
) -> ReplayRecording:
    zone = None if timezone is None else ZoneInfo(timezone)
    if path.suffix.lower() == ".parquet":
        return read_parquet(path, time, id_, zone, dict(targets))
    return _read_rows(path, time, id_, zone, dict(targets))


def _time_column(config: ReplayConfig) -> str:
    return _GPX_TIME if config.file.suffix.lower() == ".gpx" else config.time


def _hint(name: str, columns: list[str]) -> str:
    return closest(name, columns) or f"; it has {', '.join(columns[:20])}"


def _columns(path: Path) -> list[str]:
    return parquet_columns(path) if path.suffix.lower() == ".parquet" else _row_file(path).columns()


def _row_file(path: Path) -> RowFile:
    match path.suffix.lower():
        case ".csv":
            return CsvFile(path)
        case ".gpx":
            return GpxFile(path)
    return JsonLinesFile(path)


def _read_rows(
    path: Path, time: str, id_: str | None, zone: ZoneInfo | None, targets: dict[str, ReplayTarget]
) -> ReplayRecording:
    ids: dict[str, int] = {}
    last_ms: dict[int, int] = {}
    numbers, times = array("i"), array("q")
    columns = {name: CellColumn(target, name) for name, target in targets.items()}
    for row in _row_file(path).rows():
        if len(times) >= _MOST_ROWS:
            raise ConfigError(f"{row.place}: there are more than {_MOST_ROWS:,} rows: write them as .parquet")
        who = "" if id_ is None else str(row.values.get(id_) or "")
        if id_ is not None and not who:
            raise ConfigError(f"{row.place}: {id_} has no value")
        number = ids.setdefault(who, len(ids))
        if len(ids) > _MOST_IDS:
            raise ConfigError(f"{row.place}: {id_} has more than {_MOST_IDS:,} values: is it the right column?")
        cell = row.values.get(time)
        try:
            time_ms = read_time_ms(cell, zone)
        except ValueError as error:
            raise ConfigError(f"{row.place}: {time}: {error}") from None
        if time_ms < last_ms.get(number, time_ms):
            what = "a row" if id_ is None else f"a row of {id_} '{who[:40]}'"
            raise ConfigError(
                f"{row.place}: {time} {str(cell)[:40]} is before that of {what} above: sort the file by time"
            )
        last_ms[number] = time_ms
        numbers.append(number)
        times.append(time_ms)
        for name, column in columns.items():
            column.take(row.place, row.values.get(name))
    if not times:
        raise ConfigError(f"{path}: has no row with a reading")
    who_array, time_array = np.array(numbers, dtype=np.int32), np.array(times, dtype=np.int64)
    block = ReplayBlock(who_array, time_array, {name: column.values() for name, column in columns.items()})
    return ReplayRecording(list(ids), [block], lambda _: block, usual_gap_ms(who_array, time_array))
