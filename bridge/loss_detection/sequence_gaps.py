"""Finds gaps in the numbers that devices give their messages.

A device counts its messages from boot to boot, over all its topics. A number that is left out may still come: sent
again, or by another path of the broker; only after a grace is it missing, and if it comes then, it is found. What is
late or comes twice is no gap, also of an earlier boot; of a boot whose beginning we have not seen nothing is known.
Devices of other formats have their numbers elsewhere, or none: who reads their messages tells what is in them.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from bridge.config import BridgeConfig
from bridge.loss_detection.reading_intervals import IntervalGapDetector
from bridge.loss_detection.report import LossReport
from bridge.message.config import NATIVE_FORMAT
from bridge.message.decoders import NATIVE, MessageDecoder
from bridge.spool.message import SpooledMessage
from edgewire import logs
from edgewire.clock import Clock
from edgewire.mqtt.filters import filter_matches

_REPORT_EVERY_S = 1.0

MAX_DEVICES = 100_000

MAX_TOPICS = 300_000

MAX_GAPS = 64
"""Gaps of one device that may still be filled; one beyond them, the oldest, is missing when its time has come."""

MAX_NAMED = 100
"""Gaps that one report names; of those beyond them it has the number."""

log = logs.get("sequences")


class SequenceMonitor:
    """Feeds a `GapDetector` with what was committed, about a microsecond a message, and reports what it finds."""

    def __init__(self, config: BridgeConfig, losses: LossReport, clock: Clock) -> None:
        self._losses = losses
        self._clock = clock
        self._detector: GapDetector | None = None
        self._intervals = IntervalGapDetector()
        self._foreign: tuple[str, ...] = ()
        self._is_foreign: dict[str, bool] = {}
        self._chosen: tuple[tuple[str, ...], float] | None = None
        self.configure(config)

    @property
    def enabled(self) -> bool:
        """Say whether gaps are looked for."""
        return self._detector is not None

    def configure(self, config: BridgeConfig) -> None:
        """Begin anew where the subscriptions or the settings differ: what is seen then is another selection."""
        if config.watch.sequences and config.shared:
            log.info("of a shared subscription a member gets a part: gaps in the numbers of devices are not looked for")
        wanted = config.watch.sequences and not config.shared
        grace_s = config.watch.grace / 1000
        chosen = (config.filters, grace_s) if wanted else None
        if chosen is None:
            self._detector = None
        elif self._detector is None or self._chosen != chosen:
            self._detector = GapDetector(grace_s)
            self._intervals = IntervalGapDetector()
        self._chosen = chosen
        self._foreign = tuple(one.plain_filter for one in config.formats if one.format != NATIVE_FORMAT)
        self._is_foreign.clear()

    def observe_messages(self, messages: list[SpooledMessage]) -> None:
        """Look at newly committed messages."""
        if self._detector:
            now = self._clock.monotonic()
            observe = self._detector.observe
            for message in messages:
                if not (self._foreign and self._is_other_format(message.topic)):
                    observe(message.topic, message.payload, now)

    def observe_number(self, device: str, boot: int, seq: int) -> None:
        """Look at the number that a device of another format gives a message; each message once, in order."""
        if self._detector:
            self._detector.observe_number(device, boot, seq, self._clock.monotonic())

    def observe_reading(self, device: str, at_ms: int) -> None:
        """Look at the time that a device of another format gives a reading; each once, in order."""
        if self._detector:
            self._intervals.observe_reading(device, at_ms)

    def _is_other_format(self, topic: str) -> bool:
        """Return whether what a payload says there is known only to who reads its format."""
        known = self._is_foreign.get(topic)
        if known is None:
            if len(self._is_foreign) >= MAX_TOPICS:
                self._is_foreign.clear()
            known = self._is_foreign[topic] = any(filter_matches(one, topic) for one in self._foreign)
        return known

    async def watch_sequences(self) -> None:
        """Report for ever."""
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            self.report_gaps()

    def report_gaps(self) -> None:
        """Report what has become known."""
        report = self._detector.take_report(self._clock.monotonic()) if self._detector else None
        if report and report.missing:
            self._losses.record_missing(report.missing, report.devices, report.gaps, report.unnamed)
        if report and report.found:
            self._losses.record_found_late(report.found)
        if missed := self._intervals.take_missed():
            self._losses.record_missing(missed.missing, missed.devices, missed.gaps, missed.unnamed)


class GapReport(NamedTuple):
    """Tells what has become known since the last one."""

    missing: int
    devices: int
    gaps: Sequence[str]
    """`DEVICE boot BOOT seq FIRST-LAST` each, at most `MAX_NAMED`."""
    unnamed: int
    """Gaps beyond them."""
    found: int
    """Messages of an earlier report that have come after all."""


class _Gap:
    """An inclusive range of numbers that were left out."""

    __slots__ = ("boot", "due", "first", "last", "reported")

    def __init__(self, boot: int, first: int, last: int, due: float, *, reported: bool = False) -> None:
        self.boot, self.first, self.last, self.due, self.reported = boot, first, last, due, reported


class _DeviceSequence:
    """Holds the numbers of one device.

    `expected` is how the next message says its number, if it says it as our devices do: to look for that is quickest.
    """

    __slots__ = ("boot", "expected", "gaps", "name", "next", "prefix")

    def __init__(self, name: str) -> None:
        self.name = name
        self.boot = -1
        self.next = 0
        self.gaps: list[_Gap] | None = None
        self.prefix = self.expected = b"\0"


class GapDetector:
    """Finds gaps: `observe` every message once, in order; `take_report` now and then. Pure; the time is given."""

    def __init__(self, grace_s: float, decoder: MessageDecoder = NATIVE) -> None:
        self.grace_s = grace_s
        self.devices: dict[str, _DeviceSequence] = {}
        """By what `MessageDecoder.sequence_of` says."""
        self._decoder = decoder
        self._by_topic: dict[str, _DeviceSequence] = {}
        self._waiting: deque[tuple[float, _DeviceSequence, _Gap]] = deque()
        self._found = 0

    def observe(self, topic: str, payload: bytes, now: float) -> None:
        """Look at a message; one that has no number is none of ours."""
        device = self._by_topic.get(topic)
        if device is not None and device.expected in payload:
            device.next += 1
            device.expected = b"%b%d," % (device.prefix, device.next)
            return
        numbers = self._decoder.find_sequence(payload)
        if numbers is None:
            return
        device = device or self._cache_topic(topic)
        boot, seq = numbers
        self._take_number(device, boot, seq, now)
        device.prefix = self._decoder.sequence_prefix(device.boot)
        device.expected = b"%b%d," % (device.prefix, device.next)

    def observe_number(self, name: str, boot: int, seq: int, now: float) -> None:
        """Look at a message whose numbers were read elsewhere."""
        device = self._by_topic.get(f" {name}")
        if device is None:
            self._make_room()
            # No topic has a space at its beginning, and no device of ours such a key.
            device = self._by_topic[f" {name}"] = self.devices[f" {name}"] = _DeviceSequence(name)
        self._take_number(device, boot, seq, now)

    def _take_number(self, device: _DeviceSequence, boot: int, seq: int, now: float) -> None:
        if boot == device.boot and seq == device.next:
            device.next = seq + 1
        else:
            self._handle_gap(device, boot, seq, now)

    def take_report(self, now: float) -> GapReport | None:
        """Return the gaps that have not been filled in time; None where there is nothing to say."""
        missing, unnamed = 0, 0
        devices: set[str] = set()
        gaps: list[str] = []
        while self._waiting and self._waiting[0][0] <= now:
            _, device, gap = self._waiting.popleft()
            if gap.first > gap.last:
                continue  # filled
            gap.reported = True
            missing += gap.last - gap.first + 1
            devices.add(device.name)
            if len(gaps) < MAX_NAMED:
                gaps.append(f"{device.name} boot {gap.boot} seq {gap.first}-{gap.last}")
            else:
                unnamed += 1
        found, self._found = self._found, 0
        return GapReport(missing, len(devices), gaps, unnamed, found) if missing or found else None

    def _make_room(self) -> None:
        if len(self._by_topic) >= MAX_TOPICS or len(self.devices) >= MAX_DEVICES:
            # More than we watch: begin anew. Gaps that wait are forgotten, and none is made up.
            self._by_topic.clear()
            self.devices.clear()
            self._waiting.clear()

    def _cache_topic(self, topic: str) -> _DeviceSequence:
        self._make_room()
        key, name = self._decoder.sequence_of(topic)
        device = self.devices.get(key)
        if device is None:
            device = self.devices[key] = _DeviceSequence(name)
        self._by_topic[topic] = device
        return device

    def _handle_gap(self, device: _DeviceSequence, boot: int, seq: int, now: float) -> None:
        """Take in a number that was not expected."""
        if boot > device.boot:
            # What the boot began with is not known, and what the one before ended with neither.
            device.boot, device.next = boot, seq + 1
        elif boot == device.boot and seq > device.next:
            gap = _Gap(boot, device.next, seq - 1, now + self.grace_s)
            device.next = seq + 1
            device.gaps = device.gaps or []
            if len(device.gaps) >= MAX_GAPS:
                device.gaps.pop(0)
            device.gaps.append(gap)
            self._waiting.append((gap.due, device, gap))
        elif device.gaps:
            self._fill(device, boot, seq)

    def _fill(self, device: _DeviceSequence, boot: int, seq: int) -> None:
        """Take a number that was left out and has come out of its gap."""
        gaps = device.gaps or []
        for position, gap in enumerate(gaps):
            if gap.boot != boot or not gap.first <= seq <= gap.last:
                continue
            self._found += gap.reported
            if seq == gap.first:
                gap.first += 1
            elif seq == gap.last:
                gap.last -= 1
            else:
                rest = _Gap(boot, seq + 1, gap.last, gap.due, reported=gap.reported)
                gap.last = seq - 1
                gaps.insert(position + 1, rest)
                if not rest.reported:
                    # In front, so it may hold up others by a grace at most.
                    self._waiting.appendleft((gap.due, device, rest))
            if gap.first > gap.last:
                gaps.remove(gap)
            return
