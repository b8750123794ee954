"""Reads what a pipeline has stored out of a file of JSON lines: for stores that this package does not know."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from edgefleet.verify.arrivals import CHUNK, Arrivals
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError
from edgewire.messages.base import ContractError, MessageId
from edgewire.run_record import RunRecord

LONGEST_LINE = 16 << 20
_KEYS = ("device_id", "boot", "seq", "timestamp", "arrived", "id")
_LARGEST = 10**15


class _Row(NamedTuple):
    device_id: str
    boot: int
    seq: int
    timestamp_ms: int
    arrived_ms: int
    fields: Mapping[str, Any]


class RowSource:
    """Reads messages as a pipeline has stored them, one JSON object a line.

    Each has `device_id`, `boot` and `seq`, or an `id` of all three; `timestamp` and `arrived`, when it was measured and
    when it came (ISO 8601, or milliseconds since 1970), may be missing. In `keys`, those names have other names there.
    """

    def __init__(self, path: Path, record: RunRecord, keys: Mapping[str, str] | None = None) -> None:
        """Read rows of a run with this record; raises `ConfigError` for a key that there is not."""
        for name in keys or {}:
            if name not in _KEYS:
                raise ConfigError(f"'{name}' is none of the names in a row: {', '.join(_KEYS)}")
        self._path = path
        self._record = record
        self._names = {name: name for name in _KEYS} | dict(keys or {})
        self._position = 0
        self._line = 0
        self.has_times = True
        """Whether all rows so far say when they were measured and when they came."""

    @property
    def note(self) -> str:
        """Return what one must know to read the numbers."""
        return "" if self.has_times else f"{self._path} has rows without times: it has no latencies"

    def read_arrivals(self) -> Iterator[Arrivals]:
        """Yield what was added to the file since the last call; raises `ConfigError` that names file and line."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                rows: list[_Row] = []
                while text := file.readline(LONGEST_LINE):
                    self._line += 1
                    if text.strip():
                        rows.append(self._row(text))
                    if len(rows) == CHUNK:
                        yield _columns(rows)
                        rows = []
                self._position = file.tell()
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from None
        if rows:
            yield _columns(rows)

    def find_arrivals(self, devices: Sequence[tuple[str, int]]) -> Iterator[Arrivals]:
        """Yield nothing: all has been read."""
        yield from ()

    def find_conflicts(self) -> Iterator[Arrivals]:
        """Yield nothing: whatever came under an id twice is there twice."""
        yield from ()

    def close(self) -> None:
        """Do nothing: the file is open while it is read."""

    def _row(self, text: bytes) -> _Row:
        try:
            fields = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise self._refusal(f"is not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise self._refusal("is no JSON object")
        message_id = self._message_id(fields)
        timestamp_ms, arrived_ms = (self._time(fields, name) for name in ("timestamp", "arrived"))
        if timestamp_ms is None or arrived_ms is None:
            self.has_times = False
            timestamp_ms, arrived_ms = self._record.sim_started_ms, self._record.stopped_ms
        return _Row(*message_id, timestamp_ms, arrived_ms, fields)

    def _message_id(self, fields: Mapping[str, Any]) -> MessageId:
        names = [self._names[name] for name in ("device_id", "boot", "seq")]
        if (text := fields.get(self._names["id"])) is not None and not all(name in fields for name in names):
            try:
                return MessageId.parse(str(text))
            except ContractError as error:
                raise self._refusal(str(error)) from None
        for name in names:
            if name not in fields:
                raise self._refusal(f"has no '{name}'; it has {', '.join(fields) or 'nothing'}")
        device_id, boot, seq = (fields[name] for name in names)
        for name, number in zip(names[1:], (boot, seq), strict=True):
            if type(number) is not int or not 0 <= number <= _LARGEST:
                raise self._refusal(f"{name} should be a whole number, got {number!r}")
        return MessageId(str(device_id), boot, seq)

    def _time(self, fields: Mapping[str, Any], name: str) -> int | None:
        value = fields.get(self._names[name])
        if value is None:
            return None
        try:
            if isinstance(value, str):
                return parse_ms(value)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
                return round(value)
        except (ValueError, OverflowError):
            pass
        raise self._refusal(
            f"{self._names[name]} should be an ISO 8601 time or milliseconds since 1970, got {str(value)[:60]!r}"
        )

    def _refusal(self, what: str) -> ConfigError:
        return ConfigError(f"{self._path}:{self._line}: {what}")


def _columns(rows: Sequence[_Row]) -> Arrivals:
    names, boots, seqs, timestamps, arrived, fields = zip(*rows, strict=True)
    return Arrivals("rows", names, boots, seqs, timestamps, arrived, fields)
