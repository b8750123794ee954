"""Writes Parquet: a row group a window, columns straight from the sensors' arrays to Arrow.

A Parquet file ends with a footer that says where its row groups are. While an export is under way, the row groups are
in `NAME.partial`, and a footer for each of them in `NAME.index.partial`, so it can be gone on with wherever it was cut
off; at the end pyarrow makes one footer of them.

pyarrow begins files only at their beginning. So for every row group it is led to believe that it does, and moved to the
end of the file once it has written the magic number that all files begin with: then the offsets in its footer are true,
and no page is read or written twice. The magic number of all but the first, and the footers, are cut off again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pyarrow as pa
from pyarrow import parquet

from devices.export.columns import ColumnType
from devices.export.staged_table import StagedTableWriter

_MAGIC = b"PAR1"
"""Stands at the beginning of a Parquet file, and at its end behind the length of the footer."""
_TAIL_BYTES = 8
"""Length of the footer and the magic number."""

_ALL_DIFFERENT = frozenset({ColumnType.ID, ColumnType.TIME})
"""Types of columns that no dictionary makes smaller. Those of numbers it does, as sensors round them: that of a BME280
has 4.7 bytes a row instead of 7.9, and zstd has less to look through."""
_TIME_ENCODING = "DELTA_BINARY_PACKED"
"""Of instants, which ascend: 0.1 bytes a row instead of 1.1, in half of the time (13 ns instead of 28)."""
_LEAVES = {ColumnType.COUNTS: (".key_value.key", ".key_value.value"), ColumnType.TEXTS: (".list.element",)}
"""Where nested columns have their values, and ask for dictionaries: a camera has 17.5 bytes a row instead of 21.3."""
_VALUES_AT_ONCE = 65_536
"""All of a row group's: statistics go through the dictionaries of texts with every 1,024 values else."""


class ParquetWriter(StagedTableWriter):
    """Writes the file of one schema."""

    BESIDE = "index"

    def _append_rows(self, table: pa.Table) -> None:
        """Write a row group to the file, and its footer to the index."""
        columns = self._table_schema.columns
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
                use_dictionary=[
                    column.name + leaf
                    for column in columns
                    if column.type not in _ALL_DIFFERENT
                    for leaf in _LEAVES.get(column.type, ("",))
                ],
                column_encoding={column.name: _TIME_ENCODING for column in columns if column.type is ColumnType.TIME},
                # Bounds of random digits keep no reader from a row group.
                write_statistics=[column.name for column in columns if column.type is not ColumnType.ID],
                write_batch_size=_VALUES_AT_ONCE,
                metadata_collector=footers,
            ) as writer:
                if begin:
                    self._file.truncate(begin)
                    os.lseek(stream.fileno(), begin, os.SEEK_SET)
                writer.write_table(table, row_group_size=max(1, len(table)))
                end = stream.tell()
        self._file.truncate(end)
        self._beside.write(_metadata_file(footers[0]))

    def _complete_file(self) -> None:
        """Append the footer."""
        self._file.write(_joined(self._beside.partial.read_bytes()))


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
