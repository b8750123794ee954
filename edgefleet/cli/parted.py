"""Does what `edgefleet generate --jobs`, `--ray` and `--out s3://…` were told: a data set of parts."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from devices.export.base import ExportError
from devices.export.csv import CsvDialect
from devices.export.data_set import DataSet
from devices.export.job import ExportProgress, ExportSpan, fingerprint, window_rows
from devices.export.part_maker import MadePart, PartedExport
from devices.export.parts import Part
from devices.export.provenance import Provenance
from devices.export.stores import S3Place, Store
from devices.export.writers import table_writer
from devices.faults.labels import label_lines, owned_labels, prepare_labels, write_labels
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgefleet import __version__
from edgefleet.cli.destination import Destination, check_outputs, missing_package
from edgefleet.cli.export_options import ExportOptions
from edgefleet.cli.outcome import ExportOutcome, stale_sentence, why_nothing
from edgefleet.cli.progress import closed_pipe_is_the_end, progress_bar
from edgefleet.cli.signals import StopFlag
from edgefleet.launch.part_processes import make_parts
from edgewire.errors import EdgefleetError

if TYPE_CHECKING:
    from edgefleet.launch.ray_cluster import RayCluster

Make = Callable[[PartedExport, Sequence[Part], Callable[[], bool], Callable[[], None]], Iterator[MadePart]]


def export_parts(
    scenario: Scenario,
    timeline: Timeline,
    shard: Shard,
    destination: Destination,
    span: ExportSpan,
    stop: StopFlag,
    options: ExportOptions,
    *,
    resume: bool,
    source: Path | None,
) -> ExportOutcome:
    """Export a span as a data set of parts; raises `ConfigError` for what contradicts itself."""
    provenance = Provenance.of_export(scenario, span, shard, __version__, delays=options.delays)
    additions = options.describe_additions()
    job = PartedExport(
        scenario=scenario,
        start_ms=timeline.start_ms,
        shard=shard,
        span=span,
        delays=options.delays,
        annotations=timeline.annotations,
        place=S3Place.parse(destination.place, os.environ)
        if destination.kind == "s3"
        else _folder(destination, options),
        format=destination.format,
        compression=destination.compression,
        csv=CsvDialect(options.csv or "plain"),
        provenance=provenance,
        fingerprint=fingerprint(
            scenario,
            span=[span.from_ms, span.to_ms, span.clean, options.delays],
            shard=str(shard),
            format=destination.suffix,
            version=__version__,
            options=additions,
        ),
        window_rows=window_rows(destination.format),
    )
    store = _opened(job)
    check_outputs(destination, (), options.labels, source)
    data_set = DataSet(job, additions, store, timeline.rate_per_s)
    labels = None if options.labels in (None, "-") else Path(str(options.labels))
    lock = store.lock(job.part_suffix)
    began = time.monotonic()
    details: dict[str, Any] = {}
    with (
        owned_labels(labels),
        closed_pipe_is_the_end(),
        progress_bar(span, str(destination)) as progress,
    ):
        if labels:
            prepare_labels(labels)
        lock.acquire()
        try:
            parts = data_set.begin(resume=resume, is_replacing=options.replace)
            _note_done(progress, data_set)
            _make_all(job, data_set, parts, stop, lock.check, progress, options)
            if not stop() and len(data_set.done) == len(data_set.parts):
                found = timeline.labels(span.from_ms, span.to_ms) if options.labels else []
                if labels:
                    write_labels(labels, found)
                elif options.labels:
                    typer.echo(b"".join(label_lines(found)), nl=False)
                lock.check()
                details["stale"], _ = data_set.finish(is_replacing=options.replace)
                progress.finished = True
        finally:
            lock.release()
    notes = [stale_sentence(str(store), details["stale"])] if details.get("stale") else []
    if progress.finished and not progress.records:
        notes.append(why_nothing(timeline, span, shard))
    details["parts"] = len(data_set.done)
    seconds = time.monotonic() - began
    return ExportOutcome(progress, destination, seconds, 0, "", resumable=True, notes=notes, details=details)


def _make_all(
    job: PartedExport,
    data_set: DataSet,
    parts: Sequence[Part],
    stop: StopFlag,
    on_wait: Callable[[], None],
    progress: ExportProgress,
    options: ExportOptions,
) -> None:
    """Make parts where they are to be made, and count them."""
    if not parts:
        return
    cluster: AbstractContextManager[RayCluster | None] = nullcontext()
    if options.ray is not None:
        from edgefleet.launch.ray_cluster import join_cluster

        cluster = join_cluster(None if options.ray == "auto" else options.ray, "warning", option="--ray")
    with cluster as joined:
        make: Make = partial(make_parts, jobs=options.jobs or os.cpu_count() or 1)
        if joined is not None:
            from edgefleet.launch.ray_parts import make_on_cluster

            make = partial(make_on_cluster, joined, jobs=options.jobs)
        try:
            for made in make(job, parts, stop, on_wait):
                data_set.done[made.name] = made
                progress.records += made.rows
                _report(progress, data_set)
        except EdgefleetError as error:
            if not data_set.done or type(error).exit_code != 1:
                raise
            raise ExportError(
                f"{error}; {len(data_set.done):,} of {len(data_set.parts):,} parts are complete, and the same command "
                "with --resume goes on"
            ) from None


def _note_done(progress: ExportProgress, data_set: DataSet) -> None:
    progress.records = progress.resumed = sum(part.rows for part in data_set.done.values())
    _report(progress, data_set)


def _report(progress: ExportProgress, data_set: DataSet) -> None:
    """Tell how far it is: by how much time is complete, wherever in the span it is."""
    done = sum(part.to_ms - part.from_ms for part in data_set.parts if part.name in data_set.done)
    progress.next_ms = data_set.job.span.from_ms + done
    progress.report(progress)


def _folder(destination: Destination, options: ExportOptions) -> Path:
    """Return the folder; in full for workers on a cluster, which are somewhere else."""
    folder = Path(destination.place)
    return folder if options.ray is None else folder.absolute()


def _opened(job: PartedExport) -> Store:
    try:
        if job.format != "jsonl":
            table_writer(job.format, job.compression, job.csv, {})
    except ImportError:
        raise missing_package(job.format.capitalize(), "pyarrow") from None
    try:
        return job.store()
    except ImportError:
        raise missing_package("s3://", "pyarrow") from None
