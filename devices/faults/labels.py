"""Labels, the ground truth of one fault at one device each, and their file. `timeline.label_finder` finds them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from edgewire.errors import ConfigError
from edgewire.output import (
    is_stream,
    make_output_folder,
    partial_path,
    require_file,
    resolve_output,
    write_output,
)
from edgewire.output_lock import OutputLock

FILE_NAME = "labels.jsonl"

LONGEST_LINE = 1 << 20
"""Bytes of a line that is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One fault at one device, from its true beginning to its true end."""

    device_id: str
    kind: str
    boot: int
    type: str
    fields: tuple[str, ...]
    """Of the messages that it changes; empty where whole messages are lost."""
    parameters: dict[str, Any]
    """Of the fault, as in the calendar."""
    layer: str
    """Where it is: physics, sensor, firmware or transport."""
    start_ms: int
    """True time (ms since 1970 UTC), whatever the device's clock says."""
    end_ms: int | None
    """Exclusive; None where the fault has no end."""
    first_seq: int | None
    """First message that differs from what it would be without this fault, or is lost by it; of a fault of the link,
    that was due meanwhile. By the number that it has on the wire, or in the run record. None where there is none: a
    phone without a position says nothing."""
    last_seq: int | None
    """Last such message; in between there may be messages that do not show the fault."""
    messages: int
    """How many there are."""


def prepare_labels(path: Path) -> None:
    """Begin the file before there are labels, so that a long export is told early where it cannot be written."""
    if not is_stream(path):
        with _explained(path):
            found = require_file(path)
            make_output_folder(found.parent)
            partial_path(found).touch()


def write_labels(path: Path, labels: Iterable[Label]) -> None:
    """Write labels as JSON lines, whole or not at all. Raises `ConfigError` where the file cannot be written."""
    content = b"".join(label_lines(labels))
    with _explained(path):
        write_output(path, content)


def label_lines(labels: Iterable[Label]) -> Iterator[bytes]:
    """Yield the line of each label."""
    return (orjson.dumps(asdict(one), option=orjson.OPT_APPEND_NEWLINE) for one in labels)


@contextmanager
def owned_labels(path: Path | None) -> Iterator[None]:
    """Keep other processes from a labels file meanwhile; raises `OutputBusyError` where one of them writes it."""
    if path is None or is_stream(path):
        yield
        return
    with _explained(path):
        lock = OutputLock(resolve_output(path), path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def iter_labels(path: Path) -> Iterator[Label]:
    """Yield the labels of a file; raises `ConfigError` where it cannot be read, or the line that is no label."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                try:
                    fields = orjson.loads(line)
                    label = Label(**fields | {"fields": tuple(fields["fields"])})
                    whole = (label.start_ms, label.messages, *([] if label.end_ms is None else [label.end_ms]))
                    if not all(type(value) is int for value in whole) or not isinstance(label.type, str):
                        raise TypeError
                except (ValueError, TypeError, KeyError):
                    raise ConfigError(
                        f"{path}: line {number} is no label of a fault; is it a file that edgefleet wrote?"
                    ) from None
                yield label
    except OSError as error:
        raise ConfigError(f"{path}: the labels cannot be read: {error.strerror}") from None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: the labels cannot be written: {error.strerror}") from None
