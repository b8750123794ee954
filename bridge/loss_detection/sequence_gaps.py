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


class GapDetector:
    """Finds gaps: `observe` every message once, in order; `take_report` now and then. Pure; the time is given.

    A device is a number, its place in lists: texts and integers alone, at which the garbage collector does not look.
    """

    def __init__(self, grace_s: float, decoder: MessageDecoder = NATIVE) -> None:
        self.grace_s = grace_s
        self._decoder = decoder
        self._by_key: dict[str, int] = {}  # the devices, by what `MessageDecoder.sequence_of` says
        self._by_topic: dict[str, int] = {}
        self._names: list[str] = []
        self._boots: list[int] = []
        self._nexts: list[int] = []
        self._gaps: dict[int, list[_Gap]] = {}  # of the devices that have some
        self._waiting: deque[tuple[float, int, _Gap]] = deque()
        self._found = 0

    @property
    def devices(self) -> int:
        """Return how many devices are known."""
        return len(self._names)

    @property
    def most_gaps(self) -> int:
        """Return how many gaps the device with the most has that may still be filled."""
        return max(map(len, self._gaps.values()), default=0)

    def observe(self, topic: str, payload: bytes, now: float) -> None:
        """Look at a message; one that has no number is none of ours."""
        device = self._by_topic.get(topic)
        # To look for the next number as our devices write it is quickest.
        if device is not None and self._decoder.expected(self._boots[device], self._nexts[device]) in payload:
            self._nexts[device] += 1
            return
        numbers = self._decoder.find_sequence(payload)
        if numbers is None:
            return
        if device is None:
            device = self._cache_topic(topic)
        self._take_number(device, *numbers, now)

    def observe_number(self, name: str, boot: int, seq: int, now: float) -> None:
        """Look at a message whose numbers were read elsewhere."""
        device = self._by_topic.get(f" {name}")
        if device is None:
            self._make_room()
            # No topic has a space at its beginning, and no device of ours such a key.
            device = self._by_topic[f" {name}"] = self._add_device(f" {name}", name)
        self._take_number(device, boot, seq, now)

    def _take_number(self, device: int, boot: int, seq: int, now: float) -> None:
        if boot == self._boots[device] and seq == self._nexts[device]:
            self._nexts[device] = seq + 1
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
            name = self._names[device]
            devices.add(name)
            if len(gaps) < MAX_NAMED:
                gaps.append(f"{name} boot {gap.boot} seq {gap.first}-{gap.last}")
            else:
                unnamed += 1
        found, self._found = self._found, 0
        return GapReport(missing, len(devices), gaps, unnamed, found) if missing or found else None

    def _make_room(self) -> None:
        if len(self._by_topic) >= MAX_TOPICS or len(self._names) >= MAX_DEVICES:
            # More than we watch: begin anew. Gaps that wait are forgotten, and none is made up.
            for kept in (self._by_key, self._by_topic, self._names, self._boots, self._nexts):
                kept.clear()
            self._gaps.clear()
            self._waiting.clear()

    def _cache_topic(self, topic: str) -> int:
        self._make_room()
        key, name = self._decoder.sequence_of(topic)
        device = self._by_key.get(key)
        if device is None:
            device = self._add_device(key, name)
        self._by_topic[topic] = device
        return device

    def _add_device(self, key: str, name: str) -> int:
        device = self._by_key[key] = len(self._names)
        self._names.append(name)
        self._boots.append(-1)
        self._nexts.append(0)
        return device

    def _handle_gap(self, device: int, boot: int, seq: int, now: float) -> None:
        """Take in a number that was not expected."""
        known, expected = self._boots[device], self._nexts[device]
        if boot > known:
            # What the boot began with is not known, and what the one before ended with neither.
            self._boots[device], self._nexts[device] = boot, seq + 1
        elif boot == known and seq > expected:
            gap = _Gap(boot, expected, seq - 1, now + self.grace_s)
            self._nexts[device] = seq + 1
            gaps = self._gaps.setdefault(device, [])
            if len(gaps) >= MAX_GAPS:
                gaps.pop(0)
            gaps.append(gap)
            self._waiting.append((gap.due, device, gap))
        elif device in self._gaps:
            self._fill(device, boot, seq)

    def _fill(self, device: int, boot: int, seq: int) -> None:
        """Take a number that was left out and has come out of its gap."""
        gaps = self._gaps[device]
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
            if not gaps:
                del self._gaps[device]
            return
