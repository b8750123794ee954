"""Decides as the firmware of one device: what it does with a reading, a connection, and the loss of one.

Pure state: the caller brings events and does what is returned. Readings keep their order: while older ones wait in
the outbox, a new one goes behind them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devices.firmware.batches import BatchRule, ReadingBatches
from devices.firmware.commands import ResponseCache
from devices.firmware.config import Build
from devices.firmware.outbox import NO_SEQ, FlushLimit, Outbox, Reading, ReadingsToken, SeqRanges
from devices.firmware.reconnect import Comeback, ConnectionEnd, ReconnectState
from devices.firmware.vitals import battery_pct, battery_v, rssi_dbm
from edgewire.clock import iso_ms

COMMANDS_PER_S = 20
"""A device heeds no more commands in a second: what is beyond that is a flood, and no operator."""


@dataclass(slots=True)
class _UndeliveredReadings:
    """Holds which readings of a boot did not reach the broker, or may not have: of most devices there are none."""

    refused: dict[str, SeqRanges] = field(default_factory=dict)
    dropped: SeqRanges = field(default_factory=SeqRanges)
    dropped_by_fault: int = 0
    uncertain: SeqRanges = field(default_factory=SeqRanges)
    uncertain_by_fault: int = 0


_ALL_DELIVERED = _UndeliveredReadings()
"""What all boots have in common of which nothing is known to be lost. Nothing is ever put into it."""


class BootCounters:
    """Counts what one boot of a device emitted, and what became of it.

    Readings are numbered from the first to the last without a gap; each is acknowledged, sent at QoS 0, refused,
    dropped, uncertain or still in the outbox.
    """

    __slots__ = ("_undelivered", "acknowledged", "boot", "first_seq", "last_seq", "sent_qos0")

    def __init__(self, boot: int) -> None:
        self.boot = boot
        self.first_seq: int | None = None
        self.last_seq: int | None = None
        self.acknowledged = 0
        self.sent_qos0 = 0
        """Handed to the connection at QoS 0: nobody says whether they arrived."""
        self._undelivered = _ALL_DELIVERED

    def count_reading(self, seq: int) -> None:
        """Count a reading that was taken."""
        if self.first_seq is None:
            self.first_seq = seq
        self.last_seq = seq

    @property
    def refused(self) -> Mapping[str, SeqRanges]:
        """Return the readings that the broker will never take, by the reason; to be read, as the next are."""
        return self._undelivered.refused

    @property
    def dropped(self) -> SeqRanges:
        """Return the readings that the device gave up."""
        return self._undelivered.dropped

    @property
    def dropped_by_fault(self) -> int:
        """Return how many of those dropped were by a fault or a reset, and not by a full outbox."""
        return self._undelivered.dropped_by_fault

    @property
    def has_dropped(self) -> bool:
        """Return whether the device gave up any: of most devices there are none."""
        return self._undelivered is not _ALL_DELIVERED and len(self._undelivered.dropped) > 0

    @property
    def uncertain(self) -> SeqRanges:
        """Return what was sent and never acknowledged before a reset or the end: who knows what arrived."""
        return self._undelivered.uncertain

    @property
    def uncertain_by_fault(self) -> int:
        """Return how many of those were before a reset."""
        return self._undelivered.uncertain_by_fault

    def add_refused(self, seq: int, reason: str) -> None:
        """Count a reading that the broker will never take."""
        self._own_undelivered().refused.setdefault(reason, SeqRanges()).add(seq)

    def add_dropped(self, seq: int, *, by_fault: bool = False) -> None:
        """Count a reading that the device gave up."""
        undelivered = self._own_undelivered()
        undelivered.dropped.add(seq)
        undelivered.dropped_by_fault += by_fault

    def add_uncertain(self, seq: int, *, by_fault: bool = False) -> None:
        """Count a reading of which nobody will say whether it arrived."""
        undelivered = self._own_undelivered()
        undelivered.uncertain.add(seq)
        undelivered.uncertain_by_fault += by_fault

    def _own_undelivered(self) -> _UndeliveredReadings:
        if self._undelivered is _ALL_DELIVERED:
            self._undelivered = _UndeliveredReadings()
        return self._undelivered

    @property
    def emitted(self) -> int:
        """Return the number of readings that were taken."""
        if self.first_seq is None or self.last_seq is None:
            return 0
        return self.last_seq - self.first_seq + 1


class _SeldomState:
    """Holds what few devices have, or none for long; one for all that have nothing of it takes 40 bytes less each."""

    __slots__ = ("batches", "command_limit", "flush_limit", "past", "reconnect", "responses")

    def __init__(self) -> None:
        self.reconnect: ReconnectState | None = None
        self.past: tuple[BootCounters, ...] = ()
        """Those of earlier boots that took readings."""
        self.flush_limit: FlushLimit | None = None
        self.command_limit: FlushLimit | None = None
        self.responses: ResponseCache | None = None
        self.batches: ReadingBatches | None = None
        """Only of devices whose messages say several readings."""


_NOTHING_SELDOM = _SeldomState()
"""Nothing is ever put into it."""


class Firmware:
    """Holds the state of a device. What outlives a reset is as in flash: version, interval, responses, maybe outbox.

    `window` is how many more messages the connection takes right now; 0 also stands for being offline.
    """

    __slots__ = (
        "_seldom",
        "boot",
        "booted_ms",
        "build",
        "counters",
        "device_id",
        "is_introduced",
        "is_synced",
        "key",
        "outbox",
        "reset_reason",
        "sent",
        "status_due_ms",
        "version",
    )  # fmt: skip

    def __init__(
        self, device_id: str, key: int, boot: int, booted_ms: int, build: Build, reset_reason: str = "power_on"
    ) -> None:
        self.device_id = device_id
        self.key = key
        self.build = build
        self.boot = boot
        self.booted_ms = booted_ms
        self.reset_reason = reset_reason
        self.version = build.firmware.version
        self.outbox = Outbox(build.outbox)
        self.counters = BootCounters(boot)
        self.sent = 0
        self.is_synced = not build.firmware.first_sync
        self.is_introduced = False
        """Whether it has said since it booted that it is there."""
        self.status_due_ms = 0
        """When the status of a device that stays connected is to be said again."""
        self._seldom = _NOTHING_SELDOM

    # -- readings

    def on_reading(self, reading: Reading, window: int) -> bool:
        """Count a reading, and return whether to publish it at once; otherwise it is in the outbox."""
        if reading.seq != NO_SEQ:
            self.counters.count_reading(reading.seq)
        return self.on_message(reading, window)

    def on_message(self, message: Reading, window: int) -> bool:
        """Return whether to publish a message at once, whose readings are counted; otherwise it is in the outbox."""
        if window > 0 and not self.outbox:
            self.sent += 1
            return True
        self._drop(self.outbox.push(message))
        return False

    def collect_reading(self, reading: Reading, rule: BatchRule) -> Reading | None:
        """Count a reading that leaves with others; return their message where it is the last of them."""
        self.counters.count_reading(reading.seq)
        seldom = self._own_seldom()
        if seldom.batches is None:
            seldom.batches = ReadingBatches()
        return seldom.batches.add_reading(reading, rule)

    def close_batch(self, address: int) -> Reading | None:
        """Return the message of the readings that wait for others at an address; None where there are none."""
        batches = self._seldom.batches
        return None if batches is None else batches.close_batch(address)

    def close_batches(self) -> list[Reading]:
        """Return the messages of all readings that wait for others."""
        batches = self._seldom.batches
        return [] if batches is None else batches.close_batches()

    @property
    def collecting(self) -> int:
        """Return how many readings wait for others to leave with."""
        batches = self._seldom.batches
        return len(batches) if batches is not None else 0

    def waiting_seqs(self, boot: int) -> SeqRanges:
        """Return the numbers of the readings of a boot that are in the outbox, or wait for others to leave with."""
        waiting = self.outbox.seqs(boot)
        batches = self._seldom.batches
        for seq in batches.seqs(boot) if batches else ():
            waiting.add(seq)
        return waiting

    def on_lost_reading(self, seq: int) -> None:
        """Count a reading that a fault lost inside the device: it has its number, and counts as dropped."""
        self.counters.count_reading(seq)
        self.counters.add_dropped(seq, by_fault=True)

    def pop_publishable(self, window: int, now_s: float) -> list[Reading]:
        """Take the readings out of the outbox that are to be published now, oldest first."""
        window = min(window, len(self.outbox))
        limit = self.build.outbox.flush_per_second
        if limit is not None:
            seldom = self._own_seldom()
            if seldom.flush_limit is None:
                seldom.flush_limit = FlushLimit(limit, now_s)
            window = seldom.flush_limit.allow(window, now_s)
        now = [self.outbox.pop() for _ in range(window)]
        self.sent += len(now)
        if limit is not None and not self.outbox:
            self._own_seldom().flush_limit = None
        return now

    def on_refused(self, seqs: Iterable[int], boot: int, reason: str) -> None:
        """Count the readings of a message that the broker will never take, as it is too large or not allowed."""
        if boot == self.boot:
            self.sent -= 1
        for seq in seqs:
            if seq != NO_SEQ:
                self.counters_of(boot).add_refused(seq, reason)

    def on_sent_qos0(self, boot: int, count: int = 1) -> None:
        """Count readings that were handed to the connection, and that nobody will acknowledge."""
        counters = self.counters if boot == self.boot else self.counters_of(boot)
        counters.sent_qos0 += count

    def on_acknowledged(self, boot: int, count: int) -> None:
        """Count so many readings of a boot for which the broker took responsibility."""
        counters = self.counters if boot == self.boot else self.counters_of(boot)
        counters.acknowledged += count

    # -- the connection

    def on_connection_lost(self, end: ConnectionEnd, uniform: float) -> Comeback:
        """Return when to come back after a connection was lost or not made, for a draw in [0, 1)."""
        seldom = self._own_seldom()
        if seldom.reconnect is None:
            seldom.reconnect = ReconnectState()
        return seldom.reconnect.plan_comeback(self.build.reconnect, end, uniform)

    def on_accepted_again(self, *, was_alone: bool) -> int:
        """Return the takeovers that show as the broker accepts the device after a loss, if that `was_alone`."""
        reconnect = self._seldom.reconnect
        return 0 if reconnect is None else reconnect.on_accepted_again(was_alone=was_alone)

    def on_connection_proved(self) -> None:
        """Begin again with a short wait after the next loss: all that was to be said has been acknowledged."""
        self._forget_reconnections()

    def _forget_reconnections(self) -> None:
        if self._seldom.reconnect is not None:
            self._seldom.reconnect = None

    def _own_seldom(self) -> _SeldomState:
        if self._seldom is _NOTHING_SELDOM:
            self._seldom = _SeldomState()
        return self._seldom

    def allows_command(self, now_s: float) -> bool:
        """Return whether to heed one more command: who floods a device is not answered at any rate."""
        seldom = self._own_seldom()
        if seldom.command_limit is None:
            seldom.command_limit = FlushLimit(COMMANDS_PER_S, now_s - 1)
        return seldom.command_limit.allow(1, now_s) > 0

    def wants_to_wake(self) -> bool:
        """Return whether a sleeping device has enough to say."""
        sleep = self.build.firmware.sleep
        if sleep is None or len(self.outbox) >= self.build.outbox.max_messages:
            return True
        return self.outbox.readings >= sleep.readings

    # -- resets

    def on_reset(
        self, boot: int, at_ms: int, reason: str, uncertain: Iterable[object] = (), version: str | None = None
    ) -> None:
        """Start anew at `at_ms`; what waited in RAM is lost, and counts as dropped.

        `uncertain` are the tokens of what was sent and not acknowledged: the new boot knows nothing of it.
        """
        self.on_uncertain(uncertain, by_fault=True)
        collected = self.close_batches()
        if self.build.outbox.storage == "ram":
            self._drop([*self.outbox.clear(), *collected], by_fault=True)
        else:
            for message in collected:
                self._drop(self.outbox.push(message))
        self.begin_boot(boot, at_ms, reason, version)

    def begin_boot(self, boot: int, at_ms: int, reason: str, version: str | None = None) -> None:
        """Count a boot that begins at `at_ms`; what waits in the outbox stays there."""
        if self.counters.first_seq is not None:
            seldom = self._own_seldom()
            seldom.past = (*seldom.past, self.counters)
        self.boot, self.booted_ms, self.reset_reason = boot, at_ms, reason
        self.version = version or self.version
        self.counters = BootCounters(boot)
        self.sent = 0
        self._forget_reconnections()
        if self._seldom.flush_limit is not None:
            self._seldom.flush_limit = None
        self.is_introduced = False
        self.is_synced = not self.build.firmware.first_sync

    # -- counting

    def on_uncertain(self, tokens: Iterable[object], *, by_fault: bool = False) -> None:
        """Count readings that will not be acknowledged any more: they may have arrived or not.

        Where a reset is to blame (`by_fault`), it is for those of the boot that it ends.
        """
        for token in tokens:
            match token:
                case int(seq) if seq != NO_SEQ:
                    self.counters.add_uncertain(seq, by_fault=by_fault)
                case (int(boot), int(seq)) if seq != NO_SEQ:
                    self.counters_of(boot).add_uncertain(seq, by_fault=by_fault and boot == self.boot)
                case ReadingsToken(boot, seqs):
                    for seq in seqs:
                        self.counters_of(boot).add_uncertain(seq, by_fault=by_fault and boot == self.boot)
                case _:
                    pass

    @property
    def emitted(self) -> int:
        """Return the number of readings that were taken, of all boots."""
        return sum(counters.emitted for counters in self.all_counters())

    def all_counters(self) -> Iterable[BootCounters]:
        """Return the counters of each boot, the oldest first."""
        past = self._seldom.past
        return (*past, self.counters) if past else (self.counters,)

    def counters_of(self, boot: int) -> BootCounters:
        """Return those of one boot that took readings."""
        return next(counters for counters in self.all_counters() if counters.boot == boot)

    def on_dropped(self, reading: Reading, *, by_fault: bool = False) -> None:
        """Count a reading that the outbox gave up."""
        if reading.seq != NO_SEQ:
            counters = self.counters_of(reading.boot)
            for seq in reading.seqs:
                counters.add_dropped(seq, by_fault=by_fault)

    def _drop(self, readings: Iterable[Reading], *, by_fault: bool = False) -> None:
        for reading in readings:
            self.on_dropped(reading, by_fault=by_fault)

    # -- what it says

    @property
    def responses(self) -> ResponseCache:
        """Return what was answered to the last commands."""
        seldom = self._own_seldom()
        if seldom.responses is None:
            seldom.responses = ResponseCache()
        return seldom.responses

    def timestamp(self, now_ms: int) -> str | None:
        """Return the time as the device knows it, in ISO 8601: None before the first NTP answer."""
        return iso_ms(now_ms) if self.is_synced else None

    def schedule_status(self, now_ms: int) -> None:
        """Set when the status is said again: at a moment of each interval that is the device's own, not too soon."""
        interval_ms = self.build.firmware.status_interval
        if interval_ms is not None:
            soonest_ms = now_ms + interval_ms // 2
            self.status_due_ms = soonest_ms + interval_ms - (soonest_ms + self.key) % interval_ms

    def is_status_due(self, now_ms: int) -> bool:
        """Return whether the status is to be said again: one that sleeps says it whenever it wakes."""
        config = self.build.firmware
        return config.status_interval is not None and config.sleep is None and now_ms >= self.status_due_ms

    def status(self, state: str, now_ms: int | None) -> dict[str, Any]:
        """Return the fields of `edgewire.messages.Status`; `now_ms` is None in a will, which is written in advance."""
        status: dict[str, Any] = {
            "state": state,
            "device_id": self.device_id,
            "boot": self.boot,
            "firmware": self.version,
            "origin": "emulated",
            "timestamp": None if now_ms is None else self.timestamp(now_ms),
            "sent": self.sent,
            "buffered": len(self.outbox),
            "dropped": len(self.counters.dropped),
            "reset_reason": self.reset_reason,
        }
        if self.build.run_id:
            status["run_id"] = self.build.run_id
        if now_ms is not None:
            status |= self.vitals(now_ms)
        return status

    def result(
        self, command_id: str, error: str | None, now_ms: int, data: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the fields of `edgewire.messages.Result`."""
        result: dict[str, Any] = {
            "id": command_id,
            "device_id": self.device_id,
            "boot": self.boot,
            "ok": error is None,
            "error": error,
            "timestamp": self.timestamp(now_ms),
        }
        return result if data is None else result | {"data": data}

    def vitals(self, now_ms: int) -> dict[str, Any]:
        config = self.build.firmware
        vitals: dict[str, Any] = {"uptime_s": max(0, now_ms - self.booted_ms) / 1000}
        if config.rssi is not None:
            vitals["rssi_dbm"] = rssi_dbm(config.rssi, self.key, now_ms)
        if config.battery_life is not None:
            # Each device got its battery at a time of its own.
            vitals["battery_pct"] = battery_pct(now_ms + self.key % config.battery_life, config.battery_life)
            vitals["battery_v"] = battery_v(vitals["battery_pct"])
        return vitals
