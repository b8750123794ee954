"""Turns the options of `edgefleet generate` into a target of `devices.export`."""

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import typer

from devices.export.base import BatchTarget, ExportTarget
from devices.export.compression import Compress, compressor
from devices.export.csv import CsvDialect
from devices.export.files import TableFiles
from devices.export.jsonl import JsonlFile, JsonlPipe
from devices.export.provenance import Provenance
from devices.export.stores import S3Place
from devices.export.writers import TABLE_FORMATS, table_writer
from devices.scenario.devices import Shard
from devices.timeline.timeline import Timeline
from edgefleet.cli.destination import DATABASES, Destination, missing_package
from edgefleet.cli.export_options import ExportOptions
from edgefleet.cli.signals import StopFlag
from edgewire.errors import ConfigError
from edgewire.output import is_stream, resolve_output


def export_target(
    destination: Destination, timeline: Timeline, stop: StopFlag, provenance: Provenance, options: ExportOptions
) -> ExportTarget:
    """Return the target of an export; raises `ConfigError` where its library is not installed."""
    if destination.kind == "postgres":
        try:
            from devices.export.postgres import PostgresOptions, PostgresTables
        except ImportError:
            raise missing_package("PostgreSQL", "psycopg") from None
        stored = PostgresOptions(
            options.schema, options.replace, options.partition == "day", options.partition == "hypertable"
        )
        return PostgresTables(timeline, destination.place, provenance, stored)
    path, part = Path(destination.place), part_suffix(Shard.parse(provenance.shard))
    if destination.format in TABLE_FORMATS:
        csv = CsvDialect(options.csv or "plain")
        try:
            writer = table_writer(destination.format, destination.compression, csv, provenance.as_metadata())
        except ImportError:
            what = "zstd" if destination.format == "csv" else destination.format.capitalize()
            raise missing_package(what, "pyarrow") from None
        return TableFiles(timeline, path, destination.suffix, writer, folder=destination.is_folder, part=part)
    if destination.format in DATABASES:
        return _database(destination, timeline, provenance)
    if destination.format == "delta":
        try:
            from devices.export.delta import DeltaTables
        except ImportError:
            raise missing_package("Delta", "deltalake", "delta") from None
        place = S3Place.parse(destination.place, os.environ) if destination.kind == "s3" else path
        additions = options.describe_additions()
        return DeltaTables(timeline, place, provenance, additions, is_replacing=options.replace)
    return batch_target(destination, timeline, stop, part=part)


def _database(destination: Destination, timeline: Timeline, provenance: Provenance) -> ExportTarget:
    try:
        from devices.export.database import DuckdbFile, SqliteFile
    except ImportError:
        raise missing_package(destination.format.capitalize(), "pyarrow") from None
    if destination.format == "duckdb" and find_spec("duckdb") is None:
        raise missing_package("DuckDB", "duckdb", "duckdb")
    made = DuckdbFile if destination.format == "duckdb" else SqliteFile
    return made(timeline, Path(destination.place), provenance.as_metadata())


def part_suffix(shard: Shard) -> str:
    """Return what the files of one shard of several have in their names, so that all fit into one folder."""
    return "" if shard.count == 1 else f"-{shard.index}-of-{shard.count}"


def batch_target(
    destination: Destination,
    timeline: Timeline,
    stop: StopFlag,
    on_trouble: Callable[[str], None] | None = None,
    *,
    is_endless: bool = False,
    part: str = "",
) -> BatchTarget:
    """Return a target that takes payloads, of a stream where it `is_endless`.

    It tells `on_trouble` of what it waits for the end of. Raises `ConfigError` for one that takes whole tables only.
    """

    def tell(said: str) -> None:
        typer.echo(f"edgefleet: {said}", err=True)
        if on_trouble:
            on_trouble(said)

    if destination.kind == "upload":
        from devices.export.http import HttpUpload

        options = destination.delivery.upload_options()
        return HttpUpload(destination.place, stop.wait, options, tell=tell, is_endless=is_endless)
    if destination.kind == "kafka":
        from edgewire.extras import require_kafka

        require_kafka("--kafka")
        from devices.export.kafka import KafkaTopics

        options_of_kafka = destination.delivery.kafka_options(timeline)
        return KafkaTopics(timeline, destination.place, options_of_kafka, tell=tell, wait=stop.wait)
    if destination.format != "jsonl" or destination.kind == "postgres":
        raise ConfigError("--stream goes to stdout, FILE.jsonl, --upload or --kafka")
    if destination.kind == "stdout":
        return JsonlPipe(sys.stdout.buffer, _compress(destination))
    path = Path(destination.place)
    if destination.is_folder:
        path /= f"all{part}{destination.suffix}"
    return JsonlFile(path, _compress(destination))


def stream_path(target: ExportTarget) -> Path | None:
    """Return the first of its files that is none but a stream, such as a FIFO: what went into it is gone."""
    return next((path for path in getattr(target, "paths", ()) if is_stream(path)), None)


def checkpoint_file(destination: Destination, target: ExportTarget, fingerprint: str, shard: Shard) -> Path | None:
    """Return where it is written down how far an export has come; None where it cannot be gone on with."""
    if destination.is_stdout or stream_path(target):
        return None
    if destination.kind != "file":
        return Path(f"edgefleet-{destination.kind}-{fingerprint}.checkpoint")
    path = Path(destination.place)
    if destination.is_folder:
        return path / f".checkpoint{part_suffix(shard)}"
    try:
        path = resolve_output(path)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror}") from None
    return path.with_name(path.name + ".checkpoint")


def _compress(destination: Destination) -> Compress | None:
    try:
        return compressor(destination.compression)
    except ImportError:
        raise missing_package("zstd", "pyarrow") from None
