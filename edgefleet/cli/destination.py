"""Reads where an export goes from the options of `edgefleet generate`: exactly one place, and the format there."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgewire.errors import ConfigError
from edgewire.output import resolve_output
from edgewire.redact import show_url
from edgewire.service_url import postgres_address

if TYPE_CHECKING:
    from edgefleet.cli.delivery_options import DeliveryOptions

FORMATS = ("jsonl", "csv", "parquet", "arrow", "duckdb", "sqlite", "delta")
DATABASES = ("duckdb", "sqlite")
"""In these a file has a table for each schema."""
COMPRESSIONS = {".gz": "gz", ".gzip": "gz", ".zst": "zst", ".zstd": "zst"}
"""Of JSON Lines and CSV; Parquet is compressed by itself."""
STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".duckdb": "duckdb",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
}
_OTHERS = frozenset(
    [
        ".7z",
        ".avro",
        ".br",
        ".bz2",
        ".db",
        ".h5",
        ".hdf5",
        ".html",
        ".lz4",
        ".npz",
        ".orc",
        ".pickle",
        ".pkl",
        ".png",
        ".rar",
        ".snappy",
        ".tar",
        ".tgz",
        ".toml",
        ".tsv",
        ".txt",
        ".xls",
        ".xlsx",
        ".xml",
        ".xz",
        ".yaml",
        ".yml",
        ".zip",
    ]
)
"""Suffixes of formats that are not written: a folder or a file of another format is not what such a name says."""
_LABELS = frozenset((".jsonl", ".ndjson", ".json"))


@dataclass(frozen=True, slots=True)
class Destination:
    """Says what the user named: exactly one place, and the format there."""

    kind: str
    """stdout, file, s3, postgres, upload or kafka."""
    place: str = field(repr=False)
    format: str
    """One of `FORMATS`."""
    delivery: "DeliveryOptions" = field(repr=False)
    """How a server is treated."""
    compression: str = ""
    """One of the values of `COMPRESSIONS`, or none."""

    @property
    def is_stdout(self) -> bool:
        """Return whether it goes to standard output."""
        return self.kind == "stdout"

    @property
    def is_folder(self) -> bool:
        """Return whether files of several names are made in the place; the same before and after it is made."""
        has_tables = self.format != "jsonl" and read_name(self.place)[0] != self.format
        return self.kind == "file" and (has_tables or _is_folder(self.place))

    @property
    def suffix(self) -> str:
        """Return how the files in a folder end."""
        return f".{self.format}" + (f".{self.compression}" if self.compression else "")

    def __str__(self) -> str:
        if self.kind == "postgres":
            return f"postgresql://{postgres_address(self.place)}"
        if self.is_stdout:
            return "stdout"
        # What follows the path of a URL may be a key.
        return show_url(self.place.partition("?")[0] if self.kind in ("upload", "s3") else self.place)

    @classmethod
    def parse(cls, out: str, format_: str | None, delivery: "DeliveryOptions") -> "Destination":
        """Return it; raises `ConfigError` for places that contradict each other, and formats that are none."""
        upload, kafka = delivery.upload, delivery.kafka_servers
        if (out not in STDOUT) + (upload is not None) + (kafka is not None) > 1:
            raise ConfigError("--out, --upload and --kafka are three places to write to: choose one")
        delivery.check()
        asked, packed = _read_format(format_)
        if upload is not None or kafka is not None or out.startswith(("postgresql://", "postgres://")):
            if format_ is not None:
                raise ConfigError("--format is for files; leave it out")
            kind = "upload" if upload is not None else "kafka" if kafka is not None else "postgres"
            if kind == "postgres":
                _check_url(out)
            return cls(kind, upload or kafka or out, "jsonl", delivery)
        if out.startswith("s3://"):
            return cls("s3", out, *_s3_format(out, asked, packed, delivery))
        if out in STDOUT:
            if asked in (*DATABASES, "delta"):
                raise ConfigError(f"--format {asked}: it does not go through a pipe: add --out {_EXAMPLES[asked]}")
            return cls("stdout", "-", asked or "jsonl", delivery, packed)
        _refuse_url("--out", out)
        _refuse_no_file(asked, out)
        named, compression, other = read_name(out)
        folder = _is_folder(out)
        if other and not folder:
            raise ConfigError(
                f"--out {out}: its name does not say the format, as {other} is not written: name it FILE.jsonl, "
                "FILE.csv (either also .gz or .zst), FILE.parquet, .arrow, .duckdb or .sqlite, or FOLDER/"
            )
        if asked is None and (folder or named is None):
            raise ConfigError(
                f"--out {out}: its name does not say the format: add --format jsonl, csv, parquet, arrow or delta"
            )
        if not folder and asked is not None and named not in (None, asked):
            raise ConfigError(f"--out {out}: its name says {named}, --format says {asked}: choose one")
        if not folder and packed and named is not None and packed != compression:
            raise ConfigError(
                f"--out {out}: its name says {compression or 'plain'}, --format says {packed}: choose one"
            )
        chosen = asked or named or "jsonl"
        if chosen == "jsonl" and packed and not folder and named is None:
            raise ConfigError(f"--out {out}: a compressed file is named so: write --out {out}.jsonl.{packed}")
        compression = packed if folder or named is None else compression
        _refuse_packed_parquet(chosen, compression)
        return cls("file", out, chosen, delivery, compression)


def _s3_format(
    out: str, asked: str | None, packed: str, delivery: "DeliveryOptions"
) -> tuple[str, "DeliveryOptions", str]:
    shown = show_url(out)
    named, _, other = read_name(out.partition("?")[0].rstrip("/"))
    if (named or other) and not out.partition("?")[0].endswith("/"):
        raise ConfigError(
            f"--out {shown}: what is written there is a data set of parts: name a folder, s3://BUCKET/FOLDER/"
        )
    if asked is None:
        raise ConfigError(f"--out {shown}: its name does not say the format: add --format jsonl, csv, parquet or delta")
    if asked in DATABASES:
        raise ConfigError(f"--format {asked}: it is a file of this machine: write --out {_EXAMPLES[asked]}")
    return asked, delivery, packed


_EXAMPLES = {"duckdb": "FILE.duckdb", "sqlite": "FILE.sqlite", "delta": "FOLDER/"}


def _refuse_no_file(asked: str | None, out: str) -> None:
    """Raise `ConfigError` where a database that is one file would be a folder, or the reverse."""
    named = read_name(out)[0]
    if asked in DATABASES and (named != asked or _is_folder(out)):
        raise ConfigError(f"--out {out}: {asked} is one file: write --out {_EXAMPLES[asked]}")
    if asked is None and named in DATABASES and _is_folder(out):
        raise ConfigError(f"--out {out}: {named} is one file, and this is a folder: write --out {_EXAMPLES[named]}")


def missing_package(what: str, package: str, extra: str = "export") -> ConfigError:
    """Return the error of a format or place whose library is not installed."""
    return ConfigError(f"{what} needs the package {package}: pip install 'edgefleet[{extra}]'")


def read_name(out: str) -> tuple[str | None, str, str]:
    """Return the format that a file's name says, its compression, and a suffix that says what is not written."""
    path = Path(out)
    compression = COMPRESSIONS.get(path.suffix.lower(), "")
    inner = Path(path.stem) if compression else path
    named = _SUFFIXES.get(inner.suffix.lower())
    if named is None and (compression or inner.suffix.lower() in _OTHERS):
        return None, "", path.suffix
    return named, compression, ""


def check_outputs(out: Destination, paths: Iterable[Path], labels: str | None, scenario: Path | None) -> None:
    """Raise `ConfigError` where two outputs are one file, or an output is the scenario that is read."""
    beside = ("", ".partial", ".index.partial", ".batches.partial", ".checkpoint", ".checkpoint.new")
    written = {f"--out {out}": [path.with_name(path.name + end) for path in paths for end in beside]}
    if labels is not None:
        found = Path("/dev/stdout" if labels == "-" else labels)
        if out.is_stdout and (labels in STDOUT or _is_stdout(found)):
            raise ConfigError("--labels: they would stand amid the messages on stdout: give --out or --labels a file")
        taken = (path for path in written[f"--out {out}"] if _is_same(path, found))
        if next(taken, None) is not None:
            raise ConfigError(
                f"--labels {labels} and --out {out} are one file, and the one would be written over the other: "
                "give each a file of its own"
            )
        written[f"--labels {labels}"] = [found]
    for option, places in written.items():
        if scenario is not None and any(_is_same(path, scenario) for path in places):
            raise ConfigError(f"{option} is the scenario that is read: give it another name")


def check_labels(labels: str | None) -> None:
    """Raise `ConfigError` where the name of the labels says what they are not written as."""
    if labels is None or labels in STDOUT:
        return
    _refuse_url("--labels", labels)
    path = Path(labels)
    suffix = path.suffix.lower()
    if suffix not in _LABELS and (suffix in _SUFFIXES or suffix in COMPRESSIONS or suffix in _OTHERS - {".txt"}):
        raise ConfigError(f"--labels {labels}: labels are written as JSON Lines: name them FILE.jsonl")


def _read_format(text: str | None) -> tuple[str | None, str]:
    if text is None:
        return None, ""
    name, _, packing = text.partition(".")
    compression = COMPRESSIONS.get(f".{packing}", "") if packing else ""
    if name not in FORMATS or bool(packing) != bool(compression):
        raise ConfigError(f"--format {text}: there are {', '.join(FORMATS)}, and jsonl and csv with .gz or .zst")
    _refuse_packed_parquet(name, compression)
    return name, compression


def _refuse_packed_parquet(format_: str, compression: str) -> None:
    if format_ not in ("", "jsonl", "csv") and compression:
        raise ConfigError(f"{format_.capitalize()} is compressed by itself: leave out .{compression}")


def _refuse_url(option: str, text: str) -> None:
    scheme, separator, _ = text.partition("://")
    if separator and scheme.isascii() and scheme.replace("+", "").isalnum():
        raise ConfigError(
            f"{option} {scheme}://…: there is no such place: write a file, FOLDER/, s3://BUCKET/FOLDER/ or "
            "postgresql://USER@HOST/DATABASE, and copy a file from there"
        )


def _is_folder(out: str) -> bool:
    return out.endswith(("/", os.sep)) or Path(out).is_dir()


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    with suppress(OSError):
        return os.path.realpath(resolve_output(one)) == os.path.realpath(resolve_output(other))
    return False


def _is_stdout(path: Path) -> bool:
    """Return whether a path leads to what the shell has opened as stdout."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


def _check_url(url: str) -> None:
    try:
        postgres_address(url)
    except ValueError as error:
        raise ConfigError(f"--out postgresql://…: {error}: write postgresql://USER@HOST:PORT/DATABASE") from None
