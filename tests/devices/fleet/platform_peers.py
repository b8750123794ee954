"""Brokers that answer as ThingsBoard, AWS IoT Core and Azure IoT Hub do, and cut off whoever goes beyond their limits.

They are scripted after the platforms' documentation: what it says they do not take, they do not take either.
"""

import asyncio
import base64
import hmac
import re
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import orjson

from edgewire.dialects.azure_iot import read_bag
from edgewire.mqtt.filters import filter_matches
from edgewire.mqtt.packets import Connack, Connect, Packet, Publish, Subscribe
from tests.edgewire.link.odd_broker import Answer, Client, OddBroker, odd_broker, usual

BAD_LOGIN = 0x86


class Peer:
    """Answers as any broker does, unless a platform does not take what it is told."""

    most_filters = 50

    def __init__(self) -> None:
        self.cuts: Counter[str] = Counter()
        """Why clients were cut off."""
        self.refused = 0
        """Logins."""
        self.clients: dict[str, Client] = {}
        self.filters: dict[str, set[str]] = {}
        self.published: list[tuple[str, str, bytes]] = []
        """Client id, topic and payload."""

    def script(self, client: Client, packet: Packet) -> Sequence[Answer]:
        """Answers a packet."""
        fault = next(self.faults(client, packet), None)
        if fault is not None:
            self.cuts[fault] += 1
            return [None]
        match packet:
            case Connect(client_id=client_id):
                if not self.knows(packet):
                    self.refused += 1
                    return [Connack(code=BAD_LOGIN if client.version == 5 else 4), None]
                self.clients[client_id] = client
                return [Connack(session_present=client.number > 0 and not packet.clean_start)]
            case Subscribe(subscriptions=subscriptions):
                self.filters.setdefault(client.connect.client_id, set()).update(one.filter for one in subscriptions)
            case Publish(topic=topic, payload=payload):
                self.published.append((client.connect.client_id, topic, payload))
                return [*usual(client, packet), *self.answers(client.connect.client_id, topic, payload)]
        return usual(client, packet)

    def faults(self, client: Client, packet: Packet) -> Iterator[str]:
        """What in a packet the platform ends the connection for."""
        match packet:
            case Publish(qos=2):
                yield "QoS 2"
            case Subscribe(subscriptions=subscriptions) if len(subscriptions) > self.most_filters:
                yield "too many filters"

    def knows(self, connect: Connect) -> bool:
        """Whether a client may log in."""
        return True

    def answers(self, client_id: str, topic: str, payload: bytes) -> Iterator[Publish]:
        """What the platform says to a message, where the client listens to it."""
        yield from ()

    def told(self, client_id: str, topic: str, body: Any) -> Iterator[Publish]:
        """A message to a client that has asked for its topic."""
        if any(filter_matches(one, topic) for one in self.filters.get(client_id, ())):
            yield Publish(topic=topic, payload=b"" if body is None else orjson.dumps(body))

    def push(self, client_id: str, topic: str, body: Any) -> None:
        """Say something to a client that has not said anything."""
        self.clients[client_id].say(*self.told(client_id, topic, body))

    def bodies(self, pattern: str) -> list[Any]:
        """What was published on topics of a form."""
        return [orjson.loads(payload) for _, topic, payload in self.published if re.fullmatch(pattern, topic)]


@asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[OddBroker]:
    """A broker on loopback that answers as this peer."""
    async with odd_broker(dict.fromkeys((Connect, Publish, Subscribe), peer.script)) as broker:
        yield broker


class ThingsBoardPeer(Peer):
    """Knows devices by their access tokens, takes its own topics alone, and JSON."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        super().__init__()
        self._tokens = tokens
        """Token -> device."""

    def knows(self, connect: Connect) -> bool:
        return connect.username in self._tokens

    def faults(self, client: Client, packet: Packet) -> Iterator[str]:
        yield from super().faults(client, packet)
        if isinstance(packet, Publish):
            if not re.match(r"v1/(devices/me|gateway)/", packet.topic):
                yield "topic"
            try:
                orjson.loads(packet.payload)
            except orjson.JSONDecodeError:
                yield "no JSON"

    def answers(self, client_id: str, topic: str, payload: bytes) -> Iterator[Publish]:
        if topic.startswith("v1/devices/me/attributes/request/"):
            answer = topic.replace("request", "response")
            yield from self.told(client_id, answer, {"shared": {}})


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A shadow's or twin's document with another put into it: null takes away."""
    found = dict(old)
    for key, value in new.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            before = found.get(key)
            found[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            found[key] = value
    return found


def difference(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> dict[str, Any]:
    """What is desired otherwise than it is reported."""
    found: dict[str, Any] = {}
    for key, value in desired.items():
        is_now = reported.get(key)
        if isinstance(value, dict) and isinstance(is_now, dict):
            if inner := difference(value, is_now):
                found[key] = inner
        elif value != is_now:
            found[key] = value
    return found


@dataclass
class Shadow:
    """What AWS IoT keeps of a thing."""

    version: int = 0
    desired: dict[str, Any] = field(default_factory=dict)
    reported: dict[str, Any] = field(default_factory=dict)

    @property
    def delta(self) -> dict[str, Any]:
        return difference(self.desired, self.reported)


class AwsIotPeer(Peer):
    """Keeps classic shadows with their versions, and the limits of a connection."""

    most_filters = 8

    def __init__(self) -> None:
        super().__init__()
        self.shadows: dict[str, Shadow] = {}
        self.rejected: Counter[int] = Counter()
        self._times: dict[str, deque[float]] = {}

    def faults(self, client: Client, packet: Packet) -> Iterator[str]:
        yield from super().faults(client, packet)
        match packet:
            case Connect(client_id=client_id, keep_alive_s=keep_alive_s, will=will):
                if not 30 <= keep_alive_s <= 1200:
                    yield "keep alive"
                if len(client_id.encode()) > 128:
                    yield "client id"
                if will is not None and will.topic.startswith("$"):
                    yield "will"
            case Publish(topic=topic, payload=payload, retain=retain):
                if topic.count("/") > 7 or len(topic.encode()) > 256:
                    yield "topic"
                if len(payload) > 128 * 1024:
                    yield "too large"
                if retain and topic.startswith("$aws/"):
                    yield "retained"
                times = self._times.setdefault(client.connect.client_id, deque(maxlen=101))
                times.append(time.monotonic())
                if len(times) == 101 and times[-1] - times[0] < 1:
                    yield "too many messages"

    def desire(self, thing: str, desired: Mapping[str, Any], *, tell: bool = True) -> None:
        """Wants something of a thing, as an application does."""
        shadow = self.shadows[thing]
        shadow.version += 1
        shadow.desired = merged(shadow.desired, desired)
        if tell:
            delta = {"state": shadow.delta, "version": shadow.version}
            self.push(thing, f"$aws/things/{thing}/shadow/update/delta", delta)

    def answers(self, client_id: str, topic: str, payload: bytes) -> Iterator[Publish]:
        found = re.fullmatch(r"\$aws/things/([^/]+)/shadow/(get|update)", topic)
        if found is None:
            return
        shadow = self.shadows.setdefault(found[1], Shadow())
        if found[2] == "get":
            state = {"desired": shadow.desired, "reported": shadow.reported}
            state |= {"delta": shadow.delta} if shadow.delta else {}
            yield from self.told(client_id, f"{topic}/accepted", {"state": state, "version": shadow.version})
            return
        body = orjson.loads(payload)
        if body.get("version", shadow.version) != shadow.version:
            self.rejected[409] += 1
            told = {"code": 409, "message": "Version conflict", "clientToken": body.get("clientToken")}
            yield from self.told(client_id, f"{topic}/rejected", told)
            return
        shadow.version += 1
        shadow.desired = merged(shadow.desired, body["state"].get("desired") or {})
        shadow.reported = merged(shadow.reported, body["state"].get("reported") or {})
        yield from self.told(client_id, f"{topic}/accepted", {"state": body["state"], "version": shadow.version})
        if shadow.delta:
            yield from self.told(client_id, f"{topic}/delta", {"state": shadow.delta, "version": shadow.version})


class AzureIotPeer(Peer):
    """Knows devices by tokens of their keys, cuts them off as these end, and keeps twins."""

    most_filters = 5

    def __init__(self, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._keys = keys
        """Device -> its key in base64."""
        self.twins: dict[str, Shadow] = {}
        self.ends: list[asyncio.TimerHandle] = []

    def knows(self, connect: Connect) -> bool:
        hub, _, rest = (connect.username or "").partition("/")
        key = self._keys.get(connect.client_id)
        if rest != f"{connect.client_id}/?api-version=2021-04-12" or key is None or connect.password is None:
            return False
        token = parse_qs(connect.password.decode().removeprefix("SharedAccessSignature "))
        resource = quote(f"{hub}/devices/{connect.client_id}", safe="")
        end = int(token["se"][0])
        signed = hmac.digest(base64.b64decode(key), f"{resource}\n{end}".encode(), sha256)
        if token["sr"][0] != unquote(resource) or base64.b64decode(token["sig"][0]) != signed or end <= time.time():
            return False
        self.twins.setdefault(connect.client_id, Shadow(version=1))
        self.ends.append(asyncio.get_running_loop().call_later(end - time.time(), self._end, connect))
        return True

    def _end(self, connect: Connect) -> None:
        client = self.clients[connect.client_id]
        if client.connect is connect and not client.writer.is_closing():
            self.cuts["token"] += 1
            client.close()

    def faults(self, client: Client, packet: Packet) -> Iterator[str]:
        yield from super().faults(client, packet)
        match packet:
            case Connect(keep_alive_s=keep_alive_s) if keep_alive_s > 1177:
                yield "keep alive"
            case Publish(topic=topic, payload=payload):
                own = f"devices/{client.connect.client_id}/messages/events/"
                if not topic.startswith((own, "$iothub/twin/", "$iothub/methods/res/")):
                    yield "topic"
                if topic.startswith(own) and re.search(r"[/: +#]", topic.removeprefix(own)):
                    yield "property"
                if len(payload) > 256 * 1024:
                    yield "too large"

    def desire(self, device: str, desired: Mapping[str, Any]) -> None:
        """Wants something of a device, as an application does."""
        twin = self.twins[device]
        twin.version += 1
        twin.desired = merged(twin.desired, desired)
        told = {**desired, "$version": twin.version}
        self.push(device, f"$iothub/twin/PATCH/properties/desired/?$version={twin.version}", told)

    def answers(self, client_id: str, topic: str, payload: bytes) -> Iterator[Publish]:
        if not topic.startswith("$iothub/twin/"):
            return
        twin, rid = self.twins[client_id], read_bag(topic.rpartition("/")[2])["$rid"]
        if "/GET/" in topic:
            body = {"desired": {**twin.desired, "$version": twin.version}, "reported": twin.reported}
            yield from self.told(client_id, f"$iothub/twin/res/200/?$rid={rid}", body)
        else:
            twin.reported = merged(twin.reported, orjson.loads(payload))
            yield from self.told(client_id, f"$iothub/twin/res/204/?$rid={rid}&$version=2", None)
