"""The run record: what a fleet says it emitted, written as `run.json` by the fleet and read by verification.

It is the fleet's own account and knows nothing of brokers, bridges or sinks. Plain dataclasses, because a fleet
may have 100,000 devices; they are validated only when a file is read.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from edgewire.config import describe
from edgewire.errors import ConfigError

FILE_NAME = "run.json"

SeqRange = tuple[int, int]
"""First and last seq of a run of messages, both included."""


def count(ranges: Iterable[SeqRange]) -> int:
    """How many messages are in these ranges."""
    return sum(last - first + 1 for first, last in ranges)


@dataclass(slots=True, kw_only=True)
class DeviceRecord:
    """One boot of one device. A device that emitted nothing has neither a first nor a last seq."""

    device_id: str
    kind: str
    site: str
    boot: int
    first_seq: int | None = None
    last_seq: int | None = None
    acknowledged: int = 0
    """Messages that the broker acknowledged, or that were written to the socket at QoS 0."""
    dropped: list[SeqRange] = field(default_factory=list)
    """Emitted, then given up by the device: its outbox was full."""
    unsent: list[SeqRange] = field(default_factory=list)
    """Still in the outbox when the run stopped."""

    @property
    def emitted(self) -> int:
        """Messages from the first to the last seq; seq has no gaps."""
        return 0 if self.first_seq is None or self.last_seq is None else self.last_seq - self.first_seq + 1

    def to_json(self) -> dict[str, Any]:
        """As in `run.json`."""
        return {name: getattr(self, name) for name in _DEVICE_FIELDS} | {"emitted": self.emitted}

    def check(self) -> None:
        """Raise `ValueError` where the account contradicts itself."""
        if (self.first_seq is None) != (self.last_seq is None):
            raise ValueError("has only one of first_seq and last_seq")
        if self.emitted < 0:
            raise ValueError(f"first_seq {self.first_seq} comes after last_seq {self.last_seq}")
        end = -1 if self.first_seq is None else self.first_seq - 1
        for first, last in sorted(self.dropped + self.unsent):
            if not end < first <= last or self.last_seq is None or last > self.last_seq:
                raise ValueError(f"dropped or unsent range {first}..{last} overlaps another or was never emitted")
            end = last


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """One run of one fleet process. Times are milliseconds since 1970 UTC."""

    run_id: str
    scenario: str
    seed: int
    broker: str
    """Without its password."""
    started_ms: int
    stopped_ms: int
    sim_started_ms: int
    """The devices' time when the run started."""
    time_scale: Annotated[float, Field(gt=0)] = 1.0
    limits: dict[str, Any] = field(default_factory=dict)
    """What bounded the run, such as its duration."""
    devices: list[DeviceRecord] = field(default_factory=list)

    @property
    def totals(self) -> dict[str, int]:
        """Messages of all devices."""
        return {
            "emitted": sum(device.emitted for device in self.devices),
            "acknowledged": sum(device.acknowledged for device in self.devices),
            "dropped": sum(count(device.dropped) for device in self.devices),
            "unsent": sum(count(device.unsent) for device in self.devices),
        }

    def save(self, folder: Path) -> Path:
        """Write `run.json` into `folder`, which is made where it is missing; a reader never sees half a file."""
        record = {name: getattr(self, name) for name in _RUN_FIELDS}
        record |= {"totals": self.totals, "devices": [device.to_json() for device in self.devices]}
        path = folder / FILE_NAME
        partial = path.with_suffix(".partial")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            os.replace(partial, path)
        except OSError as error:
            raise ConfigError(f"{path}: the run record cannot be written: {error.strerror}") from None
        return path

    @classmethod
    def load(cls, folder: Path) -> "RunRecord":
        """Read the record of the run in `folder`; raises `ConfigError` that names the file and what is wrong."""
        path = folder / FILE_NAME
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"{folder}: there is no {FILE_NAME}; give the folder that 'edgefleet run' wrote its record to"
            ) from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            record = _ADAPTER.validate_python(orjson.loads(data))
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{path}: is not JSON, perhaps cut short: {error}") from None
        except ValidationError as error:
            raise ConfigError(f"{path}: {describe(error)}") from None
        try:
            record.check()
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from None
        return record

    def check(self) -> None:
        """Raise `ValueError` where the record contradicts itself."""
        boots: set[tuple[str, int]] = set()
        for position, device in enumerate(self.devices):
            where = f"devices[{position}] ({device.device_id}, boot {device.boot})"
            if (device.device_id, device.boot) in boots:
                raise ValueError(f"{where}: is there twice")
            boots.add((device.device_id, device.boot))
            try:
                device.check()
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None


_DEVICE_FIELDS = tuple(item.name for item in fields(DeviceRecord))
_RUN_FIELDS = tuple(item.name for item in fields(RunRecord) if item.name != "devices")
_ADAPTER = TypeAdapter(RunRecord)
