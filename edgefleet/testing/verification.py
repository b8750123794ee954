"""Compares what devices sent with the rows that a pipeline has stored, and says what is missing where."""

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

from edgefleet.embedded.process import temporary_folder
from edgefleet.testing.broker import LocalBroker
from edgefleet.testing.fleet import Duration, EmulatedFleet, to_seconds
from edgefleet.testing.process import isolated_command
from edgewire.clock import iso_ms
from edgewire.errors import ConfigError, EdgefleetError
from edgewire.messages.base import MessageId
from edgewire.run_record import RunRecord

Row = Mapping[str, Any] | bytes | str | tuple[str, int, int]
"""A message as a pipeline has it: its fields, its payload as JSON, or (device_id, boot, seq)."""
Rows = Iterable[Row]

_WRONG_USAGE = 2
_SHOWN = 20
_READ_S = 300
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class MissingMessage:
    """Names a message that was sent and is not where it should be."""

    id: str
    """device_id:boot:seq, as in its payload."""
    last_seen: str
    """Where it was seen last, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Says what of a run is where it should be. `report` is what `edgefleet verify --json` prints."""

    outcome: str
    """PASS: all is there. FAIL: something is missing. INCOMPLETE: not everything is known."""
    sent: int
    stored: int
    lost: int
    duplicates: int
    out_of_order: int
    unexpected: int
    missing: tuple[MissingMessage, ...]
    """The first of those lost."""
    sentences: tuple[str, ...]
    """What is missing, and what is not known."""
    report: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Return whether it is known that nothing is missing."""
        return self.outcome == "PASS"

    def assert_nothing_lost(self) -> None:
        """Raise `AssertionError` where anything is missing or not known. A message may be there several times."""
        __tracebackhide__ = True
        if not self.ok:
            raise AssertionError(str(self))

    def assert_exactly_once(self) -> None:
        """Raise `AssertionError` where anything is missing, not known, there twice, or there although never sent."""
        __tracebackhide__ = True
        self.assert_nothing_lost()
        if self.duplicates or self.unexpected:
            raise AssertionError(
                f"{self.duplicates:,} messages are there more than once, {self.unexpected:,} were never sent\n{self}"
            )

    def assert_in_order(self) -> None:
        """Raise `AssertionError` where a message comes after a later one of its device."""
        __tracebackhide__ = True
        if self.out_of_order:
            raise AssertionError(f"{self.out_of_order:,} messages are there after a later one of their device\n{self}")

    def __str__(self) -> str:
        lines = [f"{self.outcome}: {self.stored:,} of {self.sent:,} messages are there, {self.lost:,} are lost"]
        lines += [f"  {sentence}" for sentence in self.sentences]
        lines += [f"  {one.id}  {one.last_seen}" for one in self.missing]
        if self.lost > len(self.missing) > 0:
            lines.append(f"  … and {self.lost - len(self.missing):,} more")
        return "\n".join(lines)


def verify(
    fleet: EmulatedFleet | Path,
    rows: Rows | Callable[[], Rows] | None = None,
    *,
    keys: Mapping[str, str] | None = None,
    ingest: str | None = None,
    kafka: str | None = None,
    within: Duration = 0,
) -> Verification:
    """Return whether all that a fleet sent, which has stopped, is among the rows that a pipeline has stored.

    A row has `device_id`, `boot` and `seq`, as the payloads have, or else `keys` says what they are called in it;
    `timestamp` and `arrived` (when it came) may be there as well. `rows` may also be a function that reads them: it is
    called again and again until all is there or `within` is over. Instead, or as well, the ingest at a URL and the
    topics of a Kafka are read.

    Raises `ConfigError` for rows in which no message can be found, or a fleet that still runs.
    """
    folder = fleet if isinstance(fleet, Path) else fleet.record_folder
    if isinstance(fleet, EmulatedFleet) and fleet.running:
        raise ConfigError("the fleet still runs: leave its with block, or call stop(), before you verify it")
    record = RunRecord.load(folder)
    # Rows are a snapshot: nothing comes to them by waiting, and who gives a function is asked anew.
    options: list[str | Path] = ["--wait", f"{round(to_seconds(within) * 1000) if rows is None else 0}ms"]
    for option, value in (("--ingest", ingest), ("--kafka", kafka)):
        options += [option, value] if value is not None else []
    for name, key in (keys or {}).items():
        options += ["--row-key", f"{name}={key}"]
    broker = fleet.broker if isinstance(fleet, EmulatedFleet) else None
    found = _run_verify(folder, options) if rows is None else _verify_rows(folder, options, rows, to_seconds(within))
    seen_at_broker = broker.seen() if found["failures"] and isinstance(broker, LocalBroker) else {}
    return _read_verdict(record, found, seen_at_broker)


def _verify_rows(
    folder: Path, options: list[str | Path], rows: Rows | Callable[[], Rows], within_s: float
) -> dict[str, Any]:
    deadline = time.monotonic() + within_s
    path = temporary_folder("rows").with_suffix(".jsonl")
    try:
        while True:
            write_rows(path, rows() if callable(rows) else rows)
            found = _run_verify(folder, [*options, "--rows", path])
            if found["ok"] or not callable(rows) or time.monotonic() > deadline:
                return found
            time.sleep(_POLL_S)
    finally:
        path.unlink(missing_ok=True)


def write_rows(path: Path, rows: Rows) -> None:
    """Write rows as JSON lines; raises `ConfigError` for one that is none of a message's forms."""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows, 1):
            file.write(_line(row, number) + "\n")


def _line(row: object, number: int) -> str:
    if isinstance(row, bytes | bytearray | memoryview):
        row = bytes(row).decode(errors="replace")
    if isinstance(row, str):
        return row.replace("\n", " ")
    if is_dataclass(row) and not isinstance(row, type):
        row = asdict(row)
    elif hasattr(row, "_asdict"):
        row = row._asdict()
    elif isinstance(row, tuple | list) and len(row) == 3:
        row = dict(zip(("device_id", "boot", "seq"), row, strict=True))
    elif isinstance(row, sqlite3.Row):
        row = dict(row)
    if not isinstance(row, Mapping):
        raise ConfigError(
            f"row {number} is {type(row).__name__}: give mappings, payloads as bytes, or (device_id, boot, seq)"
        )
    return json.dumps(dict(row), default=_plain)


def _plain(value: object) -> object:
    """Return what JSON knows for a value of a row; what a database makes of numbers and times is no reason to fail."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    try:
        number = value.__index__()  # type: ignore[attr-defined]  # numpy's integers
    except (AttributeError, TypeError):
        return str(value)
    return int(number)


def _run_verify(folder: Path, options: list[str | Path]) -> dict[str, Any]:
    done = subprocess.run(
        isolated_command("edgefleet", "verify", folder, "--json", *options),
        capture_output=True,
        text=True,
        timeout=_READ_S,
        check=False,
    )
    if done.returncode == _WRONG_USAGE or not done.stdout.startswith("{"):
        said = done.stderr.strip().splitlines()
        raise (ConfigError if done.returncode == _WRONG_USAGE else EdgefleetError)(said[-1] if said else "no answer")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _read_verdict(record: RunRecord, report: dict[str, Any], seen_at_broker: Mapping[str, int]) -> Verification:
    sinks = [report[name] for name in ("http", "kafka", "rows") if name in report]
    ids = dict.fromkeys(one for sink in sinks for one in sink["missing"])
    seen = _LastSeen(record, seen_at_broker)
    return Verification(
        outcome=report["verdict"],
        sent=report["sent"],
        stored=min((sink["stored"] for sink in sinks), default=0),
        lost=max((sink["lost"] for sink in sinks), default=0),
        duplicates=report["duplicates"],
        out_of_order=report["out_of_order"],
        unexpected=sum(sink["unexpected"] for sink in sinks),
        missing=tuple(MissingMessage(one, seen.words(one)) for one in [*ids][:_SHOWN]),
        sentences=(*report["failures"], *(f"not known: {sentence}" for sentence in report["incomplete"])),
        report=report,
    )


class _LastSeen:
    """Says where messages were seen last: by the broker's own observer, or else by the device's account."""

    def __init__(self, record: RunRecord, seen_at_broker: Mapping[str, int]) -> None:
        self._devices = {(device.device_id, device.boot): device for device in record.devices}
        self._seen_at_broker = seen_at_broker

    def words(self, message_id: str) -> str:
        if (at_ms := self._seen_at_broker.get(message_id)) is not None:
            return f"left the broker at {iso_ms(at_ms)}, and is not in the rows"
        device_id, boot, _ = MessageId.parse(message_id)
        device = self._devices.get((device_id, boot))
        if device is None:
            return "was sent by the device"
        if device.acknowledged:
            return "was acknowledged by the broker"
        return "was written to the connection at QoS 0, which nobody acknowledges"
