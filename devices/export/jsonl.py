"""JSON Lines: one payload a line, the bytes that a live run publishes."""

from pathlib import Path
from typing import BinaryIO

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.files import PartialFile
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline


class JsonlFile:
    """All kinds in one file, in the order of due time, device id and seq."""

    def __init__(self, path: Path) -> None:
        self._file = PartialFile(path)

    def open(self, state: ResumeState | None) -> None:
        self._file.open(state)

    def write(self, window: ExportWindow) -> int:
        self.write_batch(window.timeline, window.batch)
        return len(window.batch)

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        self._file.write(lines(batch))

    def save_state(self) -> ResumeState:
        return self._file.save_state()

    def finish(self) -> None:
        self._file.complete()

    def abandon(self) -> None:
        self._file.close()


class JsonlPipe:
    """To an open pipe or terminal; what is written is gone, so it cannot be gone on with."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def open(self, state: ResumeState | None) -> None:
        assert state is None, "a pipe has no state to go on from"

    def write(self, window: ExportWindow) -> int:
        self.write_batch(window.timeline, window.batch)
        return len(window.batch)

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        self._write(lines(batch))

    def save_state(self) -> ResumeState:
        return {}

    def finish(self) -> None:
        """Nothing is held."""

    def abandon(self) -> None:
        """Nothing is held."""

    def _write(self, data: bytes) -> None:
        try:
            self._pipe.write(data)
            self._pipe.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ExportError(f"stdout cannot be written: {error.strerror}") from None


def lines(batch: Batch) -> bytes:
    """The payloads as NDJSON."""
    return b"".join([payload + b"\n" for payload in batch.payload])
