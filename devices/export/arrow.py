"""Writes Arrow IPC files, which are Feather files too: a record batch a window.

An Arrow file ends with a footer that says where its batches are, and nothing appends to one. So while an export is
under way its batches are in `NAME.batches.partial`, each as a stream of its own behind the length of that, so that it
can be gone on with wherever it was cut off; at the end they are copied into the file, one at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from devices.export.arrow_tables import TableArrays, arrow_schema, plain_schema
from devices.export.base import ResumeState
from devices.export.columns import TableSchema, dump_columns, load_columns
from devices.export.files import PartialFile
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline

_LENGTH_BYTES = 8
_OPTIONS = ipc.IpcWriteOptions(compression="lz4")
"""What Feather has by default."""


class ArrowWriter:
    """Writes the file of one schema. Texts are plain: a file has one dictionary for all its batches, or none."""

    def __init__(self, path: Path, schema: TableSchema, metadata: Mapping[str, str] | None = None) -> None:
        """Write rows of a schema; the `metadata` is for whoever reads that of the file's schema."""
        self._metadata = dict(metadata or {})
        self._file = PartialFile(path, staged=True)
        self._batches = PartialFile(path.with_name(path.name + ".batches"), part_of=self._file)
        self._table_schema = schema
        self._schema: pa.Schema | None = None
        """None before the first messages, which may have fields that their model does not know."""
        self._arrays = TableArrays()

    def open_file(self, state: ResumeState | None) -> None:
        """Begin the file, or go on with it."""
        self._file.open(state)
        if self._file.is_complete:
            return
        self._batches.open(state["batches"] if state else None)
        if state and state["columns"]:
            self._begin(replace(self._table_schema, columns=load_columns(state["columns"])))

    def write(self, timeline: Timeline, tables: Sequence[Table]) -> None:
        """Append the rows of some tables as a batch, in the order of all output."""
        schema = self._schema or self._begin(self._table_schema.widened(tables[0]))
        table = self._arrays.table(timeline, tables, self._table_schema.columns, schema)
        piece = pa.BufferOutputStream()
        plain = plain_schema(schema)
        with ipc.new_stream(piece, plain, options=_OPTIONS) as stream:
            stream.write_table(table.cast(plain).combine_chunks())
        data = piece.getvalue()
        self._batches.write(data.size.to_bytes(_LENGTH_BYTES, "little") + data.to_pybytes())

    def save_state(self) -> dict[str, Any]:
        """Make durable what was written, and return what to go on from."""
        columns = dump_columns(self._table_schema.columns) if self._schema else []
        batches = {} if self._file.is_complete else self._batches.save_state()
        return {**self._file.save_state(), "batches": batches, "columns": columns}

    def finish(self) -> None:
        """Copy the batches into the file and give it its name; one without messages has its schema."""
        if not self._file.is_complete:
            schema = plain_schema(self._schema or self._begin(self._table_schema))
            self._batches.save_state()
            self._file.truncate(0)
            with (
                self._file.translate_errors(),
                pa.OSFile(str(self._file.partial), "ab") as sink,
                ipc.new_file(sink, schema, options=_OPTIONS) as file,
            ):
                for batch in _stored(self._batches.partial):
                    file.write_batch(batch)
        self._file.complete()
        self._batches.discard()

    def abandon(self) -> None:
        """Let go; the partial files stay."""
        self._file.close()
        self._batches.close()

    def _begin(self, schema: TableSchema) -> pa.Schema:
        self._table_schema = schema
        self._schema = arrow_schema(schema.columns, self._metadata)
        return self._schema


def _stored(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file of pieces, one at a time."""
    with path.open("rb") as file:
        while length := file.read(_LENGTH_BYTES):
            yield from ipc.open_stream(pa.py_buffer(file.read(int.from_bytes(length, "little"))))
