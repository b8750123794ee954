"""Exports: window after window from the timeline to a target, resumable between any two of them.

The sidecar file of an export under way says how far it has come, and of which export it is.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from devices.export.base import ExportError, ExportTarget, ExportWindow
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.output import make_output_folder, partial_path, require_file
from edgewire.output_lock import OutputLock

WINDOW_ROWS = 20_000
"""About how many messages are held in memory at once; more would be slower too, for the processor's caches."""
ROW_GROUP_ROWS = 50_000
"""The same for Parquet, where a window is a row group: smaller ones compress less and are slower to read."""
COMMIT_ROWS = 100_000
"""The same for Delta, where a window is a commit and a file: of many small ones, readers are slow."""
_MAX_STEP_MS = 366 * 86_400_000
SAVE_EVERY_S = 1.0
"""An export that is killed loses so much of its time."""


def fingerprint(scenario: Scenario, **choices: object) -> str:
    """Return a short text that is the same only for exports that write the same messages to the same place."""
    said = {"scenario": scenario.model_dump(mode="json", exclude={"broker"}), **choices}
    return hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Says how far an export has come."""

    fingerprint: str
    next_ms: int
    """Where the next window begins."""
    step_ms: int
    """How long the next window is."""
    records: int
    target: dict[str, Any]
    """The target's own state."""

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; raises `ExportError` where that cannot be."""
        try:
            path = require_file(path)
            beside = partial_path(path, ".new")
            with beside.open("wb") as file:
                file.write(orjson.dumps(self))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            raise ExportError(f"{path}: how far the export is cannot be written down: {error.strerror}") from None

    @classmethod
    def load(cls, path: Path, expected: str) -> "Checkpoint | None":
        """Return the checkpoint in a file, None where there is none.

        Raises `ExportError` where it belongs to another export than the one with the fingerprint `expected`.
        """
        try:
            found = cls(**orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ExportError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, TypeError):
            raise ExportError(f"{path} is no checkpoint: delete it to begin anew") from None
        if found.fingerprint != expected:
            raise ExportError(
                f"{path} is of an export with another scenario, time span, shard or format: "
                "repeat its command, or leave out --resume to begin anew"
            )
        return found


@dataclass(frozen=True, slots=True)
class ExportSpan:
    """Says which messages: those due in [from_ms, to_ms), and no more than `records`."""

    from_ms: int
    to_ms: int
    records: int | None = None
    clean: bool = False
    """See `ExportWindow.clean`."""


@dataclass(slots=True)
class ExportProgress:
    """Says how far an export is; `report` is called after every window."""

    records: int = 0
    resumed: int = 0
    """How many of them an earlier export had written."""
    next_ms: int = 0
    """All messages due before are written."""
    finished: bool = False
    report: Callable[["ExportProgress"], None] = field(default=lambda _: None, repr=False)


def export(
    timeline: Timeline,
    span: ExportSpan,
    target: ExportTarget,
    *,
    checkpoint: tuple[Path, str] | None,
    resume: bool = False,
    window_rows: int = WINDOW_ROWS,
    stop: Callable[[], bool] = lambda: False,
    progress: ExportProgress | None = None,
    at_end: Callable[[ExportProgress], None] = lambda _: None,
) -> ExportProgress:
    """Write all messages of a span; return how far it came, which is not the end only if `stop` said so.

    `checkpoint` is the sidecar file and the fingerprint of this export, None where a target cannot be gone on with.
    `at_end` is for what belongs to a whole export; one that is cut off in it is gone on with there.
    """
    progress = progress or ExportProgress()
    path, mark = checkpoint or (None, "")
    with _owned(path) if path else contextlib.nullcontext():
        saved = Checkpoint.load(path, mark) if resume and path else None
        # Of few records no more are made than are asked for.
        first_rows = window_rows if span.records is None else min(window_rows, span.records)
        at, step = (saved.next_ms, saved.step_ms) if saved else (span.from_ms, _first_step(timeline, first_rows))
        progress.records = progress.resumed = saved.records if saved else 0
        progress.next_ms = at

        def save() -> None:
            if path:
                Checkpoint(mark, progress.next_ms, step, progress.records, dict(target.save_state())).save(path)

        try:
            target.open(saved.target if saved else None)
            # From the first moment on, so that also an export that fails in its first second can be gone on with.
            save()
            saved_at = time.monotonic()
            while at < span.to_ms and progress.records != span.records and not stop():
                limit = None if span.records is None else span.records - progress.records
                window = ExportWindow(timeline, at, min(at + step, span.to_ms), limit, span.clean)
                rows = target.write(window)
                at, step = window.to_ms, next_step(step, rows, window_rows)
                progress.records += rows
                is_cut = progress.records == span.records
                progress.next_ms = window.last_ms + 1 if is_cut else at
                progress.report(progress)
                if time.monotonic() - saved_at >= SAVE_EVERY_S:
                    save()
                    saved_at = time.monotonic()
            save()
            if at >= span.to_ms or progress.records == span.records:
                target.finish()
                at_end(progress)
                progress.finished = True
                if path:
                    path.unlink(missing_ok=True)
        finally:
            if not progress.finished:
                target.abandon()
        return progress


@contextlib.contextmanager
def _owned(checkpoint: Path) -> Iterator[None]:
    """Keep other processes from the place of an export: what of it is under way is in one checkpoint."""
    place = checkpoint.parent if checkpoint.name.startswith(".") else checkpoint.with_suffix("")
    lock = OutputLock(checkpoint, place)
    with contextlib.suppress(OSError):  # the target says what is wrong with the place
        make_output_folder(checkpoint.parent)
    try:
        lock.acquire()
    except OSError as error:
        raise ExportError(f"{checkpoint.parent} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def window_rows(format_: str) -> int:
    """Return about how many messages a window of a format has."""
    if format_ == "delta":
        return COMMIT_ROWS
    return ROW_GROUP_ROWS if format_ in ("parquet", "arrow", "duckdb", "sqlite") else WINDOW_ROWS


def next_step(step_ms: int, rows: int, wanted: int) -> int:
    """Return how long the next window should be, after one of `step_ms` had so many rows.

    It depends on the messages alone, so that an export that is gone on with has the same windows.
    """
    grown = step_ms * wanted / rows if rows else step_ms * 4
    return round(min(max(grown, step_ms / 4, 1), step_ms * 4, _MAX_STEP_MS))


def _first_step(timeline: Timeline, window_rows: int) -> int:
    rate = max(timeline.rate_per_s, 1e-6)
    return max(1, min(round(window_rows / rate * 1000), _MAX_STEP_MS))
