"""Writes reports: whole or not at all, and in the place of nothing else than a report."""

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from devices.faults.labels import FILE_NAME as LABELS_FILE
from devices.faults.labels import Label, iter_labels
from edgefleet.report.html.faults import MOST_LABELS
from edgefleet.report.run_files import COMPANIONS
from edgefleet.report.status_series import FILE_NAME as SERIES_FILE
from edgefleet.report.status_series import StatusSeries
from edgewire.errors import ConfigError
from edgewire.output import is_stream, make_output_folder, partial_path, require_file, write_output
from edgewire.run_record import FILE_NAME as RUN_FILE


def check_page(path: Path, inputs: Iterable[Path], option: str = "--html") -> None:
    """Raise `ConfigError` where no report can be written, before there is one; it may not be one of the `inputs`."""
    try:
        if is_stream(path):
            return
        found = require_file(path)
        if any(found.resolve() == one.resolve() for one in inputs):
            raise ConfigError(f"{option} {path}: that file is part of the run; name another one for the report")
        make_output_folder(found.parent)
        partial = partial_path(found)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written: {error.strerror}") from None


def write_page(path: Path, content: bytes) -> None:
    """Write a report. Raises `ConfigError` where it cannot be written; then what was there before still is."""
    try:
        write_output(path, content)
    except OSError as error:
        raise ConfigError(f"--html {path}: cannot be written: {error.strerror}") from None


def list_run_files(folders: Sequence[Path]) -> list[Path]:
    """Return the files of runs, which a report may not replace."""
    return [folder / name for folder in folders for name in (RUN_FILE, *COMPANIONS)]


def read_run_states(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return how a run was over its time, where it has left that; of several shards nobody has told it of the whole.

    Raises `ConfigError` for other content.
    """
    path = folders[0] / SERIES_FILE
    return StatusSeries.load(path).states if len(folders) == 1 and path.is_file() else []


def read_run_labels(folders: Sequence[Path]) -> list[Label]:
    """Return the labels beside the records of a run, where there are some, as many as a report takes.

    Raises `ConfigError` for other content.
    """
    found = (folder / LABELS_FILE for folder in folders)
    labels = chain.from_iterable(iter_labels(path) for path in found if path.is_file())
    return list(islice(labels, MOST_LABELS + 1))
