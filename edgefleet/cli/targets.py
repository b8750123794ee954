"""Where `edgefleet generate` writes to: the options of the command line as a target of `devices.export`."""

import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from devices.export import BatchTarget, Target
from devices.export.csv import CsvWriter
from devices.export.jsonl import JsonlFile, JsonlPipe
from devices.export.places import place_of
from devices.export.tables import TableFiles
from devices.timeline import Timeline
from edgefleet.cli.common import StopFlag
from edgewire.errors import ConfigError

FORMATS = ("jsonl", "csv", "parquet")
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Destination:
    """What the user named: exactly one place, and the format there."""

    kind: str
    """stdout, file, postgres, upload or kafka."""
    place: str
    format: str
    """One of `FORMATS`."""

    @property
    def is_stdout(self) -> bool:
        return self.kind == "stdout"

    def __str__(self) -> str:
        if self.kind == "postgres":
            return f"postgresql://{place_of(self.place)}"
        return "stdout" if self.is_stdout else self.place

    @classmethod
    def parse(cls, out: str, format_: str | None, upload: str | None, kafka: str | None) -> "Destination":
        """Raises `ConfigError` for places that contradict each other, and formats that are none."""
        if (out != "-") + (upload is not None) + (kafka is not None) > 1:
            raise ConfigError("--out, --upload and --kafka are three places to write to: choose one")
        if format_ is not None and format_ not in FORMATS:
            raise ConfigError(f"--format {format_}: there are {', '.join(FORMATS)}")
        if upload is not None or kafka is not None or out.startswith(("postgresql://", "postgres://")):
            if format_ is not None:
                raise ConfigError("--format is for files; leave it out")
            kind = "upload" if upload is not None else "kafka" if kafka is not None else "postgres"
            return cls(kind, upload or kafka or out, "jsonl")
        if out == "-":
            if format_ not in (None, "jsonl"):
                raise ConfigError(f"--format {format_}: stdout takes jsonl; give --out a file")
            return cls("stdout", out, "jsonl")
        suffix = _SUFFIXES.get(Path(out).suffix)
        folder = out.endswith("/") or Path(out).is_dir()
        if format_ is None and (folder or suffix is None):
            raise ConfigError(f"--out {out}: its name does not say the format: add --format jsonl, csv or parquet")
        return cls("file", out, format_ or suffix or "jsonl")


def target_of(destination: Destination, timeline: Timeline, stop: StopFlag) -> Target:
    """The target of an export; raises `ConfigError` where its library is not installed."""
    if destination.kind == "postgres":
        try:
            from devices.export.postgres import PostgresTables
        except ImportError:
            raise _missing("PostgreSQL", "psycopg") from None
        return PostgresTables(timeline, destination.place)
    if destination.format == "csv":
        return TableFiles(timeline, Path(destination.place), ".csv", CsvWriter)
    if destination.format == "parquet":
        try:
            from devices.export.parquet import ParquetWriter
        except ImportError:
            raise _missing("Parquet", "pyarrow") from None
        return TableFiles(timeline, Path(destination.place), ".parquet", ParquetWriter)
    return batch_target(destination, timeline, stop)


def stream_target(destination: Destination, timeline: Timeline, stop: StopFlag) -> BatchTarget:
    """The target of a stream; raises `ConfigError` for one that takes whole tables only."""
    if destination.kind == "upload":
        from devices.export.upload import Upload

        return Upload(destination.place, stop.wait, endless=lambda said: typer.echo(f"edgefleet: {said}", err=True))
    return batch_target(destination, timeline, stop)


def batch_target(destination: Destination, timeline: Timeline, stop: StopFlag) -> BatchTarget:
    """The target of an export that takes payloads; raises `ConfigError` for one that takes whole tables only."""
    if destination.kind == "upload":
        from devices.export.upload import Upload

        return Upload(destination.place, stop.wait)
    if destination.kind == "kafka":
        from devices.export.kafka import KafkaTopics

        return KafkaTopics(timeline, destination.place)
    if destination.kind == "stdout":
        return JsonlPipe(sys.stdout.buffer)
    if destination.format != "jsonl" or destination.kind == "postgres":
        raise ConfigError("--stream goes to stdout, FILE.jsonl, --upload or --kafka")
    path = Path(destination.place)
    return JsonlFile(path / "all.jsonl" if destination.place.endswith("/") or path.is_dir() else path)


def checkpoint_file(destination: Destination, fingerprint: str) -> Path | None:
    """Where it is written down how far an export has come; None where it cannot be gone on with."""
    if destination.is_stdout:
        return None
    if destination.kind != "file":
        return Path(f"edgefleet-{destination.kind}-{fingerprint}.checkpoint")
    path = Path(destination.place)
    if destination.place.endswith("/") or path.is_dir():
        return path / ".checkpoint"
    return path.with_name(path.name + ".checkpoint")


def _missing(what: str, package: str) -> ConfigError:
    return ConfigError(f"{what} needs the package {package}: pip install 'edgefleet[export]'")
