"""Feeds the finder of gaps with what was committed, and tells what it finds."""

import asyncio

from bridge.config import BridgeConfig
from bridge.losses import Losses
from bridge.sequences import Sequences
from bridge.spool import Spooled
from edgewire import logs
from edgewire.clock import Clock

_REPORT_EVERY_S = 1.0

log = logs.get("sequences")


class SequenceWatch:
    """`see` costs about a microsecond a message, and nothing when it is off."""

    def __init__(self, config: BridgeConfig, losses: Losses, clock: Clock) -> None:
        self._losses = losses
        self._clock = clock
        self._sequences: Sequences | None = None
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
            self._sequences = Sequences(grace_s)
        self._chosen = chosen

    def see(self, messages: list[Spooled]) -> None:
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
