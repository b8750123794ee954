"""Stand-ins for what is around a part of the bridge: messages, a sink with a script, an HTTP service, a broker."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import NO_FAILURES, Failures, NotConnected
from bridge.sinks.settings import RetryConfig, SinkConfig
from bridge.spool.message import SpooledMessage
from edgewire.mqtt import PacketDecoder, Properties, Version, encode
from edgewire.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from tests.tcp import tcp_server

FAST = RetryConfig.model_validate({"base": "1ms", "cap": "5ms", "pause": "5ms"})
"""Waits that a test does not notice."""


TABLE = RouteTable()


def payload(device: str = "a", seq: int = 0, **fields: object) -> bytes:
    """A message that the bridge can route."""
    return orjson.dumps({"device_id": device, "timestamp": "2026-03-01T12:00:00.000Z", "boot": 1, "seq": seq, **fields})


def spooled(
    number: int, device: str = "a", kind: str = "bme280", channel: str = "telemetry", **fields: object
) -> SpooledMessage:
    """A message as the spool gives it; its seq is its number."""
    topic = f"edge/site/{kind}/{device}/{channel}"
    return SpooledMessage(number, 1000 + number, topic, payload(device, number, **fields), 1, False, False)


def routed(number: int, device: str = "a", table: RouteTable | None = None, **fields: object) -> RoutedEvent:
    """A message with its way."""
    found = (table or TABLE).resolve(spooled(number, device, **fields))  # type: ignore[arg-type]
    assert isinstance(found, RoutedEvent), found
    return found


class MemorySink:
    """Keeps what it is given. `script` may answer for it, raise, or wait."""

    name = "memory"
    linger_s = 0.0
    destinations: Sequence[str] = ()
    last_error = None

    def __init__(
        self,
        script: Callable[[str, Sequence[RoutedEvent]], Failures] | None = None,
        *,
        window: int = 1000,
        batch: int = 100,
    ) -> None:
        self.config = SinkConfig(retry=FAST, window=window)
        self.batch_messages = batch
        self.script = script
        self.got: list[str] = []
        self.batches: list[tuple[str, list[int]]] = []
        self.connects = 0
        self.closed = 0
        self.connected = False
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    def queue_key(self, event: RoutedEvent) -> str | None:
        target: Any = event.route.targets.get("http")
        return target and target.path.text

    async def connect(self) -> None:
        self.connects += 1
        self.connected = True

    async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        self.asked += 1
        await asyncio.sleep(0)
        await self.open.wait()
        if not self.connected:
            raise NotConnected("the list is closed")
        self.batches.append((queue_key, [one.message.id for one in batch]))
        failures = self.script(queue_key, batch) if self.script else NO_FAILURES
        self.got += [one.message_id for position, one in enumerate(batch) if position not in failures]
        return failures

    async def close(self) -> None:
        self.closed += 1
        self.connected = False

    async def probe(self) -> str:
        return "memory is there"

    def preview(self, event: RoutedEvent) -> dict[str, Any]:
        return {"lane": self.queue_key(event), "destination": "memory"}


def in_order(message_ids: Sequence[str]) -> bool:
    """Whether the messages of every device, by their ids, came in the order of their seq, none twice."""
    seqs: dict[str, list[int]] = defaultdict(list)
    for message_id in message_ids:
        device, _, seq = message_id.split(":")
        seqs[device].append(int(seq))
    return all(one == sorted(set(one)) for one in seqs.values())


@dataclass
class IngestStub:
    """What an HTTP ingest was sent, and a queue of answers it gives before it takes everything."""

    url: str = ""
    stored: list[str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[web.Response | None] = field(default_factory=list)
    """For the next requests; None takes one."""
    poison: dict[str, int] = field(default_factory=dict)
    """Message id -> the status with which anything that contains it is answered."""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((request.path, dict(request.headers), body))
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            return answer
        fields = _messages(request.content_type, body)
        ids = ["{device_id}:{boot}:{seq}".format(**one) for one in fields]
        for one in ids:
            if one in self.poison:
                return web.json_response({"error": f"{one} is poison"}, status=self.poison[one])
        self.stored += ids
        if not request.path.endswith("/batch") and len(ids) == 1:
            return web.json_response({"status": "stored"}, status=201)
        return web.json_response({"stored": len(ids), "known": 0, "rejected": 0, "items": []})


def _messages(content_type: str, body: bytes) -> list[dict[str, Any]]:
    """The payloads in a body, whatever its form."""
    if content_type == "application/x-ndjson":
        return [orjson.loads(line) for line in body.split(b"\n") if line]
    document = orjson.loads(body)
    found = document if isinstance(document, list) else [document]
    return [one["data"] for one in found] if "cloudevents" in content_type else found


@asynccontextmanager
async def ingest_stub() -> AsyncIterator[IngestStub]:
    """An `IngestStub` on a port of its own."""
    stub = IngestStub()
    application = web.Application()
    application.router.add_post("/{path:.*}", stub.handle)
    application.router.add_get("/", _here)
    async with TestServer(application) as server:
        stub.url = str(server.make_url("")).rstrip("/")
        yield stub


async def _here(_: web.Request) -> web.Response:
    return web.Response(text="here")


class ScriptedBroker:
    """Speaks enough MQTT 5 to hand out messages and to note, in order, what it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.said: list[Packet] = []
        self.session_present = False
        self.offers: Properties = {}
        self.suback_code: int | None = 1
        """None: SUBSCRIBE is not answered."""
        self.after_connack = b""
        """Sent in one piece with CONNACK."""
        self.connects: list[Connect] = []
        self.acked: list[int] = []
        self.requested: list[str] = []
        """Filters of the last SUBSCRIBE."""
        self.unsubscribed: list[str] = []
        self.subscribed = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._changed = asyncio.Condition()

    def publish(self, packet_id: int, topic: str, body: bytes, **flags: Any) -> None:
        """Send a message of QoS 1, or of QoS 0 where the packet id is 0."""
        self.send(Publish(topic=topic, payload=body, qos=1 if packet_id else 0, packet_id=packet_id, **flags))

    def send(self, *packets: Packet) -> None:
        """Send packets in one piece."""
        assert self._writer
        self._writer.write(b"".join(encode(packet, Version.V5) for packet in packets))

    def hang_up(self) -> None:
        """Cut the connection."""
        assert self._writer
        self.subscribed.clear()
        self._writer.transport.abort()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that we are told to make `condition` true."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), 10)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        decoder = PacketDecoder(Version.V5)
        while data := await reader.read(65536):
            for packet in decoder.feed(data):
                self._answer(packet)
            async with self._changed:
                self._changed.notify_all()
        writer.close()

    def _answer(self, packet: Packet) -> None:
        self.said.append(packet)
        match packet:
            case Connect():
                self.connects.append(packet)
                assert self._writer
                connack = encode(Connack(self.session_present, properties=self.offers), Version.V5)
                self._writer.write(connack + self.after_connack)
            case Subscribe(packet_id=packet_id, subscriptions=subscriptions):
                self.requested = [one.filter for one in subscriptions]
                if self.suback_code is not None:
                    self.send(Suback(packet_id, (self.suback_code,) * len(subscriptions)))
                    self.subscribed.set()
            case Unsubscribe(packet_id=packet_id, filters=filters):
                self.unsubscribed += filters
                self.send(Unsuback(packet_id, (0,) * len(filters)))
            case Puback(packet_id=packet_id):
                self.acked.append(packet_id)
            case Publish(packet_id=packet_id) if packet_id:
                self.send(Puback(packet_id))
            case Pingreq():
                self.send(Pingresp())
            case Disconnect():
                self.subscribed.clear()
            case _:
                pass


@asynccontextmanager
async def scripted_broker() -> AsyncIterator[ScriptedBroker]:
    """A `ScriptedBroker` on a port of its own."""
    broker = ScriptedBroker()
    async with tcp_server(broker.serve) as port:
        broker.url = f"mqtt://127.0.0.1:{port}"
        yield broker
