"""Knows what may be in a sink beside what a run has sent, where messages have no ids: of the run record. Pure.

That is what devices have said because somebody asked them, and what real sensors said in the places of devices in
standby. None of it is expected; but where one says the same as a message that was sent, the two cannot be told apart.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefleet.verify.message_content import content_keys, content_of, has_own_time
from edgefleet.verify.message_index import Indices
from edgewire.run_record import RunRecord, SideMessage

FOREVER_MS = 2**60
"""The end of what had not ended with the run."""


class DecodedMessage(NamedTuple):
    """Holds what the bridge makes of a message."""

    name: str
    """Of the device, in a sink."""
    time_ms: int
    fields: dict[str, Any]


class Presence(NamedTuple):
    """Tells when a real sensor was in a device's place, by the devices' clock."""

    from_ms: int
    to_ms: int
    heard_ms: int
    """When it was heard of last."""


def _column() -> Indices:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class SideContents:
    """Holds the keys of such messages in columns, as `ExpectedContents`, and when there may be some more."""

    whole: Indices = field(default_factory=_column)
    """0 where a message has no time of its own."""
    values: Indices = field(default_factory=_column)
    due_ms: Indices = field(default_factory=_column)
    """When it was said, by the devices' clock."""
    device: Indices = field(default_factory=_column)
    """Position of one of the boots of its device in the index."""
    is_answer: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    presences: dict[str, list[Presence]] = field(default_factory=dict)
    """Device -> when real sensors were in its place."""
    unheard: set[str] = field(default_factory=set)
    """Devices beside whose own messages more was said than is known."""

    def __len__(self) -> int:
        return len(self.values)


def read_side_contents(
    record: RunRecord,
    ids: Collection[str],
    devices: Mapping[str, int],
    decode: Callable[[SideMessage], DecodedMessage | None],
) -> SideContents:
    """Return what was said beside the messages of the devices with these ids.

    `devices` are names in a sink with their positions in the index; `decode` returns None for what is no row there.
    """
    found = SideContents(unheard={name for name in record.side_messages_left_out if name in ids})
    for span in record.standby:
        if span.device_id in ids:
            end_ms = FOREVER_MS if span.to_ms is None else span.to_ms
            heard_ms = end_ms if span.heard_ms is None else span.heard_ms
            found.presences.setdefault(span.device_id, []).append(Presence(span.from_ms, end_ms, heard_ms))
            if span.heard_ms is None:
                # Written before records knew what sensors have said.
                found.unheard.add(span.device_id)
    rows: list[tuple[int, ...]] = []
    for message in record.side_messages:
        read = decode(message) if message.device_id in ids else None
        if read is None or read.name not in devices:
            continue
        keys = content_keys(read.name, read.time_ms, content_of(read.fields))
        whole = keys.whole if has_own_time(read.fields) else 0
        rows.append((whole, keys.values, message.at_ms, devices[read.name], message.is_answer))
    if rows:
        columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)]
        found.whole, found.values, found.due_ms, found.device = columns[:4]
        found.is_answer = columns[4] != 0
    return found
