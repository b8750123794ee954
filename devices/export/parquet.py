"""Writes Parquet: a row group a window, columns straight from the sensors' arrays to Arrow.

A Parquet file ends with a footer that says where its row groups are. While an export is under way, the row groups are
in `NAME.partial`, and a footer for each of them in `NAME.index.partial`, so it can be gone on with wherever it was cut
off; at the end pyarrow makes one footer of them.

pyarrow begins files only at their beginning. So for every row group it is led to believe that it does, and moved to the
end of the file once it has written the magic number that all files begin with: then the offsets in its footer are true,
and no page is read or written twice. The magic number of all but the first, and the footers, are cut off again.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from devices.export.arrow_tables import TableArrays, arrow_schema
from devices.export.base import ResumeState
from devices.export.columns import ColumnType, TableSchema, dump_columns, load_columns
from devices.export.files import PartialFile
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline

_MAGIC = b"PAR1"
"""Stands at the beginning of a Parquet file, and at its end behind the length of the footer."""
_TAIL_BYTES = 8
"""Length of the footer and the magic number."""


class ParquetWriter:
    """Writes the file of one schema."""

    def __init__(self, path: Path, schema: TableSchema, metadata: Mapping[str, str] | None = None) -> None:
        """Write rows of a schema; the `metadata` is for whoever reads the footer."""
        self._metadata = dict(metadata or {})
        self._file = PartialFile(path, staged=True)
        self._index = PartialFile(path.with_name(path.name + ".index"), part_of=self._file)
        self._table_schema = schema
        self._schema: pa.Schema | None = None
        """None before the first messages, which may have fields that their model does not know."""
        self._arrays = TableArrays()

    def open_file(self, state: ResumeState | None) -> None:
        """Begin the file, or go on with it."""
        self._file.open(state)
        if self._file.is_complete:
            return
        self._index.open(state["index"] if state else None)
        if state and state["columns"]:
            self._begin(replace(self._table_schema, columns=load_columns(state["columns"])))

    def write(self, timeline: Timeline, tables: Sequence[Table]) -> None:
        """Append the rows of some tables as a row group, in the order of all output."""
        if self._schema is None:
            self._begin(self._table_schema.widened(tables[0]))
        self._append_group(self._arrays.table(timeline, tables, self._table_schema.columns, self._schema))

    def save_state(self) -> dict[str, Any]:
        """Make durable what was written, and return what to go on from."""
        columns = dump_columns(self._table_schema.columns) if self._schema else []
        index = {} if self._file.is_complete else self._index.save_state()
        return {**self._file.save_state(), "index": index, "columns": columns}

    def finish(self) -> None:
        """Append the footer and give the file its name; one without messages has its schema."""
        if not self._file.is_complete:
            if self._schema is None:
                self._append_group(self._begin(self._table_schema).empty_table())
            self._index.save_state()
            self._file.write(_joined(self._index.partial.read_bytes()))
        self._file.complete()
        self._index.discard()

    def abandon(self) -> None:
        """Let go; the partial files stay."""
        self._file.close()
        self._index.close()

    def _begin(self, schema: TableSchema) -> pa.Schema:
        self._table_schema = schema
        self._schema = arrow_schema(schema.columns, self._metadata)
        return self._schema

    def _append_group(self, table: pa.Table) -> None:
        """Write a row group to the file, and its footer to the index."""
        texts = [column.name for column in self._table_schema.columns if column.type is ColumnType.TEXT]
        footers: list[parquet.FileMetaData] = []
        begin = self._file.size
        with (
            self._file.translate_errors(),
            _first_errors(),
            pa.OSFile(str(self._file.partial), "ab") as stream,
        ):
            os.lseek(stream.fileno(), 0, os.SEEK_SET)
            with parquet.ParquetWriter(
                stream,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=texts,
                metadata_collector=footers,
            ) as writer:
                if begin:
                    self._file.truncate(begin)
                    os.lseek(stream.fileno(), begin, os.SEEK_SET)
                writer.write_table(table, row_group_size=max(1, len(table)))
                end = stream.tell()
        self._file.truncate(end)
        self._index.write(_metadata_file(footers[0]))


@contextmanager
def _first_errors() -> Iterator[None]:
    """Raise what kept pyarrow from writing: it fails again as it closes the file, and would say that alone."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _joined(index: bytes) -> bytes:
    """Return the end of a file that has the row groups of all the footers in an index."""
    first, *others = [parquet.read_metadata(pa.BufferReader(file)) for file in _metadata_files(index)][::-1]
    for metadata in others:
        first.append_row_groups(metadata)
    return _metadata_file(first)[len(_MAGIC) :]


def _metadata_file(metadata: parquet.FileMetaData) -> bytes:
    """Return a footer as a file of its own: the magic number, the footer, its length, the magic number."""
    buffer = BytesIO()
    metadata.write_metadata_file(buffer)
    return buffer.getvalue()


def _metadata_files(index: bytes) -> Iterator[bytes]:
    """Yield the metadata files that an index has one behind the other, the last one first."""
    end = len(index)
    while end:
        length = int.from_bytes(index[end - _TAIL_BYTES : end - len(_MAGIC)], "little")
        begin = end - _TAIL_BYTES - length - len(_MAGIC)
        yield index[begin:end]
        end = begin
