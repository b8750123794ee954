"""Does what `edgefleet generate` was told: exports a span of time, or streams from now on, and says what came of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from devices.export.base import BatchTarget, ExportError, ExportTarget
from devices.export.job import ExportProgress, ExportSpan, export, fingerprint, window_rows
from devices.export.manifest import listed_files, remove_former, stale_files, write_manifest
from devices.export.provenance import Provenance
from devices.export.stream import stream
from devices.faults.labels import label_lines, owned_labels, prepare_labels, write_labels
from devices.scenario.devices import Shard
from devices.scenario.pace import at_pace, in_real_time
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from devices.timeline.wall_time import PacedTime
from edgefleet import __version__
from edgefleet.cli.common import parse_duration
from edgefleet.cli.destination import Destination, check_labels, check_outputs
from edgefleet.cli.export_options import ExportOptions
from edgefleet.cli.outcome import ExportOutcome, stale_sentence, why_nothing
from edgefleet.cli.progress import closed_pipe_is_the_end, progress_bar
from edgefleet.cli.signals import StopFlag
from edgefleet.cli.span import NO_END_MS
from edgefleet.cli.targets import batch_target, checkpoint_file, export_target, part_suffix, stream_path
from edgefleet.report.stream_report import Discard, StreamReport, banner
from edgewire.clock import SystemClock, iso_ms
from edgewire.errors import ConfigError

_ROWS_LOOKED_AT = 2000
"""Of a stream at a pace, to see how often its devices speak by themselves."""
_SINGLE_WINDOW_ROWS = 200
"""Between two checkpoints: few where each is a request, and sent again."""
_STATISTICS_EVERY_S = 10.0
_LINGER_S = 0.2
"""Messages of a stream that fall due within this time go to a server in one request."""


def export_span(
    scenario: Scenario,
    shard: str,
    destination: Destination,
    span: ExportSpan,
    stop: StopFlag,
    options: ExportOptions,
    *,
    resume: bool,
    source: Path | None = None,
) -> ExportOutcome:
    """Export a span of the scenario's time; raises `ConfigError` for what contradicts itself.

    `source` is the scenario's file, which no output may be.
    """
    options.check(destination, has_records=span.records is not None)
    labels = options.labels
    check_labels(labels)
    part = Shard.parse(shard)
    powered_on = scenario.power_on_ms(span.from_ms)
    timeline = Timeline.for_export(scenario, EPOCH_MS if powered_on is None else powered_on, part)
    timeline.shows_delays = options.delays
    notes = []
    if early := check_begin(scenario, timeline.start_ms, span):
        notes.append(early)
        span = replace(span, from_ms=timeline.start_ms)
    is_open = span.records is not None and span.to_ms == NO_END_MS
    timeline.annotations = options.annotations(scenario, span, is_open)
    if options.is_parted(destination):
        from edgefleet.cli.parted import export_parts

        done = export_parts(scenario, timeline, part, destination, span, stop, options, resume=resume, source=source)
        return replace(done, notes=[*notes, *done.notes])
    provenance = Provenance.of_export(scenario, span, part, __version__, delays=options.delays)
    target = export_target(destination, timeline, stop, provenance, options)
    check_outputs(destination, getattr(target, "paths", ()), labels, source)
    mark = fingerprint(
        scenario,
        span=[span.from_ms, span.to_ms, span.records, span.clean, options.delays],
        shard=shard,
        out=str(destination),
        format=destination.suffix,
        version=__version__,
        options=options.describe_additions(),
    )
    sidecar = checkpoint_file(destination, target, mark, part)
    if resume and sidecar is None:
        gone = stream_path(target) or "stdout"
        raise ConfigError(f"--resume: what went to {gone} is gone, so it cannot be gone on with; give --out a file")
    has_files = destination.is_folder and destination.format != "delta"
    folder = Path(destination.place) if has_files else None
    former = listed_files(folder) if folder else []
    labels_path = None if labels is None or labels == "-" else Path(labels)
    if labels_path:
        prepare_labels(labels_path)

    def finish_around(progress: ExportProgress) -> None:
        """Write what belongs to a whole export: its labels and its manifest."""
        if labels or hasattr(target, "add_labels"):
            found = timeline.labels(span.from_ms, progress.next_ms)
            if labels_path:
                write_labels(labels_path, found)
            elif labels:
                typer.echo(b"".join(label_lines(found)), nl=False)
            if found and hasattr(target, "add_labels"):
                target.add_labels(found)
        if folder:
            write_manifest(folder, part_suffix(part), provenance, getattr(target, "rows", {}), former)

    began = time.monotonic()
    with (
        owned_labels(labels_path),
        closed_pipe_is_the_end(),
        progress_bar(span, str(destination), is_told=not destination.is_stdout) as progress,
    ):
        export(
            timeline,
            span,
            target,
            checkpoint=None if sidecar is None else (sidecar, mark),
            resume=resume,
            window_rows=_SINGLE_WINDOW_ROWS if getattr(target, "is_single", False) else window_rows(destination.format),
            stop=stop,
            progress=progress,
            at_end=finish_around,
        )
    details: dict[str, Any] = dict(getattr(target, "counts", {}))
    if details.get("already_there"):
        notes.append(f"{details['inserted']:,} records were inserted, {details['already_there']:,} were there already")
    if progress.finished and not progress.records:
        notes.append(why_nothing(timeline, span, part))
    if progress.finished and folder:
        stale = stale_files(folder, part_suffix(part), provenance)
        removed = remove_former(folder, stale, former) if options.replace else []
        stale = [path for path in stale if path not in removed]
        details["stale"] = [str(path.relative_to(folder)) for path in stale]
        if stale:
            notes.append(stale_sentence(str(folder), details["stale"]))
    outcome = _outcome(progress, destination, began, target, resumable=sidecar is not None)
    return replace(outcome, notes=notes, details=details)


def check_begin(scenario: Scenario, start_ms: int, span: ExportSpan) -> str:
    """Return a sentence where the devices are powered on within a span, nothing where they are on before.

    Raises `ConfigError` where they are powered on after it, and where nobody said when they are.
    """
    if span.from_ms >= start_ms:
        return ""
    if scenario.start is None:
        raise ConfigError(
            f"--from {iso_ms(span.from_ms)}: the devices have been running since {iso_ms(start_ms)}, and say nothing "
            "before: give a later --from, or the scenario a `start`"
        )
    if span.to_ms <= start_ms:
        raise ConfigError(
            f"--to {iso_ms(span.to_ms)}: the devices are powered on at {iso_ms(start_ms)}, the `start` of the "
            "scenario, and say nothing before: give a later --to"
        )
    return f"the devices are powered on at {iso_ms(start_ms)}, the `start` of the scenario: there is nothing before"


def stream_live(
    scenario: Scenario,
    shard: Shard,
    destination: Destination,
    interval_s: float | None,
    records: int | None,
    stop: StopFlag,
    *,
    is_printed: bool = False,
    stats_every: int | None = None,
    is_quiet: bool = False,
) -> ExportOutcome:
    """Stream from now on until it is stopped, or `records` messages are out.

    Where it does not go to stdout, and unless it `is_quiet`, it says where to, and every ten seconds how it goes.
    """
    timeline = _live_timeline(scenario, shard, interval_s)
    is_told = is_printed or not (is_quiet or destination.is_stdout)
    target = _stream_target(
        destination,
        timeline,
        stop,
        is_printed=is_printed,
        stats_every=stats_every,
        stats_every_s=_STATISTICS_EVERY_S if is_told and stats_every is None else None,
    )
    if is_told:
        for line in banner(scenario, str(destination), interval_s):
            typer.echo(line, err=True)
    # Each to a place of its own, or in a request of its own: nothing is gained by waiting for the next.
    is_alone = destination.kind not in ("upload", "kafka") or getattr(target, "is_single", False)
    progress = ExportProgress()
    began = time.monotonic()
    try:
        with closed_pipe_is_the_end():
            stream(
                timeline,
                target,
                interval_s=interval_s,
                records=records,
                now_s=time.monotonic,
                wait=stop.wait,
                time_scale=in_real_time(scenario).time_scale,
                linger_s=0.0 if is_alone else _LINGER_S,
                progress=progress,
            )
    except ExportError as error:
        raise ExportError(f"{error}; {progress.records:,} records had arrived") from None
    return _outcome(progress, destination, began, target)


def _stream_target(
    destination: Destination,
    timeline: Timeline,
    stop: StopFlag,
    *,
    is_printed: bool,
    stats_every: int | None,
    stats_every_s: float | None,
) -> BatchTarget:
    """Return the target of a stream, with a report around it where one is asked for.

    Where the messages would go to stdout, readable lines stand in their place.
    """
    if not is_printed and stats_every is None and stats_every_s is None:
        return batch_target(destination, timeline, stop, is_endless=True)
    reports: list[StreamReport] = []
    inner: BatchTarget = Discard()
    if not (is_printed and destination.is_stdout):
        inner = batch_target(destination, timeline, stop, lambda said: reports[0].on_trouble(said), is_endless=True)
    report = StreamReport(
        inner,
        say_line=typer.echo if is_printed else None,
        say=lambda line: typer.echo(line, err=True),
        every=stats_every,
        every_s=stats_every_s,
    )
    reports.append(report)
    return report


def _live_timeline(scenario: Scenario, shard: Shard, interval_s: float | None) -> Timeline:
    """Return the timeline of a stream that begins now; with an interval its messages show the times of their turns.

    The devices then speak so often, and so many people come, that the turns are about when they would be anyway.
    """
    powered_on = scenario.power_on_ms(None)
    start_ms = SystemClock().now_ms() if powered_on is None else powered_on
    if interval_s is None:
        return Timeline.for_export(in_real_time(scenario), start_ms, shard)
    natural = Timeline(scenario, start_ms, shard)
    # Where things happen between readings too, how many is seen by looking; an hour has some at any time of the day.
    span_ms = round(min(max(_ROWS_LOOKED_AT / natural.rate_per_s * 1000, 60_000), 3_600_000))
    rate_per_s = max(len(natural.batch(start_ms, start_ms + span_ms)) * 1000 / span_ms, natural.rate_per_s)
    timeline = Timeline.for_export(at_pace(scenario, 1 / (interval_s * rate_per_s)), start_ms, shard)
    timeline.paced = PacedTime(start_ms, interval_s * 1000)
    return timeline


def _outcome(
    progress: ExportProgress, destination: Destination, began: float, target: ExportTarget, *, resumable: bool = False
) -> ExportOutcome:
    return ExportOutcome(
        progress,
        destination,
        time.monotonic() - began,
        getattr(target, "rejected", 0),
        getattr(target, "reason", ""),
        resumable,
        getattr(target, "failed", 0),
        getattr(target, "statuses", {}),
    )


def parse_interval(text: str | None) -> float | None:
    """Return the seconds of `--interval`, a duration or a number of seconds."""
    if text is None:
        return None
    is_number = text.replace(".", "", 1).isdecimal()
    return parse_duration("--interval", f"{float(text):f}s" if is_number else text) / 1000
