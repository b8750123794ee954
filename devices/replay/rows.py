"""Rows of a file of readings, as its format has them; `loading` makes a recording of them."""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from devices.replay.gpx import GPX_COLUMNS, read_points
from edgewire.bounded_lines import LinesTooLarge, bounded_lines
from edgewire.errors import ConfigError

_LONGEST_LINE = 1 << 20
_MOST_COLUMNS = 1000
_MOST_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Row:
    """Holds a row, and where it stands."""

    place: str
    values: Mapping[str, Any]


class RowFile(Protocol):
    """Reads a file row by row."""

    def columns(self) -> list[str]:
        """Return the names of its columns; raises `ConfigError`."""
        ...

    def rows(self) -> Iterator[Row]:
        """Yield its rows; raises `ConfigError` with file and line."""
        ...


class CsvFile:
    """A CSV file with a head; commas, semicolons and tabs separate."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def columns(self) -> list[str]:
        """Return the names in its head."""
        for _, cells in self._cells():
            names = [name.strip() for name in cells]
            if len(set(names)) < len(names):
                twin = next(name for at, name in enumerate(names) if name in names[:at])
                raise ConfigError(f"{self._path}:1: has two columns '{twin}': give one of them another name")
            if len(names) > _MOST_COLUMNS:
                raise ConfigError(f"{self._path}:1: has more than {_MOST_COLUMNS:,} columns")
            return names
        raise ConfigError(f"{self._path}: is empty: write a head with the names of columns, and a line a reading")

    def rows(self) -> Iterator[Row]:
        """Yield the lines below the head; an empty cell is None."""
        names: list[str] = []
        for line, cells in self._cells():
            if not names:
                names = [name.strip() for name in cells]
                continue
            place = f"{self._path}:{line}"
            if len(cells) != len(names):
                raise ConfigError(f"{place}: has {len(cells)} values, and the head {len(names)}: write one for each")
            yield Row(place, dict(zip(names, (cell.strip() or None for cell in cells), strict=True)))

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        line = 0
        try:
            with self._path.open(newline="", encoding="utf-8-sig") as file:
                head = file.readline(_LONGEST_LINE)
                delimiter = max(",;\t", key=head.count)
                file.seek(0)
                lines = bounded_lines(file, self._path, longest=_LONGEST_LINE)
                reader = csv.reader(lines, delimiter=delimiter, strict=True)
                for cells in reader:
                    line = reader.line_num
                    if any(cells):
                        yield line, cells
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{self._path}: is no text in UTF-8: save the file as that") from None
        except csv.Error as error:
            raise ConfigError(f"{self._path}:{line + 1}: is no line of CSV: {error}") from None
        except LinesTooLarge as error:
            raise ConfigError(str(error)) from None


class JsonLinesFile:
    """A file with a JSON object a line; members of objects in it are columns such as `air.temp`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def columns(self) -> list[str]:
        """Return the names in its first line."""
        for row in self.rows():
            return list(row.values)
        raise ConfigError(f"{self._path}: is empty: write a JSON object a line, one for each reading")

    def rows(self) -> Iterator[Row]:
        """Yield its lines."""
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(bounded_lines(file, self._path, longest=_LONGEST_LINE), 1):
                    if line.strip():
                        place = f"{self._path}:{number}"
                        yield Row(place, _flat(_object(place, line)))
        except LinesTooLarge as error:
            raise ConfigError(str(error)) from None
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from None


def _object(place: str, line: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{place}: is no JSON: {error}; write an object a line") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{place}: is JSON, but no object")
    return found


def _flat(found: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, dict) and depth < _MOST_DEPTH:
            flat |= _flat(value, f"{before}{name}.", depth + 1)
        else:
            flat[f"{before}{name}"] = value
    return flat


class GpxFile:
    """A GPX file: the points of its tracks, with speed and course from one to the next."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def columns(self) -> list[str]:
        """Return the names of what a point has."""
        return list(GPX_COLUMNS)

    def rows(self) -> Iterator[Row]:
        """Yield the points in their order."""
        before: dict[str, Any] = {}
        last_track = None
        for place, track, time, latitude, longitude, elevation in read_points(self._path):
            values: dict[str, Any] = {
                "timestamp": time,
                "track": track,
                "latitude": latitude,
                "longitude": longitude,
                "altitude_m": elevation,
            }
            yield Row(place, values | _course(before if track == last_track else {}, values))
            before, last_track = values, track


_EARTH_M = 6_371_008.8  # IUGG mean radius
_LEAST_MOVE_M = 0.5
"""What is less is no course."""


def _course(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return speed and course since the point before, by the great circle (haversine formula)."""
    if not before:
        return {"speed_kmh": 0.0, "heading_deg": None}
    passed_s = _seconds(before["timestamp"], now["timestamp"])
    lat_1, lat_2 = math.radians(before["latitude"]), math.radians(now["latitude"])
    east = math.radians(now["longitude"] - before["longitude"])
    half = math.sin((lat_2 - lat_1) / 2) ** 2 + math.cos(lat_1) * math.cos(lat_2) * math.sin(east / 2) ** 2
    moved_m = 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(half)))
    if moved_m < _LEAST_MOVE_M or passed_s <= 0:
        return {"speed_kmh": 0.0, "heading_deg": None}
    y = math.sin(east) * math.cos(lat_2)
    x = math.cos(lat_1) * math.sin(lat_2) - math.sin(lat_1) * math.cos(lat_2) * math.cos(east)
    heading = round(math.degrees(math.atan2(y, x)) % 360, 1) % 360
    return {"speed_kmh": round(min(moved_m / passed_s * 3.6, 400.0), 1), "heading_deg": heading}


def _seconds(before: Any, now: Any) -> float:
    try:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(before)).total_seconds()
    except (ValueError, TypeError):
        return 0.0  # what is wrong with it is told of the row
