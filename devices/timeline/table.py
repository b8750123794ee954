"""Messages as columns, as the timeline computes them and exports take them, and as payloads for the wire."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from devices.sensors.columns import Columns, take_rows
from devices.sensors.packed_events import PackedEvents
from devices.world.random import Ints
from edgewire.messages import Channel


@dataclass(frozen=True, slots=True)
class Table:
    """Holds messages of one group of devices on one channel; every array and column has one entry a row."""

    kind: str
    channel: Channel
    times: Ints
    """When each is due, which is when it is measured; ms since 1970 UTC."""
    positions: Ints
    """Positions of the devices in `Timeline.devices`."""
    seqs: Ints
    columns: Columns | Sequence[dict[str, Any]]
    """Fields of the messages beside device_id, timestamp, boot and seq: columns where all rows have the same fields,
    else the fields of each row."""
    boots: Ints | None = None
    """The boot of each row; None where all are of the one in which the devices were powered on."""

    def rows(self, rows: Ints) -> "Table":
        """Return some of its rows, in the order given."""
        columns = self.columns
        chosen: Columns | Sequence[dict[str, Any]]
        if isinstance(columns, dict):
            chosen = {name: take_rows(column, rows) for name, column in columns.items()}
        elif isinstance(columns, PackedEvents):
            chosen = columns.take(rows)
        else:
            chosen = [columns[row] for row in rows.tolist()]
        boots = None if self.boots is None else self.boots[rows]
        return replace(
            self,
            times=self.times[rows],
            positions=self.positions[rows],
            seqs=self.seqs[rows],
            columns=chosen,
            boots=boots,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Holds messages in the order of their due time, device id and seq; one row each, column by column."""

    due_ms: list[int]
    device: list[int]
    """Positions in `Timeline.devices`."""
    seq: list[int]
    """`NO_SEQ` for what goes with a reading and is not accounted for."""
    channel: list[Channel]
    payload: list[bytes]
    boot: list[int]
    address: list[int]
    """Positions in `WireFormat.topics` of the device's format."""

    def __len__(self) -> int:
        return len(self.due_ms)
