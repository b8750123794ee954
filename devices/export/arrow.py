"""Writes Arrow IPC files, which are Feather files too: a record batch a window.

An Arrow file ends with a footer that says where its batches are, and nothing appends to one. So while an export is
under way its batches are in `NAME.batches.partial`, each as a stream of its own behind the length of that, so that it
can be gone on with wherever it was cut off; at the end they are copied into the file, one at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc

from devices.export.arrow_tables import plain_schema
from devices.export.staged_table import StagedTableWriter

_LENGTH_BYTES = 8
_OPTIONS = ipc.IpcWriteOptions(compression="lz4")
"""What Feather has by default."""


class ArrowWriter(StagedTableWriter):
    """Writes the file of one schema. Texts are plain: a file has one dictionary for all its batches, or none."""

    BESIDE = "batches"

    def _append_rows(self, table: pa.Table) -> None:
        """Write a batch beside the file."""
        piece = pa.BufferOutputStream()
        plain = plain_schema(table.schema)
        with ipc.new_stream(piece, plain, options=_OPTIONS) as stream:
            stream.write_table(table.cast(plain).combine_chunks())
        data = piece.getvalue()
        self._beside.write(data.size.to_bytes(_LENGTH_BYTES, "little") + data.to_pybytes())

    def _complete_file(self) -> None:
        """Copy the batches into the file."""
        assert self._schema is not None
        self._file.truncate(0)
        with (
            self._file.translate_errors(),
            pa.OSFile(str(self._file.partial), "ab") as sink,
            ipc.new_file(sink, plain_schema(self._schema), options=_OPTIONS) as file,
        ):
            for batch in _stored(self._beside.partial):
                file.write_batch(batch)


def _stored(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file of pieces, one at a time."""
    with path.open("rb") as file:
        while length := file.read(_LENGTH_BYTES):
            yield from ipc.open_stream(pa.py_buffer(file.read(int.from_bytes(length, "little"))))
