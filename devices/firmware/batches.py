"""Holds the readings of a device that leave together in one message, until the message has as many as it says at once.

Which ones those are follows from the number of a reading since power-on, so it is the same whenever somebody begins to
look. What a fault has lost is missing in its message, which is shorter then.
"""

from typing import NamedTuple

from devices.firmware.outbox import Reading
from edgewire.dialects.payload_template import join_readings


class BatchRule(NamedTuple):
    """Says how many readings the messages of one address say at once."""

    readings: int
    per_reading: int
    """Messages with a number that are made of a reading: numbers of one address are so far apart."""
    pad_to: int = 0
    """Bytes; a shorter message has spaces at its end."""

    def is_complete(self, seq: int) -> bool:
        """Return whether the reading with this number is the last of its message."""
        return (seq // self.per_reading + 1) % self.readings == 0

    def first_of(self, seq: int) -> int:
        """Return the number of the first reading that is, in good order, in the message of this one."""
        ordinal, part = divmod(seq, self.per_reading)
        return ordinal // self.readings * self.readings * self.per_reading + part


class ReadingBatches:
    """Holds what one device has collected, by the address of the message."""

    __slots__ = ("_collected",)

    def __init__(self) -> None:
        self._collected: dict[int, tuple[BatchRule, list[Reading]]] = {}

    def __len__(self) -> int:
        return sum(len(readings) for _, readings in self._collected.values())

    def add_reading(self, reading: Reading, rule: BatchRule) -> Reading | None:
        """Keep a reading; return the message where it is the last one of it."""
        self._collected.setdefault(reading.address, (rule, []))[1].append(reading)
        return self.close_batch(reading.address) if rule.is_complete(reading.seq) else None

    def close_batch(self, address: int) -> Reading | None:
        """Return the message with what there is by now; None where that is nothing."""
        found = self._collected.pop(address, None)
        if found is None:
            return None
        rule, readings = found
        newest = readings[-1]
        payload = join_readings([one.payload for one in readings], rule.pad_to)
        return newest._replace(payload=payload, earlier=tuple(one.seq for one in readings[:-1]))

    def close_batches(self) -> list[Reading]:
        """Return all messages with what there is by now, the one whose readings are the oldest first."""
        messages = [self.close_batch(address) for address in tuple(self._collected)]
        return sorted((one for one in messages if one is not None), key=lambda one: one.seqs[0])

    def seqs(self, boot: int) -> list[int]:
        """Return the numbers of the readings of a boot that wait for others."""
        return sorted(one.seq for _, readings in self._collected.values() for one in readings if one.boot == boot)
