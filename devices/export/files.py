"""A file under construction: it has its own name when it is complete, and `NAME.partial` until then.

An export of several files can be cut off between the completion of one and of the next. So its state names the file
itself (its inode), which is known again under its own name.


One file a shape of message: what CSV and Parquet have in common."""

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from devices.export.base import ExportError, State, Window
from devices.export.columns import Shape, by_shape, shapes_of
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline


class PartialFile:
    """Appends to `path.partial`; `complete` gives it its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self.is_complete = False
        """Whether it has its name already."""
        self._file: BinaryIO | None = None

    def open(self, state: State | None) -> None:
        """Begin anew, or go on from where it was saved, dropping what came later.

        Raises `ExportError` where the file cannot be written, or is shorter than it was.
        """
        size = None if state is None else state["size"]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if state is not None and self._was_completed(state):
                self.is_complete = True
                return
            if size is not None and not self.partial.exists():
                raise ExportError(f"{self.partial} is gone, so it cannot be gone on with: leave out --resume")
            if size is not None and self.partial.stat().st_size < size:
                raise ExportError(f"{self.partial} is shorter than its checkpoint says: leave out --resume")
            self._file = self.partial.open("wb" if size is None else "r+b")
            if size is not None:
                self._file.truncate(size)
                self._file.seek(size)
        except OSError as error:
            raise ExportError(f"{self.partial} cannot be written: {error.strerror}") from None

    def write(self, data: bytes) -> None:
        """Append; raises `ExportError` where the disk is full."""
        try:
            self._opened.write(data)
        except OSError as error:
            raise ExportError(f"{self.partial} cannot be written: {error.strerror}") from None

    def save(self) -> State:
        """Make durable what was written; what to go on from."""
        if self.is_complete:
            found = self.path.stat()
            return {"size": found.st_size, "inode": found.st_ino}
        self._sync()
        return {"size": self._opened.tell(), "inode": self.partial.stat().st_ino}

    def complete(self) -> None:
        """Make it durable and give it its name."""
        if self.is_complete:
            return
        self._sync()
        self.close()
        try:
            self.partial.replace(self.path)
        except OSError as error:
            raise ExportError(f"{self.path} cannot be written: {error.strerror}") from None

    def discard(self) -> None:
        """Remove it."""
        self.close()
        self.partial.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go; the partial file stays."""
        if self._file:
            # What a full disk does not take is not saved either.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _sync(self) -> None:
        file = self._opened
        try:
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise ExportError(f"{self.partial} cannot be written: {error.strerror}") from None

    def _was_completed(self, state: State) -> bool:
        return not self.partial.exists() and self.path.exists() and self.path.stat().st_ino == state.get("inode")

    @property
    def _opened(self) -> BinaryIO:
        assert self._file is not None, f"{self.partial} is not open"
        return self._file


class TableWriter(Protocol):
    """Writes the file of one shape."""

    def open(self, state: State | None) -> None: ...

    def write(self, timeline: Timeline, table: Table) -> None: ...

    def save(self) -> dict[str, Any]: ...

    def finish(self) -> None: ...

    def abandon(self) -> None: ...


class TableFiles:
    """A file each for the shapes of a timeline: `FOLDER/NAME.SUFFIX`, or one file where there is one shape."""

    def __init__(
        self,
        timeline: Timeline,
        path: Path,
        suffix: str,
        writer: Callable[[Path, Shape], TableWriter],
        *,
        folder: bool = False,
    ) -> None:
        """`path` is a file if it has the suffix and is not said to be a `folder`.

        Raises `ExportError` where one file does not do.
        """
        self._shapes = shapes_of(timeline)
        if path.suffix == suffix and not folder:
            refuse_several(self._shapes, f"{path}", f"--out {path.with_suffix('')}/ --format {suffix[1:]}")
            paths = [path] * len(self._shapes)
        else:
            paths = [path / f"{shape.name}{suffix}" for shape in self._shapes]
        self.paths = paths
        self._writers = {shape.name: writer(path, shape) for path, shape in zip(paths, self._shapes, strict=True)}

    def open(self, state: State | None) -> None:
        for name, writer in self._writers.items():
            writer.open(state[name] if state else None)

    def write(self, window: Window) -> int:
        for shape, table in by_shape(self._shapes, window.tables):
            self._writers[shape.name].write(window.timeline, table)
        return sum(len(table.times) for table in window.tables)

    def save(self) -> State:
        return {name: writer.save() for name, writer in self._writers.items()}

    def finish(self) -> None:
        for writer in self._writers.values():
            writer.finish()

    def abandon(self) -> None:
        for writer in self._writers.values():
            writer.abandon()


def refuse_several(shapes: Sequence[Shape], target: str, instead: str) -> None:
    """Raise `ExportError` unless there is one shape, so one schema."""
    if len(shapes) > 1:
        names = ", ".join(shape.name for shape in shapes)
        raise ExportError(f"{target}: one file has one schema, but there are {names}: write {instead}")
