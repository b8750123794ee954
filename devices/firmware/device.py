"""The firmware of one device: what it does with a reading, a connection, and the loss of one.

Pure state: the caller brings events and does what is returned. Readings keep their order: while older ones wait in
the outbox, a new one goes behind them.
"""

import orjson

from devices.firmware.outbox import Outbox, OutboxConfig, Reading
from edgewire.backoff import Backoff
from edgewire.clock import iso_ms

FIRMWARE_VERSION = "1.0.0"


class Firmware:
    """State of one device since its last power-on.

    `room` is how many more messages the connection takes right now; 0 also stands for being offline.
    """

    __slots__ = ("_backoff", "_failures", "boot", "device_id", "first_seq", "last_seq", "outbox", "sent")

    def __init__(self, device_id: str, boot: int, outbox: OutboxConfig, backoff: Backoff) -> None:
        self.device_id = device_id
        self.boot = boot
        self.outbox = Outbox(outbox)
        self.sent = 0
        self.first_seq: int | None = None
        self.last_seq: int | None = None
        self._backoff = backoff
        self._failures = 0

    @property
    def emitted(self) -> int:
        """How many readings were taken since power-on."""
        if self.first_seq is None or self.last_seq is None:
            return 0
        return self.last_seq - self.first_seq + 1

    def on_reading(self, reading: Reading, room: int) -> bool:
        """A reading was taken: whether to publish it at once; otherwise it is in the outbox."""
        self._count(reading.seq)
        if room > 0 and not self.outbox:
            self.sent += 1
            return True
        self.outbox.push(reading)
        return False

    def on_lost_reading(self, seq: int) -> None:
        """A reading was taken and lost inside the device, by a fault: it has its number, and counts as dropped."""
        self._count(seq)
        self.outbox.dropped.add(seq)

    def on_room(self, room: int) -> list[Reading]:
        """The connection takes more: the readings to publish now, oldest first."""
        now = [self.outbox.pop() for _ in range(min(room, len(self.outbox)))]
        self.sent += len(now)
        return now

    def on_refused(self, seq: int) -> None:
        """The broker will not take this reading, ever (too large, not allowed): it counts as dropped."""
        self.sent -= 1
        self.outbox.dropped.add(seq)

    def on_connected(self) -> None:
        """The broker accepted the device: the next loss starts again with a short wait."""
        self._failures = 0

    def on_lost(self, uniform: float) -> float:
        """The connection is lost or was not made: seconds to wait before dialling, for a draw in [0, 1)."""
        delay = self._backoff.delay(self._failures, uniform)
        self._failures += 1
        return delay

    def _count(self, seq: int) -> None:
        if self.first_seq is None:
            self.first_seq = seq
        self.last_seq = seq

    def status(self, state: str, now_ms: int | None) -> bytes:
        """The payload of the `status` channel; `now_ms` is None in a will, which is written in advance."""
        return orjson.dumps(
            {
                "state": state,
                "device_id": self.device_id,
                "boot": self.boot,
                "firmware": FIRMWARE_VERSION,
                "origin": "emulated",
                "timestamp": None if now_ms is None else iso_ms(now_ms),
                "sent": self.sent,
                "buffered": len(self.outbox),
                "dropped": len(self.outbox.dropped),
            }
        )
