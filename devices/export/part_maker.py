"""Makes the parts of a data set, each by itself: in this process, in others, or on other machines."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from devices.export.base import ExportTarget
from devices.export.csv import CsvDialect
from devices.export.files import TableFiles
from devices.export.job import ExportSpan, export
from devices.export.jsonl import KindFiles
from devices.export.parts import Part
from devices.export.provenance import Provenance
from devices.export.stores import FolderStore, S3Place, S3Store, Store
from devices.export.writers import table_writer
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.timeline.annotations import Annotations
from devices.timeline.timeline import Timeline


@dataclass(frozen=True, slots=True)
class PartedExport:
    """Says all that a process needs to know to make parts of a data set, wherever it is."""

    scenario: Scenario
    start_ms: int
    shard: Shard
    span: ExportSpan
    delays: bool
    annotations: Annotations | None
    place: Path | S3Place
    format: str
    compression: str
    csv: CsvDialect
    provenance: Provenance
    fingerprint: str
    window_rows: int

    @property
    def suffix(self) -> str:
        """Return how its files end."""
        return f".{self.format}" + (f".{self.compression}" if self.compression else "")

    @property
    def part_suffix(self) -> str:
        """Return what its names have before that, where it is one shard of several."""
        return "" if self.shard.count == 1 else f"-{self.shard.index}-of-{self.shard.count}"

    @property
    def progress_folder(self) -> str:
        """Return where it is written down which parts are complete."""
        return f"_parts{self.part_suffix}"

    def store(self) -> Store:
        """Return where its files are kept; raises `ImportError` where pyarrow is missing."""
        return FolderStore(self.place) if isinstance(self.place, Path) else S3Store(self.place)

    def timeline(self) -> Timeline:
        """Return the messages it is of."""
        made = Timeline.for_export(self.scenario, self.start_ms, self.shard)
        made.shows_delays, made.annotations = self.delays, self.annotations
        return made


@dataclass(frozen=True, slots=True)
class MadePart:
    """Says what a part consists of."""

    name: str
    rows: int
    files: tuple[Mapping[str, Any], ...]
    """Of each name, rows, bytes and SHA-256, as the manifest has them."""


class PartStopped(Exception):
    """The part is not to be finished: an interruption came."""


class PartMaker:
    """Makes parts one after the other."""

    def __init__(self, job: PartedExport) -> None:
        self._job = job
        self._store = job.store()
        self._timeline = job.timeline()

    def make(self, part: Part, stop: Callable[[], bool] = lambda: False) -> MadePart:
        """Make the files of a part and put them into the store, then write down that they are there.

        The same part has the same bytes, whoever makes it. Raises `ExportError` where they cannot be written, and
        `PartStopped` where `stop` says so meanwhile.
        """
        job = self._job
        with self._store.stage(job.progress_folder) as folder:
            stage = Path(folder)
            target = self._target(stage)
            span = replace(job.span, from_ms=part.from_ms, to_ms=part.to_ms)
            progress = export(self._timeline, span, target, checkpoint=None, window_rows=job.window_rows, stop=stop)
            if not progress.finished:
                raise PartStopped
            files = []
            for path, rows in getattr(target, "rows", {}).items():
                if not rows:
                    continue
                kind = path.name.removesuffix(job.suffix)
                name = f"kind={kind}/date={part.date}/part-{part.time}{job.part_suffix}{job.suffix}"
                with path.open("rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                files.append({"name": name, "rows": rows, "bytes": path.stat().st_size, "sha256": digest})
                self._store.publish(path, name)
        made = MadePart(part.name, progress.records, tuple(files))
        said = {"fingerprint": job.fingerprint, "part": part.name, "rows": made.rows, "files": files}
        self._store.write(f"{job.progress_folder}/{part.name}.json", orjson.dumps(said))
        return made

    def _target(self, stage: Path) -> ExportTarget:
        job = self._job
        if job.format == "jsonl":
            return KindFiles(self._timeline, stage, job.suffix, job.compression)
        writer = table_writer(job.format, job.compression, job.csv, job.provenance.as_metadata())
        return TableFiles(self._timeline, stage, job.suffix, writer, folder=True)
