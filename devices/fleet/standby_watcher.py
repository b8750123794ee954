"""Watches for real sensors at one broker, over one connection for all devices in standby of a process.

It hears the status of each, and the telemetry of those whose own connection does not hear it: of those that have
withdrawn, and where the broker cannot leave out what a client has published itself (MQTT 3.1.1). What a device could
not send any more as it withdrew is published here.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

from devices.firmware.outbox import Reading
from devices.fleet.brokers import BrokerPool
from devices.fleet.incidents import IncidentRecorder
from devices.fleet.standby_client import StandbyClient
from devices.timeline.wire_format import divide_payload
from edgewire.backoff import Backoff
from edgewire.clock import Clock
from edgewire.errors import EdgefleetError
from edgewire.link import BrokerUrl, Link
from edgewire.mqtt import (
    FAILURE,
    Acknowledged,
    ConnectionLost,
    Event,
    Message,
    PublishRefused,
    ServerDisconnected,
    Session,
    SessionConfig,
    Subscribed,
    SubscribeRefused,
    Subscription,
    Version,
    coded_reason,
)

FILTERS_AT_ONCE = 50
"""In one SUBSCRIBE: some brokers take no long packets."""
SETTLE_S = 0.2
"""So long after SUBACK the last of the retained statuses should be here."""
TICK_S = 0.25
BACKOFF = Backoff(base_s=0.5, cap_s=10.0)


class StandbyWatcher:
    """Holds the connection to one broker."""

    def __init__(
        self,
        broker: BrokerUrl,
        brokers: BrokerPool,
        version: Version | None,
        client_id: str,
        clock: Clock,
        incidents: IncidentRecorder,
    ) -> None:
        self._broker = broker
        self._brokers = brokers
        self._clock = clock
        self._incidents = incidents
        username, password = brokers.identities.credentials_for(client_id, broker)
        self._session = Session(
            SessionConfig(client_id=client_id, username=username, password=password), version or Version.V5
        )
        self._link: Link | None = None
        # Topic -> its device; None where several devices share the topic.
        self._listeners: dict[str, StandbyClient | None] = {}
        self._reading_topics: dict[str, StandbyClient] = {}
        self._asked: set[int] = set()
        self._pending: deque[tuple[StandbyClient, Reading]] = deque()
        self._ended = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once it has heard what was retained, or cannot."""
        self.watching_since_s: float | None = None
        """Since when it hears what is said; None while it does not."""

    def add_client(self, client: StandbyClient) -> None:
        """Watch the status of a device."""
        topic = client.status_topic
        if not topic:
            return
        shared = topic in self._listeners
        self._listeners[topic] = None if shared else client
        if not shared and self._link is not None:
            self._subscribe([topic])

    def remove_client(self, client: StandbyClient) -> None:
        """Watch a device no longer."""
        topics = [topic for topic, listener in self._listeners.items() if listener is client]
        for topic in topics:
            del self._listeners[topic]
            self._reading_topics.pop(topic, None)
        self._unsubscribe(topics)

    def _unsubscribe(self, topics: Sequence[str]) -> None:
        if self._link is not None and self._link.connected and topics:
            with suppress(EdgefleetError):
                self._link.unsubscribe(topics)

    def watch_readings(self, client: StandbyClient, watched: bool) -> None:
        """Listen to the telemetry and events of a device, or no longer."""
        topics: list[str] = client.reading_topics
        if watched:
            topics = [topic for topic in topics if topic not in self._listeners]
            for topic in topics:
                self._listeners[topic] = self._reading_topics[topic] = client
            self._subscribe(topics)
            return
        topics = [topic for topic in topics if self._reading_topics.get(topic) is client]
        for topic in topics:
            del self._listeners[topic], self._reading_topics[topic]
        self._unsubscribe(topics)

    def hand_in(self, client: StandbyClient, readings: Iterable[Reading]) -> None:
        """Publish what a device could not."""
        self._pending.extend((client, reading) for reading in readings)
        self._publish_pending()

    async def run_watcher(self) -> None:
        """Keep the connection until cancelled."""
        failures = 0
        try:
            while True:
                self._ended.clear()
                try:
                    link = await self._brokers.open_link(self._broker, self._session, self._on_events)
                except EdgefleetError as error:
                    if not self.ready.is_set():
                        self._incidents.log_unwatched(str(error))
                    self.ready.set()
                else:
                    failures = 0
                    await self._watch(link)
                failures += 1
                await asyncio.sleep(BACKOFF.ceiling(failures))
        finally:
            if self._link is not None:
                self._link.close()

    async def _watch(self, link: Link) -> None:
        if not self._ended.is_set():
            self._link = link
            self._subscribe(list(self._listeners))
            self._publish_pending()
        while not self._ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._ended.wait()
            link.tick()
            now_s = self._clock.monotonic()
            if self.watching_since_s is not None and now_s - self.watching_since_s >= SETTLE_S:
                self.ready.set()
        self._link, self.watching_since_s = None, None
        self._asked.clear()
        for client in {listener for listener in self._listeners.values() if listener is not None}:
            client.on_watching_ended()

    def _subscribe(self, topics: Sequence[str]) -> None:
        link = self._link
        if link is None or not link.connected:
            return
        no_local = self._session.version is Version.V5
        try:
            for start in range(0, len(topics), FILTERS_AT_ONCE):
                filters = [Subscription(one, 0, no_local=no_local) for one in topics[start : start + FILTERS_AT_ONCE]]
                self._asked.add(link.subscribe(filters))
        except SubscribeRefused as error:
            self._incidents.log_unwatched(str(error))
        except EdgefleetError:
            pass  # it has just ended
        if not topics and self.watching_since_s is None:
            self.watching_since_s = self._clock.monotonic()

    def _on_events(self, link: Link, events: list[Event]) -> None:
        for event in events:
            match event:
                case Message():
                    self._on_message(event)
                case Acknowledged(_, code, (StandbyClient() as client, Reading() as reading)):
                    client.on_handed_in(reading, code)
                case Subscribed(packet_id, codes):
                    self._asked.discard(packet_id)
                    if refusal := next((code for code in codes if code >= FAILURE), 0):
                        self._incidents.log_unwatched(coded_reason(refusal))
                    if not self._asked and self.watching_since_s is None:
                        self.watching_since_s = self._clock.monotonic()
                case ServerDisconnected(code, reason, _):
                    self._incidents.log_unwatched(reason or coded_reason(code))
                case ConnectionLost():
                    self._ended.set()
                case _:
                    pass
        self._publish_pending()

    def _on_message(self, message: Message) -> None:
        listener = self._listeners.get(message.topic)
        if listener is None:
            return
        listener.on_heard_elsewhere(message.topic, message.payload, retained=message.retain)

    def _publish_pending(self) -> None:
        link = self._link
        while self._pending and link is not None and link.connected and link.writable:
            client, reading = self._pending[0]
            qos = min(reading.qos, self._session.limits.maximum_qos)
            if qos and not self._session.window_free:
                return
            self._pending.popleft()
            try:
                self._publish(link, client, reading, qos)
            except PublishRefused as error:
                client.on_handed_in(reading, max(error.code, FAILURE))
                continue
            if not qos:
                client.on_handed_in(reading._replace(qos=0), 0)

    def _publish(self, link: Link, client: StandbyClient, reading: Reading, qos: int) -> None:
        options, token = client.options_of(reading), (client, reading)
        if options is None:
            link.publish(reading.topic, reading.payload, qos=qos, token=token)
            return
        retain = options.retain and self._session.limits.retain_available
        properties = client.wire_format.properties_of(client.device, options) if options.properties else None
        payload, properties = divide_payload(options, reading.payload, properties, self._session.version)
        link.publish(reading.topic, payload, qos=qos, retain=retain, properties=properties, token=token)
