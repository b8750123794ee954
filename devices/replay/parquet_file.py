"""Reads a Parquet file a row group at a time: once through to check it and to know its times, then those asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from devices.replay.block import RecordedTexts, ReplayBlock, Values
from devices.replay.recording import ReplayRecording, usual_gap_ms
from devices.replay.targets import ReplayTarget
from devices.replay.times import check_time, read_time_ms, time_divisor
from devices.world.random import Ints
from edgewire.clock import iso_ms
from edgewire.errors import ConfigError

_MOST_ROWS = 2_000_000
"""Of a row group: one is in memory as a whole."""
_MOST_IDS = 100_000


def parquet_columns(path: Path) -> list[str]:
    """Return the names of the columns of a file; raises `ConfigError`."""
    return list(_open(path).schema_arrow.names)


def read_parquet(
    path: Path, time: str, id_: str | None, zone: ZoneInfo | None, targets: Mapping[str, ReplayTarget]
) -> ReplayRecording:
    """Return what a file holds, of which a few row groups are in memory; raises `ConfigError`."""
    reader = _Reader(path, time, id_, zone, targets)
    return reader.recording()


def _open(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ConfigError(f"{path}: Parquet needs pyarrow: pip install 'edgefleet[export]'") from None
    try:
        return parquet.ParquetFile(path, memory_map=False)
    except ArrowException as error:
        said = str(error).splitlines()[0][:200]
        raise ConfigError(f"{path}: is no Parquet file, or was cut off: {said}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or str(error)[:200]}") from None


class _Reader:
    def __init__(
        self, path: Path, time: str, id_: str | None, zone: ZoneInfo | None, targets: Mapping[str, ReplayTarget]
    ) -> None:
        self._path, self._time, self._id, self._zone, self._targets = path, time, id_, zone, targets
        self._file = _open(path)
        self._ids: dict[str, int] = {}

    def recording(self) -> ReplayRecording:
        """Read all row groups once, and keep none."""
        metadata = self._file.metadata
        if not metadata.num_rows:
            raise ConfigError(f"{self._path}: has no row")
        last_ms: dict[int, int] = {}
        found: ReplayRecording | None = None
        for number in range(metadata.num_row_groups):
            if metadata.row_group(number).num_rows > _MOST_ROWS:
                said = f"row group {number} has more than {_MOST_ROWS:,} rows, and each is in memory as a whole"
                raise ConfigError(f"{self._path}: {said}: write the file with smaller ones, such as 1,000,000")
            ids, times, columns = self._read(number)
            if not len(ids):
                continue
            self._check_order(number, ids, times, last_ms)
            if found is None:
                found = ReplayRecording([], [], self._block, usual_gap_ms(ids, times))
            found.add(number, ReplayBlock(ids, times, {}))
            self._check(number, columns)
        assert found is not None, "it has rows"
        found.ids = tuple(self._ids)
        return found

    def _block(self, number: int) -> ReplayBlock:
        ids, times, columns = self._read(number)
        return ReplayBlock(ids, times, columns)

    def _read(self, number: int) -> tuple[NDArray[np.int32], Ints, dict[str, Values]]:
        from pyarrow import ArrowException

        names = [*dict.fromkeys([self._time, *([self._id] if self._id else []), *self._targets])]
        try:
            table = self._file.read_row_group(number, columns=names)
        except (ArrowException, OSError) as error:
            said = str(error).splitlines()[0][:200]
            raise ConfigError(f"{self._path}: row group {number} cannot be read, or was cut off: {said}") from None
        times = self._times(number, table.column(self._time))
        count = len(times)
        ids = np.zeros(count, dtype=np.int32) if self._id is None else self._numbers(number, table.column(self._id))
        if self._id is None:
            self._ids.setdefault("", 0)
        columns = {name: self._values(number, name, table.column(name)) for name in self._targets}
        return ids, times, columns

    def _times(self, number: int, column: Any) -> Ints:
        import pyarrow as pa

        place = f"{self._path}: row group {number}: {self._time}"
        if column.null_count:
            raise ConfigError(f"{place} has no value in {column.null_count:,} rows")
        type_ = column.type
        if pa.types.is_timestamp(type_):
            if type_.tz is None and self._zone is None:
                said = "has times without an offset: write timezone: and their zone, or UTC, under replay"
                raise ConfigError(f"{place} {said}")
            if type_.tz is None and str(self._zone) != "UTC":
                column = pa.compute.assume_timezone(column, str(self._zone), ambiguous="earliest", nonexistent="latest")
            unit = pa.timestamp("ms", tz=None if column.type.tz is None else "UTC")
            found = column.cast(unit, safe=False).cast(pa.int64()).to_numpy()
        elif pa.types.is_integer(type_) or pa.types.is_floating(type_):
            numbers = column.to_numpy().astype(np.float64)
            divisor = time_divisor(float(np.abs(numbers).max(initial=0)))
            with np.errstate(invalid="ignore"):
                found = np.rint(numbers / divisor).astype(np.int64)
        elif pa.types.is_string(type_) or pa.types.is_large_string(type_):
            try:
                found = np.array([read_time_ms(text, self._zone) for text in column.to_pylist()], dtype=np.int64)
            except ValueError as error:
                raise ConfigError(f"{place}: {error}") from None
        else:
            raise ConfigError(f"{place} is of type {type_}, which is no time")
        for extreme in (found.min(initial=2**31), found.max(initial=2**31)):
            try:
                check_time(int(extreme))
            except ValueError as error:
                raise ConfigError(f"{place} {error}") from None
        return np.asarray(found, dtype=np.int64)

    def _numbers(self, number: int, column: Any) -> NDArray[np.int32]:
        encoded = column.combine_chunks().dictionary_encode() if not _is_dictionary(column) else column.combine_chunks()
        words = [str(word) for word in encoded.dictionary.to_pylist()]
        if encoded.null_count:
            raise ConfigError(
                f"{self._path}: row group {number}: {self._id} has no value in {encoded.null_count:,} rows"
            )
        if len(self._ids) + len(words) > 2 * _MOST_IDS:
            raise ConfigError(f"{self._path}: {self._id} has more than {_MOST_IDS:,} values: is it the right column?")
        known = np.array([self._ids.setdefault(word, len(self._ids)) for word in words], dtype=np.int32)
        return np.asarray(known[encoded.indices.to_numpy()])

    def _values(self, number: int, name: str, column: Any) -> Values:
        import pyarrow as pa

        target = self._targets[name]
        place = f"{self._path}: row group {number}: {name}"
        type_ = column.type.value_type if _is_dictionary(column) else column.type
        if target.type == "text":
            if not (pa.types.is_string(type_) or pa.types.is_large_string(type_)):
                raise ConfigError(f"{place} is of type {column.type}, and {target.name} is a text")
            chunk = column.combine_chunks()
            encoded = chunk if _is_dictionary(column) else chunk.dictionary_encode()
            words = tuple(encoded.dictionary.to_pylist())
            if target.words and (strange := next((one for one in words if one not in target.words), None)) is not None:
                raise ConfigError(f"{place} has '{str(strange)[:40]}', which {target.name} never is")
            return RecordedTexts(
                np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int32), words
            )
        if not (pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)):
            raise ConfigError(f"{place} is of type {column.type}, and {target.name} is a {_SAID[target.type]}")
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)

    def _check_order(self, number: int, ids: NDArray[np.int32], times: Ints, last_ms: dict[int, int]) -> None:
        order = np.argsort(ids, kind="stable")
        sorted_times, sorted_ids = times[order], ids[order]
        back = (np.diff(sorted_times) < 0) & (np.diff(sorted_ids) == 0)
        if back.any():
            row = int(order[1:][back].min())
            raise self._went_back(f"row group {number}, row {row:,}", int(times[row]))
        for one, first, last in zip(*_spans(sorted_ids, sorted_times), strict=True):
            if first < last_ms.get(one, first):
                raise self._went_back(f"row group {number}", first)
            last_ms[one] = last

    def _went_back(self, place: str, time_ms: int) -> ConfigError:
        said = f"{self._time} {iso_ms(time_ms)} is before that of a row above of the same device: sort the file by time"
        return ConfigError(f"{self._path}: {place}: {said}")

    def _check(self, number: int, columns: Mapping[str, Values]) -> None:
        for name, values in columns.items():
            target = self._targets[name]
            place = f"{self._path}: row group {number}: {name}"
            if isinstance(values, RecordedTexts):
                missing = int((values.codes < 0).sum())
            else:
                known = np.isfinite(values) | np.isinf(values)
                missing = len(values) - int(known.sum())
                for extreme in (values[known].min(initial=np.inf), values[known].max(initial=-np.inf)):
                    if known.any() and target.type != "flag" and (fault := target.fault(float(extreme))):
                        raise ConfigError(f"{place} has {float(extreme):g}, and {fault}")
            if missing and not target.is_nullable:
                said = (
                    f"has no value in {missing:,} rows, and {target.name} always has one: leave them out, or the field"
                )
                raise ConfigError(f"{place} {said}")


_SAID = {"number": "number", "whole": "whole number", "flag": "true or false", "text": "text"}


def _is_dictionary(column: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(column.type))


def _spans(ids: NDArray[np.int32], times: Ints) -> tuple[list[int], list[int], list[int]]:
    who, starts = np.unique(ids, return_index=True)
    ends = np.append(starts[1:], len(ids)) - 1
    return who.tolist(), times[starts].tolist(), times[ends].tolist()
