"""The firmware of a device with several parts: one outbox, one boot and one state, and for each part its own numbers.

Each part counts its messages as a device of its own would; what waits is in the order in which it was measured,
whichever part it is of.
"""

from collections.abc import Sequence
from typing import Any

from devices.firmware.config import Build, OutboxConfig
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Outbox, Reading, SeqRanges


class HostOutbox(Outbox):
    """Keeps what waits of all parts of a device, and knows how much of each that is."""

    __slots__ = ("_counts",)

    def __init__(self, config: OutboxConfig) -> None:
        super().__init__(config)
        self._counts: dict[int, int] = {}

    def count_of(self, part: int) -> int:
        """Return how many readings of a part wait."""
        return self._counts.get(part, 0)

    def push(self, reading: Reading) -> Sequence[Reading]:
        """Keep a reading of any part; returns what is dropped for it, of any part, or itself."""
        self._counts[reading.part] = self.count_of(reading.part) + 1
        dropped = super().push(reading)
        if dropped and dropped[-1] is reading:
            self._counts[reading.part] -= 1
        return dropped

    def pop(self) -> Reading:
        """Take the oldest reading; raises `IndexError` when there is none."""
        reading = super().pop()
        self._counts[reading.part] -= 1
        return reading

    def clear(self) -> Sequence[Reading]:
        """Take everything at once, the oldest first."""
        self._counts.clear()
        return super().clear()

    def take_of(self, part: int) -> Sequence[Reading]:
        """Take everything of one part, the oldest first."""
        waiting = self.clear()
        for reading in waiting:
            if reading.part != part:
                self.push(reading)
        return [reading for reading in waiting if reading.part == part]


class PartOutbox(Outbox):
    """Is the outbox of a device as one of its parts sees it: there are its own readings alone."""

    __slots__ = ("_host", "_part")

    def __init__(self, host: "HostFirmware", part: int) -> None:
        super().__init__(host.build.outbox)
        self._host = host
        self._part = part

    def __len__(self) -> int:
        return self._host.host_outbox.count_of(self._part)

    def seqs(self, boot: int, part: int = 0) -> SeqRanges:
        """Return the seqs of one boot that still wait: those of this part, whichever is asked for."""
        return self._host.host_outbox.seqs(boot, self._part)

    def push(self, reading: Reading) -> Sequence[Reading]:
        """Keep a reading; returns what is dropped for it of this part. What is of another is counted there."""
        mine = []
        for dropped in self._host.host_outbox.push(reading._replace(part=self._part)):
            if dropped.part == self._part:
                mine.append(dropped)
            else:
                self._host.parts[dropped.part].on_dropped(dropped)
        return mine

    def clear(self) -> Sequence[Reading]:
        """Take everything of this part at once, the oldest first."""
        return self._host.host_outbox.take_of(self._part)


class HostFirmware(Firmware):
    """Holds the state of a device with several parts: it boots, connects and keeps what waits for all of them."""

    __slots__ = ("host_outbox", "parts")

    def __init__(
        self, device_id: str, key: int, boot: int, booted_ms: int, build: Build, reset_reason: str = "power_on"
    ) -> None:
        super().__init__(device_id, key, boot, booted_ms, build, reset_reason)
        self.host_outbox = HostOutbox(build.outbox)
        """The same as `outbox`."""
        self.outbox = self.host_outbox
        self.parts: list[Firmware] = []
        """Of its parts, in their order: each counts its own messages."""

    def add_part(self, part: Firmware) -> None:
        """Have one more part, whose readings wait here."""
        part.outbox = PartOutbox(self, len(self.parts))
        self.parts.append(part)

    def pop_publishable(self, window: int, now_s: float) -> list[Reading]:
        """Take the readings out of the outbox that are to be published now, oldest first."""
        now = super().pop_publishable(window, now_s)
        for reading in now:
            self.parts[reading.part].sent += 1
        return now

    def status(self, state: str, now_ms: int | None) -> dict[str, Any]:
        """Return the fields of `edgewire.messages.Status`, with what all parts have dropped."""
        dropped = sum(len(part.counters.dropped) for part in self.parts)
        sent = sum(part.sent for part in self.parts)
        return super().status(state, now_ms) | {"sent": sent, "dropped": dropped}
