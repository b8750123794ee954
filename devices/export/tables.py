"""One file a shape of message: what CSV and Parquet have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from devices.export.base import ExportError, State, Window
from devices.export.shapes import Shape, by_shape, shapes_of
from devices.table import Table
from devices.timeline import Timeline


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
