"""Keeps files under construction: one has its own name when it is complete, and `NAME.partial` until then.

An export of several files can be cut off between the completion of one and of the next. So its state names the file
itself (its inode), which is known again under its own name. What CSV and Parquet have in common is here too: a file for
each schema of the messages.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.columns import TableSchema, split_by_schema, table_schemas
from devices.export.compression import Compress
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline
from edgewire.output import is_stream, make_output_folder, open_stream, partial_path, require_file
from edgewire.output_lock import OutputLock


class PartialFile:
    """Appends to `path.partial`, which others may do too; `complete` gives it its name.

    What is a stream at `path`, such as a FIFO, is written into instead (see `edgewire.output`), and cannot be gone on
    with: at once, or where the writer moves about in its file (`staged`), as a whole from a temporary one. What is only
    of use to another file until that is complete (`part_of`) is where that one is. A file has one writer at a time.
    """

    def __init__(
        self,
        path: Path,
        *,
        staged: bool = False,
        part_of: "PartialFile | None" = None,
        compress: Compress | None = None,
    ) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self.is_complete = False
        """Whether it has its name already."""
        self._staged = staged
        self._compress = compress
        self._part_of = part_of
        self._stage: TemporaryDirectory[str] | None = None
        self._is_stream = False
        self._file: BinaryIO | None = None
        self._lock: OutputLock | None = None

    @property
    def stage(self) -> Path | None:
        """Return the temporary folder of one that is written into a stream as a whole."""
        return Path(self._stage.name) if self._stage else None

    def open(self, state: ResumeState | None) -> None:
        """Begin anew, or go on from where it was saved, dropping what came later.

        Raises `ExportError` where the file cannot be written, or is shorter than it was; `OutputBusyError` where
        another process writes it.
        """
        with self.translate_errors():
            if self._part_of and self._part_of.stage:
                self.partial = self._part_of.stage / self.partial.name
                self._file = self.partial.open("ab")
                return
            self._is_stream = self._is_stdout or is_stream(self.path)
            if self._is_stream:
                self._open_stream()
                return
            self.path = require_file(self.path)
            make_output_folder(self.path.parent)
            self.partial = partial_path(self.path)
            if self._part_of is None:
                lock = OutputLock(self.path)
                lock.acquire()
                self._lock = lock
            if state is None:
                self.partial.open("wb").close()
            elif self._was_completed(state):
                self.is_complete = True
                return
            elif not self.partial.exists():
                raise ExportError(f"{self.partial} is gone, so it cannot be gone on with: leave out --resume")
            elif self.partial.stat().st_size < state["size"]:
                raise ExportError(f"{self.partial} is shorter than its checkpoint says: leave out --resume")
            else:
                os.truncate(self.partial, state["size"])
            self._file = self.partial.open("ab")

    def write(self, data: bytes) -> None:
        """Append some bytes, compressed as a piece of their own; raises `ExportError` where the disk is full."""
        with self.translate_errors():
            self._opened.write(self._compress(data) if self._compress and data else data)

    def flush(self) -> None:
        """Hand over what was written, so that what is counted as written is; raises `ExportError` as `write` does."""
        with self.translate_errors():
            self._opened.flush()

    @property
    def size(self) -> int:
        """Return how many bytes it has."""
        self._opened.flush()
        return os.fstat(self._opened.fileno()).st_size

    def truncate(self, size: int) -> None:
        """Drop what is behind the first `size` bytes."""
        with self.translate_errors():
            self._opened.truncate(size)

    def save_state(self) -> ResumeState:
        """Make durable what was written, and return what to go on from."""
        if self._is_stream:
            with self.translate_errors():
                self._opened.flush()
            return {}
        if self.is_complete:
            found = self.path.stat()
        else:
            self._sync()
            found = self.partial.stat()
        return {"size": found.st_size, "inode": found.st_ino}

    def complete(self) -> None:
        """Make it durable and give it its name."""
        if self.is_complete:
            self.close()
            return
        if self._is_stream:
            self._finish_stream()
            return
        self._sync()
        if self._lock:
            self._lock.check()
        try:
            self._close_file()
            self.partial.replace(self.path)
        except OSError as error:
            raise ExportError(f"{self.path} cannot be written: {error.strerror}") from None
        finally:
            self.close()

    def discard(self) -> None:
        """Remove it."""
        self.close()
        if not self._is_stream:
            self.partial.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go; the partial file stays."""
        self._close_file()
        if self._lock:
            self._lock.release()
            self._lock = None

    def _close_file(self) -> None:
        if self._file:
            # What a full disk does not take is not saved either.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if self._stage:
            self._stage.cleanup()
            self._stage = None

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise `ExportError` that names the file where the operating system refuses to write it."""
        try:
            yield
        except OSError as error:
            if self._is_stdout and isinstance(error, BrokenPipeError):
                raise
            place = self.partial if self._file and not self._is_stream else self.path
            raise ExportError(f"{place} cannot be written: {_reason(error)}") from None

    def _sync(self) -> None:
        with self.translate_errors():
            self._opened.flush()
            os.fsync(self._opened.fileno())

    def _open_stream(self) -> None:
        if not self._staged:
            self._file = self._reopened()
            return
        self._stage = TemporaryDirectory(prefix="edgefleet-")
        self.partial = Path(self._stage.name) / self.partial.name
        self._file = self.partial.open("ab")

    def _finish_stream(self) -> None:
        with self.translate_errors():
            self._opened.flush()
            if self._stage:
                with self._reopened() as stream, self.partial.open("rb") as content:
                    shutil.copyfileobj(content, stream)
            else:
                self._opened.close()  # here, so that what is not taken is an error
            self.is_complete = True
        self.close()

    @property
    def _is_stdout(self) -> bool:
        return str(self.path) == "-"

    def _reopened(self) -> BinaryIO:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb") if self._is_stdout else open_stream(self.path)

    def _was_completed(self, state: ResumeState) -> bool:
        return not self.partial.exists() and self.path.exists() and self.path.stat().st_ino == state.get("inode")

    @property
    def _opened(self) -> BinaryIO:
        assert self._file is not None, f"{self.partial} is not open"
        return self._file


def _reason(error: OSError) -> str:
    # pyarrow has a sentence of its own in the place of the reason, with the path and the code.
    return (
        error.strerror if error.filename and error.strerror else os.strerror(error.errno) if error.errno else str(error)
    )


_OTHER_SUFFIXES = {
    ".parquet": (".pq",),
    ".arrow": (".feather", ".ipc"),
    ".csv.gz": (".csv.gzip",),
    ".csv.zst": (".csv.zstd",),
}
"""What else the name of one file may end in."""


class TableWriter(Protocol):
    """Writes the file of one schema."""

    def open_file(self, state: ResumeState | None) -> None:
        """Begin the file, or go on with it."""
        ...

    def write(self, timeline: Timeline, tables: Sequence[Table]) -> None:
        """Append the rows of some tables, in the order of all output."""
        ...

    def save_state(self) -> dict[str, Any]:
        """Make durable what was written, and return what to go on from."""
        ...

    def finish(self) -> None:
        """Give the file its name."""
        ...

    def abandon(self) -> None:
        """Let go; the partial file stays."""
        ...


class TableFiles:
    """Writes a file for each schema of a timeline: `FOLDER/NAME.SUFFIX`, or one file where there is one schema."""

    def __init__(
        self,
        timeline: Timeline,
        path: Path,
        suffix: str,
        writer: Callable[[Path, TableSchema], TableWriter],
        *,
        folder: bool = False,
        part: str = "",
    ) -> None:
        """Write to `path`: a file if it has the suffix and is not said to be a `folder`, or is "-", which is stdout.

        In a folder the names end in `part`, before the suffix. Raises `ExportError` where one file does not do.
        """
        self._schemas = table_schemas(timeline)
        is_file = str(path) == "-" or path.name.lower().endswith((suffix, *_OTHER_SUFFIXES.get(suffix, ())))
        if is_file and not folder:
            place = "stdout" if str(path) == "-" else str(path)
            folder_name = "FOLDER" if str(path) == "-" else str(path)[: -len(suffix)]
            require_one_schema(self._schemas, place, f"--out {folder_name}/ --format {suffix[1:]}")
            paths = [path] * len(self._schemas)
        else:
            paths = [path / f"{schema.name}{part}{suffix}" for schema in self._schemas]
        self.paths = paths
        self.rows: dict[Path, int] = dict.fromkeys(paths, 0)
        """Rows of each file, for its manifest."""
        self._writers = {schema.name: writer(path, schema) for path, schema in zip(paths, self._schemas, strict=True)}

    def open(self, state: ResumeState | None) -> None:
        """Begin the files, or go on with them."""
        for path, (name, writer) in zip(self.paths, self._writers.items(), strict=True):
            writer.open_file(state[name] if state else None)
            self.rows[path] = state[name]["rows"] if state else 0

    def write(self, window: ExportWindow) -> int:
        """Append a window's messages to their files."""
        paths = dict(zip(self._writers, self.paths, strict=True))
        found: dict[str, list[Table]] = {}
        for schema, table in split_by_schema(self._schemas, window.tables):
            found.setdefault(schema.name, []).append(table)
        for name, tables in found.items():
            self._writers[name].write(window.timeline, tables)
            self.rows[paths[name]] += sum(len(table.times) for table in tables)
        return window.rows

    def save_state(self) -> ResumeState:
        """Make durable what was written, and return the state of every file."""
        return {
            name: {**writer.save_state(), "rows": self.rows[path]}
            for path, (name, writer) in zip(self.paths, self._writers.items(), strict=True)
        }

    def finish(self) -> None:
        """Give the files their names, one after the other."""
        for writer in self._writers.values():
            writer.finish()

    def abandon(self) -> None:
        """Let go; the partial files stay."""
        for writer in self._writers.values():
            writer.abandon()


def require_one_schema(schemas: Sequence[TableSchema], target: str, instead: str) -> None:
    """Raise `ExportError` unless there is one schema."""
    if len(schemas) > 1:
        names = ", ".join(schema.name for schema in schemas)
        raise ExportError(f"{target}: one file has one schema, but there are {names}: write {instead}")
