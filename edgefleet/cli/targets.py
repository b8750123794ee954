"""Turns the options of `edgefleet generate` into a target of `devices.export`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from devices.export.base import BatchTarget, ExportTarget
from devices.export.csv import CsvWriter
from devices.export.files import TableFiles
from devices.export.jsonl import JsonlFile, JsonlPipe
from devices.timeline.timeline import Timeline
from edgefleet.cli.signals import StopFlag
from edgewire.errors import ConfigError
from edgewire.output import is_stream, resolve_output
from edgewire.redact import show_url
from edgewire.service_url import postgres_address

if TYPE_CHECKING:
    from edgefleet.cli.delivery_options import DeliveryOptions

FORMATS = ("jsonl", "csv", "parquet")
STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Destination:
    """Says what the user named: exactly one place, and the format there."""

    kind: str
    """stdout, file, postgres, upload or kafka."""
    place: str
    format: str
    """One of `FORMATS`."""
    delivery: "DeliveryOptions" = field(repr=False)
    """How a server is treated."""

    @property
    def is_stdout(self) -> bool:
        """Return whether it goes to standard output."""
        return self.kind == "stdout"

    @property
    def is_folder(self) -> bool:
        """Return whether files of several names are made in the place; the same before and after it is made."""
        path = Path(self.place)
        has_tables = self.format != "jsonl" and path.suffix != f".{self.format}"
        return self.kind == "file" and (has_tables or self.place.endswith("/") or path.is_dir())

    def __str__(self) -> str:
        if self.kind == "postgres":
            return f"postgresql://{postgres_address(self.place)}"
        if self.is_stdout:
            return "stdout"
        # What follows the path of a URL may be a key.
        return show_url(self.place.partition("?")[0] if self.kind == "upload" else self.place)

    @classmethod
    def parse(cls, out: str, format_: str | None, delivery: "DeliveryOptions") -> "Destination":
        """Return it; raises `ConfigError` for places that contradict each other, and formats that are none."""
        upload, kafka = delivery.upload, delivery.kafka
        if (out not in STDOUT) + (upload is not None) + (kafka is not None) > 1:
            raise ConfigError("--out, --upload and --kafka are three places to write to: choose one")
        delivery.check()
        if format_ is not None and format_ not in FORMATS:
            raise ConfigError(f"--format {format_}: there are {', '.join(FORMATS)}")
        if upload is not None or kafka is not None or out.startswith(("postgresql://", "postgres://")):
            if format_ is not None:
                raise ConfigError("--format is for files; leave it out")
            kind = "upload" if upload is not None else "kafka" if kafka is not None else "postgres"
            if kind == "postgres":
                _check_url(out)
            return cls(kind, upload or kafka or out, "jsonl", delivery)
        if out in STDOUT:
            if format_ not in (None, "jsonl"):
                raise ConfigError(f"--format {format_}: stdout takes jsonl; give --out a file")
            return cls("stdout", "-", "jsonl", delivery)
        suffix = _SUFFIXES.get(Path(out).suffix)
        folder = out.endswith("/") or Path(out).is_dir()
        if format_ is None and (folder or suffix is None):
            raise ConfigError(f"--out {out}: its name does not say the format: add --format jsonl, csv or parquet")
        if not folder and format_ is not None and suffix not in (None, format_):
            raise ConfigError(f"--out {out}: its name says {suffix}, --format says {format_}: choose one")
        return cls("file", out, format_ or suffix or "jsonl", delivery)


def export_target(destination: Destination, timeline: Timeline, stop: StopFlag) -> ExportTarget:
    """Return the target of an export; raises `ConfigError` where its library is not installed."""
    if destination.kind == "postgres":
        try:
            from devices.export.postgres import PostgresTables
        except ImportError:
            raise _missing("PostgreSQL", "psycopg") from None
        return PostgresTables(timeline, destination.place)
    if destination.format == "csv":
        return TableFiles(timeline, Path(destination.place), ".csv", CsvWriter, folder=destination.is_folder)
    if destination.format == "parquet":
        try:
            from devices.export.parquet import ParquetWriter
        except ImportError:
            raise _missing("Parquet", "pyarrow") from None
        return TableFiles(timeline, Path(destination.place), ".parquet", ParquetWriter, folder=destination.is_folder)
    return batch_target(destination, timeline, stop)


def batch_target(
    destination: Destination,
    timeline: Timeline,
    stop: StopFlag,
    on_trouble: Callable[[str], None] | None = None,
    *,
    is_endless: bool = False,
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
    if destination.kind == "stdout":
        return JsonlPipe(sys.stdout.buffer)
    if destination.format != "jsonl" or destination.kind == "postgres":
        raise ConfigError("--stream goes to stdout, FILE.jsonl, --upload or --kafka")
    path = Path(destination.place)
    return JsonlFile(path / "all.jsonl" if destination.is_folder else path)


def stream_path(target: ExportTarget) -> Path | None:
    """Return the first of its files that is none but a stream, such as a FIFO: what went into it is gone."""
    return next((path for path in getattr(target, "paths", ()) if is_stream(path)), None)


def checkpoint_file(destination: Destination, target: ExportTarget, fingerprint: str) -> Path | None:
    """Return where it is written down how far an export has come; None where it cannot be gone on with."""
    if destination.is_stdout or stream_path(target):
        return None
    if destination.kind != "file":
        return Path(f"edgefleet-{destination.kind}-{fingerprint}.checkpoint")
    path = Path(destination.place)
    if destination.is_folder:
        return path / ".checkpoint"
    try:
        path = resolve_output(path)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror}") from None
    return path.with_name(path.name + ".checkpoint")


def _check_url(url: str) -> None:
    try:
        postgres_address(url)
    except ValueError as error:
        raise ConfigError(f"--out postgresql://…: {error}: write postgresql://USER@HOST:PORT/DATABASE") from None


def _missing(what: str, package: str) -> ConfigError:
    return ConfigError(f"{what} needs the package {package}: pip install 'edgefleet[export]'")
