"""Reads the points of a GPX file (topografix GPX 1.0 and 1.1) as a stream, without entities and bounded in depth."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from edgewire.errors import ConfigError

GPX_COLUMNS = ("timestamp", "track", "latitude", "longitude", "altitude_m", "speed_kmh", "heading_deg")
_MOST_BYTES = 512 << 20
_PIECE = 1 << 16
_MOST_DEPTH = 50
_LONGEST_TEXT = 1000


class TrackPoint(NamedTuple):
    """Holds a point, and where it stands."""

    place: str
    track: str
    time: str
    latitude: float
    longitude: float
    elevation: float | None


def read_points(path: Path) -> Iterator[TrackPoint]:
    """Yield the points of all tracks; raises `ConfigError` with file and line.

    A file that declares a document type is refused: entities of its own can make much of little.
    """
    reader = _Reader(path)
    try:
        with path.open("rb") as file:
            size = 0
            while piece := file.read(_PIECE):
                size += len(piece)
                if size > _MOST_BYTES:
                    raise ConfigError(f"{path}: is larger than {_MOST_BYTES >> 20} MiB: cut it into several tracks")
                reader.parser.Parse(piece, False)
                yield from reader.take()
            if not size:
                raise ConfigError(f"{path}: is empty")
            reader.parser.Parse(b"", True)
            yield from reader.take()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except expat.ExpatError as error:
        raise ConfigError(f"{path}:{error.lineno}: is no XML: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError) as error:
        # Python is asked for an encoding that the parser does not know, and may not know it either.
        raise ConfigError(f"{path}: its encoding cannot be read: {error}; save the file as UTF-8") from None


class _Reader:
    """Collects the points of what its parser is fed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[str] = []
        self._text = ""
        self._tracks = 0
        self._track = ""
        self._point: dict[str, str] | None = None
        self._line = 0
        self._done: list[TrackPoint] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse

    def take(self) -> list[TrackPoint]:
        """Return what was collected since the last call."""
        done, self._done = self._done, []
        return done

    def _refuse(self, *_: object) -> None:
        raise ConfigError(f"{self._path}: declares a document type, and a track needs none: take that line out")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._stack.append(name.rpartition(" ")[2])
        if len(self._stack) > _MOST_DEPTH:
            raise ConfigError(
                f"{self._path}:{self.parser.CurrentLineNumber}: has elements more than {_MOST_DEPTH} deep"
            )
        if len(self._stack) == 1 and self._stack[0] != "gpx":
            raise ConfigError(f"{self._path}: is no GPX: its root is <{self._stack[0]}>")
        self._text = ""
        match self._stack[-1]:
            case "trk":
                self._tracks += 1
                self._track = f"track {self._tracks}"
            case "trkpt":
                self._point, self._line = dict(attributes), self.parser.CurrentLineNumber

    def _characters(self, text: str) -> None:
        if len(self._text) < _LONGEST_TEXT:
            self._text += text

    def _end(self, _: str) -> None:
        name = self._stack.pop()
        above = self._stack[-1] if self._stack else ""
        if self._point is not None and above == "trkpt" and name in ("time", "ele"):
            self._point[name] = self._text.strip()
        elif name == "name" and above == "trk" and self._text.strip():
            self._track = self._text.strip()
        elif name == "trkpt" and self._point is not None:
            self._done.append(self._made(self._point))
            self._point = None
        self._text = ""

    def _made(self, point: dict[str, str]) -> TrackPoint:
        place = f"{self._path}:{self._line}"
        if not point.get("time"):
            raise ConfigError(
                f"{place}: the point has no <time>: play back a recorded track, a planned one has no times"
            )
        numbers = []
        for name, limit in (("lat", 90.0), ("lon", 180.0)):
            found = _number(point.get(name, ""))
            if found is None or not abs(found) <= limit:
                raise ConfigError(f"{place}: {name} is '{point.get(name, '')[:40]}': write degrees up to {limit:g}")
            numbers.append(found)
        return TrackPoint(place, self._track, point["time"], numbers[0], numbers[1], _number(point.get("ele", "")))


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None
