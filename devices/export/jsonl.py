"""Writes JSON Lines: one payload a line, the bytes that a live run publishes."""

from pathlib import Path
from typing import BinaryIO

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.compression import Compress, compressor
from devices.export.files import PartialFile
from devices.timeline.table import Batch, Table
from devices.timeline.timeline import Timeline


class JsonlFile:
    """Writes all kinds into one file, in the order of due time, device id and seq."""

    def __init__(self, path: Path, compress: Compress | None = None) -> None:
        self.paths = [path]
        self.rows: dict[Path, int] = {path: 0}
        self._file = PartialFile(path, compress=compress)

    def open(self, state: ResumeState | None) -> None:
        """Begin the file, or go on with it."""
        self._file.open(state)
        self.rows[self.paths[0]] = state["rows"] if state else 0

    def write(self, window: ExportWindow) -> int:
        """Append a window's messages."""
        self.write_lines(window.lines, window.rows)
        return window.rows

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        """Append some messages."""
        self.write_lines(lines(batch), len(batch))

    def write_lines(self, data: bytes, rows: int) -> None:
        """Append so many messages as NDJSON."""
        self._file.write(data)
        self._file.flush()
        self.rows[self.paths[0]] += rows

    def save_state(self) -> ResumeState:
        """Make durable what was written, and return what to go on from."""
        return {**self._file.save_state(), "rows": self.rows[self.paths[0]]}

    def finish(self) -> None:
        """Give the file its name."""
        self._file.complete()

    def abandon(self) -> None:
        """Let go; the partial file stays."""
        self._file.close()


class JsonlPipe:
    """Writes to an open pipe or terminal; what is written is gone, so it cannot be gone on with."""

    def __init__(self, pipe: BinaryIO, compress: Compress | None = None) -> None:
        self._pipe = pipe
        self._compress = compress

    def open(self, state: ResumeState | None) -> None:
        """Do nothing: the pipe is open."""
        assert state is None, "a pipe has no state to go on from"

    def write(self, window: ExportWindow) -> int:
        """Write a window's messages."""
        self._write(window.lines)
        return window.rows

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        """Write some messages; raises `BrokenPipeError` when the reader has left."""
        self._write(lines(batch))

    def save_state(self) -> ResumeState:
        """Return nothing: a pipe has no state."""
        return {}

    def finish(self) -> None:
        """Do nothing: nothing is held."""

    def abandon(self) -> None:
        """Do nothing: nothing is held."""

    def _write(self, data: bytes) -> None:
        try:
            self._pipe.write(self._compress(data) if self._compress and data else data)
            self._pipe.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ExportError(f"stdout cannot be written: {error.strerror}") from None


def lines(batch: Batch) -> bytes:
    """Return the payloads as NDJSON."""
    return b"\n".join([*batch.payload, b""])


class KindFiles:
    """Writes a file for each kind into a folder, as a part of a data set has them."""

    def __init__(self, timeline: Timeline, folder: Path, suffix: str, compression: str) -> None:
        kinds = dict.fromkeys(device.kind for device in timeline.devices)
        self._files = {kind: JsonlFile(folder / f"{kind}{suffix}", compressor(compression)) for kind in kinds}

    @property
    def rows(self) -> dict[Path, int]:
        """Return how many messages each file has."""
        return {path: count for file in self._files.values() for path, count in file.rows.items()}

    def open(self, state: ResumeState | None) -> None:
        """Begin the files."""
        for file in self._files.values():
            file.open(state[file.paths[0].name] if state else None)

    def write(self, window: ExportWindow) -> int:
        """Append a window's messages, each to the file of its kind."""
        found: dict[str, list[Table]] = {}
        for table in window.tables:
            found.setdefault(table.kind, []).append(table)
        for kind, tables in found.items():
            rows = sum(len(table.times) for table in tables)
            self._files[kind].write_lines(window.timeline.encode_lines(tables), rows)
        return window.rows

    def save_state(self) -> ResumeState:
        """Make durable what was written, and return what to go on from."""
        return {file.paths[0].name: file.save_state() for file in self._files.values()}

    def finish(self) -> None:
        """Give the files their names."""
        for file in self._files.values():
            file.finish()

    def abandon(self) -> None:
        """Let go; the partial files stay."""
        for file in self._files.values():
            file.abandon()
