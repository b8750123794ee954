"""A backlog of readings, published at once on one connection, and what a stack's sinks have of it."""

import asyncio
import time
from itertools import islice
from typing import NamedTuple, Self

import uvloop

from benchmarks.stack import Stack
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgefleet.verify.arrivals import ArrivalSource
from edgefleet.verify.http_source import HttpSource
from edgefleet.verify.kafka_source import KafkaSource
from edgewire.link import BrokerUrl, Link, connect_link
from edgewire.mqtt import Event, Session, SessionConfig

_DEVICES = 1000
_QUIET_S = 5.0
"""What has not come in such a time after the last message does not come any more."""


class Backlog(NamedTuple):
    """So many readings of 1,000 sensors, whose names begin with `name`."""

    name: str
    messages: int

    @classmethod
    def of(cls, count: int) -> Self:
        """One with a name of its own."""
        return cls(f"backlog{time.time_ns()}", count)

    def publish(self, broker: str) -> None:
        """At QoS 1, as fast as the broker takes them; on return it has acknowledged all."""
        uvloop.run(publish_messages(BrokerUrl.parse(broker), self._readings()))

    def _readings(self) -> list[tuple[bytes, bytes]]:
        group = {"kind": "bme280", "count": _DEVICES, "interval": "1s", "id": f"{self.name}-{{n}}"}
        timeline = Timeline(Scenario(devices=[group]), int(time.time() * 1000))
        seconds = -(-self.messages // _DEVICES)
        batch = timeline.batch(timeline.start_ms, timeline.start_ms + seconds * 1000)
        topics = [f"edge/default/bme280/{device.device_id}/telemetry".encode() for device in timeline.devices]
        readings = zip(batch.device, batch.payload, strict=True)
        return [(topics[device], payload) for device, payload in islice(readings, self.messages)]


class Inbox:
    """What one sink has of a backlog, read on with every look."""

    def __init__(self, source: ArrivalSource, backlog: Backlog) -> None:
        self._source, self._backlog = source, backlog
        self._ids: set[tuple[str, int]] = set()
        self.arrivals = 0
        self.last_ms = 0
        """When the newest was stored, milliseconds since 1970."""

    @classmethod
    def http(cls, stack: Stack, backlog: Backlog) -> Self:
        """Of the ingest."""
        inbox = cls(HttpSource(stack.ingest_url), backlog)
        inbox.look()  # over what is there already
        return inbox

    @classmethod
    def kafka(cls, stack: Stack, backlog: Backlog) -> Self:
        """Of the topics of the contract."""
        inbox = cls(KafkaSource(stack.kafka.bootstrap_servers, since_ms=int(time.time() * 1000) - 1000), backlog)
        inbox.look()
        return inbox

    @property
    def missing(self) -> int:
        """Messages that are not there."""
        return self._backlog.messages - len(self._ids)

    @property
    def duplicates(self) -> int:
        """Arrivals of a message beyond its first."""
        return self.arrivals - len(self._ids)

    def look(self) -> int:
        """Read what is new; how many of the backlog are there now."""
        start = f"{self._backlog.name}-"
        for part in self._source.read_arrivals():
            for device, seq, stored_ms in zip(part.device_id, part.seq, part.arrived_ms, strict=True):
                if device.startswith(start):
                    self.arrivals += 1
                    self._ids.add((device, seq))
                    self.last_ms = max(self.last_ms, stored_ms)
        return len(self._ids)

    def close(self) -> None:
        """Let go of connections."""
        self._source.close()


def wait_for(inboxes: tuple[Inbox, Inbox], every_s: float = 1.0) -> None:
    """Return when all is there, or when nothing has come for some seconds. Looking costs the sinks' time: not often."""
    seen, quiet_since = -1, time.monotonic()
    while any(inbox.missing for inbox in inboxes) and time.monotonic() - quiet_since < _QUIET_S:
        time.sleep(every_s)
        now = sum(inbox.look() for inbox in inboxes)
        if now != seen:
            seen, quiet_since = now, time.monotonic()


async def publish_messages(broker: BrokerUrl, messages: list[tuple[bytes, bytes]]) -> None:
    """Publish topics with payloads at QoS 1; on return the broker has acknowledged all."""
    moved = asyncio.Event()

    def on_events(_link: Link, _events: list[Event]) -> None:
        moved.set()

    session = Session(SessionConfig(client_id="backlog"))
    link = await connect_link(broker, session, on_events)
    for topic, payload in messages:
        while not session.window_free or not link.writable:
            moved.clear()
            await moved.wait()
        link.publish(topic, payload, qos=1)
    while session.inflight:
        moved.clear()
        await moved.wait()
    link.close()
