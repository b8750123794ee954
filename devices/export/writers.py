"""Chooses the writer of a format of tables."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from devices.export.columns import TableSchema
from devices.export.compression import compressor
from devices.export.csv import CsvDialect, CsvWriter
from devices.export.files import TableWriter

TABLE_FORMATS = ("csv", "parquet", "arrow")
"""In these a file has one schema."""


def table_writer(
    format_: str, compression: str, csv: CsvDialect, metadata: Mapping[str, str]
) -> Callable[[Path, TableSchema], TableWriter]:
    """Return what makes the writer of a file; raises `ImportError` where its library is missing.

    `metadata` is what Parquet and Arrow say of themselves.
    """
    if format_ == "csv":
        return partial(CsvWriter, compress=compressor(compression), dialect=csv)
    if format_ == "parquet":
        from devices.export.parquet import ParquetWriter

        return partial(ParquetWriter, metadata=metadata)
    assert format_ == "arrow", f"{format_} is no format of tables"
    from devices.export.arrow import ArrowWriter

    return partial(ArrowWriter, metadata=metadata)
