"""A checkpoint of a run record: what the devices have done so far, cheap to make, to hand on and to join.

A fleet may have 100,000 devices and goes on sending meanwhile, so their records are encoded where they are made, a few
at a time, and stay bytes until somebody has to read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson

from edgewire.run_record import DeviceRecord, RunRecord, UnaccountedPart, count_totals, encode_head, parse_record

NOT_ENDED = "The run had not ended when this was written."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCheckpoint:
    """Holds a record without its devices, and the devices as JSON."""

    head: RunRecord
    devices: list[bytes] = field(default_factory=list)
    """Pieces of a JSON array, without its brackets."""
    totals: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, record: RunRecord) -> "RunCheckpoint":
        """Return a record that is whole as a checkpoint."""
        return cls(
            head=replace(record, devices=[]),
            devices=encode_devices(record.devices),
            totals=count_totals(record.devices),
        )

    @classmethod
    def join(
        cls, parts: "Sequence[RunCheckpoint]", shards: list[tuple[int, int]], unaccounted: Sequence[UnaccountedPart]
    ) -> "RunCheckpoint":
        """Return the parts of one run, which together are `shards`, as one; `unaccounted` names those that failed."""
        head = RunRecord.join([part.head for part in parts])
        # What each found of its own devices is no verdict on all of them.
        head = replace(head, verdict=NOT_ENDED, problems={}, notes={}, incidents={})
        return cls(
            head=replace(head, shards=shards, unaccounted=[*head.unaccounted, *unaccounted]),
            devices=[piece for part in parts for piece in part.devices],
            totals={name: sum(part.totals.get(name, 0) for part in parts) for name in count_totals([])},
        )

    def to_bytes(self) -> bytes:
        """Return it as it stands in `run.json`."""
        head = encode_head(replace(self.head, state="running")) | {"totals": self.totals}
        return orjson.dumps(head)[:-1] + b',"devices":[' + b",".join(self.devices) + b"]}\n"

    def to_record(self) -> RunRecord:
        """Return the record with its devices. Raises `ValueError` where it contradicts itself."""
        return parse_record(orjson.loads(self.to_bytes()))


def encode_devices(devices: Sequence[DeviceRecord]) -> list[bytes]:
    """Return one piece of a JSON array, or none where there are no devices."""
    return [orjson.dumps(devices)[1:-1]] if devices else []
