"""The two ends of a test over a real broker: a session of ours, and paho-mqtt as the judge of it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from threading import Event as ThreadEvent
from typing import TypeVar

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from edgewire.link import BrokerUrl, Link, connect_link
from edgewire.mqtt import (
    Connected,
    ConnectionLost,
    Event,
    Message,
    Session,
    SessionConfig,
    Subscribed,
    Subscription,
    Version,
)
from tests.waiting import eventually

E = TypeVar("E", bound=Event)


class PahoClient:
    """The independent client, subscribed to everything below `root`."""

    def __init__(self, url: str, root: str, version: Version = Version.V5) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self._version = version
        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"paho-{uuid.uuid4().hex}", protocol=int(version))
        broker = BrokerUrl.parse(url)
        ready = ThreadEvent()
        self.client.on_message = lambda client, userdata, message: self.messages.append(message)
        self.client.on_subscribe = lambda *arguments: ready.set()
        self.client.on_connect = lambda *arguments: self.client.subscribe(f"{root}/#", qos=2)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert ready.wait(10)

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False, **properties: object) -> None:
        extra = PahoProperties(PacketTypes.PUBLISH) if self._version is Version.V5 else None
        for name, value in properties.items():
            setattr(extra, name, value)
        self.client.publish(topic, payload, qos, retain, properties=extra).wait_for_publish(10)

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class WireClient:
    """A session of ours, its link, and what it was told."""

    def __init__(self, url: str, version: Version, **config: object) -> None:
        self.url = BrokerUrl.parse(url)
        settings = {"client_id": f"test-{uuid.uuid4().hex}", **config}
        self.session = Session(SessionConfig(**settings), version)
        self.events: list[Event] = []
        self.link: Link | None = None

    async def connect(self) -> Connected:
        """A new connection; `events` are those of this one alone."""
        told: list[Event] = []
        self.link = await connect_link(self.url, self.session, lambda _, events: told.extend(events))
        self.events = told
        assert isinstance(told[0], Connected)
        return told[0]

    async def subscribe(self, *subscriptions: Subscription) -> tuple[int, ...]:
        packet_id = self.link.subscribe(subscriptions)
        await eventually(lambda: packet_id in [answer.packet_id for answer in self.of(Subscribed)])
        return self.of(Subscribed)[-1].codes

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def messages(self) -> list[Message]:
        return self.of(Message)

    async def stop(self) -> None:
        self.link.close()
        await eventually(lambda: self.of(ConnectionLost))


class WireClients:
    """Makes clients of ours, and ends those that a failed test leaves behind: uvloop cannot close over them."""

    def __init__(self) -> None:
        self._all: list[WireClient] = []

    def __call__(self, url: str, version: Version, **config: object) -> WireClient:
        ours = WireClient(url, version, **config)
        self._all.append(ours)
        return ours

    async def stop(self) -> None:
        for ours in self._all:
            if ours.link:
                ours.link.abort()
        await asyncio.sleep(0.01)


@pytest.fixture
async def clients() -> AsyncIterator[WireClients]:
    made = WireClients()
    yield made
    await made.stop()


@pytest.fixture
def root() -> str:
    """Topics of this test alone: the broker is shared."""
    return f"test/{uuid.uuid4().hex}"
