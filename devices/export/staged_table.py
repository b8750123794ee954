"""What the writers of table files share that are read from a footer at their end: nothing can be appended to those.

While an export is under way there are two partial files, that of the table and one beside it, so that it can be gone on
with wherever it was cut off.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from devices.export.arrow_tables import TableArrays, arrow_schema
from devices.export.base import ResumeState
from devices.export.columns import TableSchema, dump_columns, load_columns
from devices.export.files import PartialFile
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline


class StagedTableWriter(ABC):
    """Writes the file of one schema, with another beside it until it is complete."""

    BESIDE: ClassVar[str]
    """What the file beside holds: the end of its name, and the key of its state."""

    def __init__(self, path: Path, schema: TableSchema, metadata: Mapping[str, str] | None = None) -> None:
        """Write rows of a schema; the `metadata` is for whoever reads that of the file."""
        self._metadata = dict(metadata or {})
        self._file = PartialFile(path, staged=True)
        self._beside = PartialFile(path.with_name(f"{path.name}.{self.BESIDE}"), part_of=self._file)
        self._table_schema = schema
        self._schema: pa.Schema | None = None
        """None before the first messages, which may have fields that their model does not know."""
        self._arrays = TableArrays()

    def open_file(self, state: ResumeState | None) -> None:
        """Begin the file, or go on with it."""
        self._file.open(state)
        if self._file.is_complete:
            return
        self._beside.open(state[self.BESIDE] if state else None)
        if state and state["columns"]:
            self._begin(replace(self._table_schema, columns=load_columns(state["columns"])))

    def write(self, timeline: Timeline, tables: Sequence[Table]) -> None:
        """Append the rows of some tables together, in the order of all output."""
        schema = self._schema or self._begin(self._table_schema.widened(tables[0]))
        self._append_rows(self._arrays.table(timeline, tables, self._table_schema.columns, schema))

    def save_state(self) -> dict[str, Any]:
        """Make durable what was written, and return what to go on from."""
        columns = dump_columns(self._table_schema.columns) if self._schema else []
        beside = {} if self._file.is_complete else self._beside.save_state()
        return {**self._file.save_state(), self.BESIDE: beside, "columns": columns}

    def finish(self) -> None:
        """Complete the file and give it its name; one without messages has its schema."""
        if not self._file.is_complete:
            if self._schema is None:
                self._append_rows(self._begin(self._table_schema).empty_table())
            self._beside.save_state()
            self._complete_file()
        self._file.complete()
        self._beside.discard()

    def abandon(self) -> None:
        """Let go; the partial files stay."""
        self._file.close()
        self._beside.close()

    def _begin(self, schema: TableSchema) -> pa.Schema:
        self._table_schema = schema
        self._schema = arrow_schema(schema.columns, self._metadata)
        return self._schema

    @abstractmethod
    def _append_rows(self, table: pa.Table) -> None:
        """Write a window's rows to the two partial files."""

    @abstractmethod
    def _complete_file(self) -> None:
        """Make of the two partial files one that can be read."""
