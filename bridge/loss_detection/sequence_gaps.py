"""Finds gaps in the numbers that devices give their messages. Pure; the time is given.

A device counts its messages from boot to boot, over all its topics. A number that is left out may still come: sent
again, or by another path of the broker; only after a grace is it missing, and if it comes then, it is found. What is
late or comes twice is no gap, and of a boot whose beginning we have not seen nothing is known.


Feeds the finder of gaps with what was committed, and tells what it finds."""

import asyncio
import re
from collections import deque
from typing import NamedTuple

from bridge.config import BridgeConfig
from bridge.loss_detection.report import LossReport
from bridge.spool.message import SpooledMessage
from edgewire import logs
from edgewire.clock import Clock

_ID = re.compile(rb'"boot":\s?(\d{1,15}),\s?"seq":\s?(\d{1,15})[,}]')
"""As the message contract writes it. Looking for two numbers costs a fraction of parsing the whole payload."""


_DEVICES = 100_000


_TOPICS = 300_000


_RANGES = 64
"""Gaps watched at the same time, of one device."""


class GapReport(NamedTuple):
    """What has become known since the last one."""

    missing: int
    devices: int
    example: str
    """One of the gaps, `DEVICE boot BOOT seq FIRST-LAST`."""
    found: int
    """Messages of an earlier report that have come after all."""


class _Device:
    """The numbers of one device. `gaps` are inclusive ranges that were left out, with whether they were reported.

    `expected` is how the next message says its number, if it says it as our devices do: to look for that is quickest.
    """

    __slots__ = ("boot", "expected", "gaps", "name", "next", "prefix")

    def __init__(self, name: str) -> None:
        self.name = name
        self.boot = -1
        self.next = 0
        self.gaps: list[_Gap] | None = None
        self.prefix = self.expected = b"\0"


class _Gap:
    __slots__ = ("due", "first", "last", "reported")

    def __init__(self, first: int, last: int, due: float, *, reported: bool = False) -> None:
        self.first, self.last, self.due, self.reported = first, last, due, reported


class GapDetector:
    """`see` every message once, in order; `report` now and then."""

    def __init__(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self._devices: dict[str, _Device] = {}
        self._by_topic: dict[str, _Device] = {}
        self._waiting: deque[tuple[float, _Device, _Gap]] = deque()
        self._found = 0

    def see(self, topic: str, payload: bytes, now: float) -> None:
        """A message; one that does not follow the contract is none of ours."""
        device = self._by_topic.get(topic)
        if device is not None and device.expected in payload:
            device.next += 1
            device.expected = b"%b%d," % (device.prefix, device.next)
            return
        match = _ID.search(payload)
        if match is None:
            return
        device = device or self._learn(topic)
        boot, seq = int(match[1]), int(match[2])
        if boot == device.boot and seq == device.next:
            device.next = seq + 1
        else:
            self._surprise(device, boot, seq, now)
        device.prefix = b'"boot":%d,"seq":' % device.boot
        device.expected = b"%b%d," % (device.prefix, device.next)

    def report(self, now: float) -> GapReport | None:
        """The gaps that have not been filled in time; None where there is nothing to say."""
        missing, devices, example = 0, set(), ""
        while self._waiting and self._waiting[0][0] <= now:
            _, device, gap = self._waiting.popleft()
            if device.gaps is None or gap not in device.gaps:
                continue  # filled, or of an earlier boot and forgotten
            gap.reported = True
            missing += gap.last - gap.first + 1
            devices.add(device.name)
            example = example or f"{device.name} boot {device.boot} seq {gap.first}-{gap.last}"
        found, self._found = self._found, 0
        return GapReport(missing, len(devices), example, found) if missing or found else None

    def _learn(self, topic: str) -> _Device:
        """Which device a topic is of: by its fourth level, as in the contract."""
        if len(self._by_topic) >= _TOPICS or len(self._devices) >= _DEVICES:
            # More than we watch: begin anew. Gaps that wait are forgotten, and none is made up.
            self._by_topic.clear()
            self._devices.clear()
            self._waiting.clear()
        levels = topic.split("/")
        name = "/".join(levels[:4])
        device = self._devices.get(name)
        if device is None:
            device = self._devices[name] = _Device(levels[3] if len(levels) > 3 else topic)
        self._by_topic[topic] = device
        return device

    def _surprise(self, device: _Device, boot: int, seq: int, now: float) -> None:
        if boot > device.boot:
            # What the boot began with is not known, and what the one before ended with neither.
            device.boot, device.next, device.gaps = boot, seq + 1, None
        elif boot < device.boot:
            pass  # a late one of an earlier boot
        elif seq > device.next:
            gap = _Gap(device.next, seq - 1, now + self.grace_s)
            device.next = seq + 1
            device.gaps = device.gaps or []
            if len(device.gaps) >= _RANGES:
                device.gaps.pop(0)
            device.gaps.append(gap)
            self._waiting.append((gap.due, device, gap))
        elif device.gaps:
            self._fill(device, seq)

    def _fill(self, device: _Device, seq: int) -> None:
        """A number that was left out has come."""
        gaps = device.gaps or []
        for position, gap in enumerate(gaps):
            if not gap.first <= seq <= gap.last:
                continue
            self._found += gap.reported
            if seq == gap.first:
                gap.first += 1
            elif seq == gap.last:
                gap.last -= 1
            else:
                rest = _Gap(seq + 1, gap.last, gap.due, reported=gap.reported)
                gap.last = seq - 1
                gaps.insert(position + 1, rest)
                if not rest.reported:
                    # In front, so it may hold up others by a grace at most.
                    self._waiting.appendleft((gap.due, device, rest))
            if gap.first > gap.last:
                gaps.remove(gap)
            return


_REPORT_EVERY_S = 1.0


log = logs.get("sequences")


class SequenceMonitor:
    """`see` costs about a microsecond a message, and nothing when it is off."""

    def __init__(self, config: BridgeConfig, losses: LossReport, clock: Clock) -> None:
        self._losses = losses
        self._clock = clock
        self._sequences: GapDetector | None = None
        self._chosen: tuple[tuple[str, ...], float] | None = None
        self.configure(config)

    def configure(self, config: BridgeConfig) -> None:
        """Begin anew where the subscriptions or the settings differ: what is seen then is another selection."""
        if config.watch.sequences and config.shared:
            log.info("of a shared subscription a member gets a part: gaps in the numbers of devices are not looked for")
        wanted = config.watch.sequences and not config.shared
        grace_s = config.watch.grace / 1000
        chosen = (config.subscriptions, grace_s) if wanted else None
        if chosen is None:
            self._sequences = None
        elif self._sequences is None or self._chosen != chosen:
            self._sequences = GapDetector(grace_s)
        self._chosen = chosen

    def see(self, messages: list[SpooledMessage]) -> None:
        """Newly committed messages."""
        if self._sequences:
            now = self._clock.monotonic()
            see = self._sequences.see
            for message in messages:
                see(message.topic, message.payload, now)

    async def run(self) -> None:
        """Report for ever."""
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            self.report()

    def report(self) -> None:
        """Tell what has become known."""
        report = self._sequences.report(self._clock.monotonic()) if self._sequences else None
        if report and report.missing:
            self._losses.missing(report.missing, report.devices, report.example)
        if report and report.found:
            self._losses.found(report.found)
