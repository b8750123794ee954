"""Takes messages from the link into the spool, and sends their acknowledgements once they are there.

PUBACK leaves in the order of receipt after the commit. Nothing is parsed here but what says several readings at once,
which is taken apart, and what can be read only by what came before it. When the spool is full or far behind, reading
stops, and the broker queues what is published.
"""

import asyncio
from collections import deque
from functools import partial
from math import inf

from bridge import failpoints
from bridge.message.reading_splitter import ReadingSplitter
from bridge.message.user_properties import dump_properties
from bridge.metrics import BridgeMetrics
from bridge.source.sparkplug_host import SparkplugHost
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from edgewire import logs
from edgewire.clock import Clock
from edgewire.link import Link
from edgewire.mqtt import Message

_QUEUE_BEYOND_WINDOW = 10_000
"""Messages of QoS 0 that may wait for the spool; those of QoS 1 are bounded by the receive maximum."""

_READ_EVERY_S = 0.01
"""How often little is read: each time costs about as much as a message."""

_OFTEN_S = 2 * _READ_EVERY_S
"""What comes more seldom than this is read at once."""

_LITTLE_MESSAGES = 100
"""Where as many wait for their commit, they come in numbers by themselves."""

_LITTLE_OF_WINDOW = 1 / 4
"""Or as much of what the broker sends before it has an acknowledgement: it must not wait for our pause."""

log = logs.get("source")


class Receiver:
    """Hands what the source receives to the spool, and acknowledges it once it is safe there."""

    def __init__(
        self, spool: Spool, metrics: BridgeMetrics, clock: Clock, sparkplug: SparkplugHost | None = None
    ) -> None:
        self.received = 0
        """Messages so far."""
        self.receive_maximum = 0
        """Messages the broker may send before the first is acknowledged."""
        self.splitter: ReadingSplitter | None = None
        """Takes messages of several readings apart; None where there are none."""
        self.paused = False
        """Take nothing in, whatever the spool says."""
        self._spool = spool
        self._sparkplug = sparkplug
        self._metrics = metrics
        self._clock = clock
        self._reading_paused = False
        self._read_at = -inf
        self._to_flush: dict[Link, None] = {}
        self._uncommitted: deque[float] = deque()  # when each group that is not yet in the spool was received

    @property
    def all_acked(self) -> bool:
        """Say whether all that came is committed and acknowledged."""
        return not self._uncommitted

    def oldest_wait_s(self, since: float = 0.0) -> float:
        """Return how long the oldest message has waited for its commit, counted from `since` at the earliest."""
        return self._clock.monotonic() - max(since, self._uncommitted[0]) if self._uncommitted else 0.0

    def on_messages(self, link: Link, messages: list[Message]) -> None:
        """Hand messages to the spool, and acknowledge them once they are there."""
        now_ms = self._clock.now_ms()
        redelivered = retained = 0
        counts = [0, 0, 0]
        group: list[SpooledMessage] = []
        for message in messages:
            topic, payload, qos, retain, dup, _, properties, _ = message
            counts[qos] += 1
            redelivered += dup
            retained += retain
            carried = dump_properties(properties) if properties else None
            group.append(SpooledMessage(0, now_ms, topic, payload, qos, retain, dup, carried))
        if self.splitter is not None:
            group = self.splitter.split_messages(group)
        if self._sparkplug is not None:
            group = self._sparkplug.name_metrics(group, link)
        self.received += len(messages)
        self._uncommitted.append(self._clock.monotonic())
        self._spool.append_messages(group, partial(self._acknowledge, link, messages))
        for qos, count in enumerate(counts):
            if count:
                self._metrics.received.labels(str(qos)).inc(count)
        if redelivered or retained:
            self._metrics.redelivered.inc(redelivered)
            self._metrics.retained.inc(retained)
        self.apply_backpressure(link)
        self._pace_reading(link)

    def _pace_reading(self, link: Link) -> None:
        """Read nothing for a moment where messages come one by one, and often: they wait for a commit either way."""
        now, before = self._clock.monotonic(), self._read_at
        self._read_at = now
        is_often = now - before < _OFTEN_S
        little = min(_LITTLE_MESSAGES, self.receive_maximum * _LITTLE_OF_WINDOW)
        if is_often and self._spool.queued < little and not self._reading_paused:
            link.pause_reading()
            asyncio.get_running_loop().call_later(_READ_EVERY_S, self._read_on, link)

    def _read_on(self, link: Link) -> None:
        if not self._reading_paused:
            link.resume_reading()

    def _acknowledge(self, link: Link, messages: list[Message]) -> None:
        """Tell the broker that the spool has these; it sends those of an earlier connection again."""
        self._uncommitted.popleft()
        link.session.ack_all(messages)
        if not self._to_flush:
            asyncio.get_running_loop().call_soon(self._flush)
        self._to_flush[link] = None

    def _flush(self) -> None:
        """Send the acknowledgements of all groups of a commit in one write."""
        for link in self._to_flush:
            link.flush()
        self._to_flush.clear()
        failpoints.acknowledged()

    def on_connected(self) -> None:
        """Begin with a new connection, which is being read."""
        self._reading_paused = False

    def apply_backpressure(self, link: Link | None) -> None:
        """Pause or resume reading, by how much waits for the spool."""
        if link is None:
            return
        limit = self.receive_maximum + _QUEUE_BEYOND_WINDOW
        full = self._spool.full
        if not self._reading_paused and (self.paused or full or self._spool.queued > limit):
            self._reading_paused = True
            link.pause_reading()
            if full:
                log.error("the spool is full: nothing more is acknowledged until a sink makes room")
        elif self._reading_paused and not (self.paused or full or self._spool.queued > limit // 2):
            self._reading_paused = False
            link.resume_reading()
