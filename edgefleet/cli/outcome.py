"""Says what an export or a stream came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import typer

from devices.export.job import ExportProgress, ExportSpan
from devices.scenario.devices import Shard
from devices.timeline.timeline import Timeline
from edgefleet.cli.destination import Destination
from edgefleet.terminal import echo
from edgewire.clock import iso_ms

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """Says what an export or a stream came to."""

    progress: ExportProgress
    destination: Destination
    seconds: float
    rejected: int
    reason: str
    resumable: bool = False
    """Whether the same command with --resume goes on where it was interrupted."""
    failed: int = 0
    """Records of a stream that were given up."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    """Of an upload: status of an answer -> how many requests had it."""
    notes: Sequence[str] = ()
    """Sentences for the user, beside the count."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else `--json` tells."""

    def report(self, *, as_json: bool) -> None:
        """Say what was written; end with code 1 where not everything was."""
        progress = self.progress
        written = progress.records - progress.resumed
        to_stdout = self.destination.is_stdout
        if as_json:
            summary = {
                "records": progress.records,
                "resumed": progress.resumed,
                "rejected": self.rejected,
                "finished": progress.finished,
                "seconds": round(self.seconds, 3),
                "records_per_s": round(written / max(self.seconds, 1e-9)),
                "out": str(self.destination),
                "failed": self.failed,
            }
            if self.destination.kind == "upload":
                summary["statuses"] = {str(status): number for status, number in sorted(self.statuses.items())}
            typer.echo(orjson.dumps(summary | dict(self.details)), err=to_stdout)
        elif not to_stdout or not progress.finished:
            rate = written / max(self.seconds, 1e-9)
            state = "" if progress.finished else "interrupted: "
            more = "" if progress.finished or not self.resumable else "; the same command with --resume goes on"
            echo(
                f"{state}{progress.records:,} records to {self.destination} in {self.seconds:.1f} s "
                f"({rate:,.0f}/s){more}",
                err=to_stdout,
            )
        for note in self.notes:
            echo(f"edgefleet: {note}", err=True)
        if self.rejected or self.failed:
            echo(f"edgefleet: {self._missing()}, the first because: {self.reason}{self._answers()}", err=True)
        if self.rejected or self.failed or not progress.finished:
            raise typer.Exit(1)

    def _missing(self) -> str:
        told = {"rejected": self.rejected, "given up": self.failed}
        return " and ".join(
            f"{number:,} {'record was' if number == 1 else 'records were'} {what}"
            for what, number in told.items()
            if number
        )

    def _answers(self) -> str:
        """Return how often each status came; nothing where all requests were taken."""
        listed = ", ".join(f"{number:,} of {status}" for status, number in sorted(self.statuses.items()))
        return f"; answers: {listed}" if set(self.statuses) - {200} else ""


def why_nothing(timeline: Timeline, span: ExportSpan, part: Shard) -> str:
    """Return why a finished export has no record."""
    if not timeline.devices:
        return f"there is no record, as shard {part} has no device: there are fewer devices than shards"
    return (
        f"there is no record, as none of the {len(timeline.devices):,} devices has anything to say from "
        f"{iso_ms(span.from_ms)} to {iso_ms(span.to_ms)}: choose a longer span"
    )


def stale_sentence(place: str, names: Sequence[str]) -> str:
    """Return a word about files of data that no manifest of this export tells of."""
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    files = "1 file" if len(names) == 1 else f"{len(names):,} files"
    return (
        f"{place} has {files} that this export did not write ({shown}), which who reads the whole folder reads too: "
        "remove them, write to another place, or let --replace remove what the manifest of a former export tells of"
    )
