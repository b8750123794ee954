"""Where a message goes: a pure table from topic and payload to the targets of each sink.

This is the first place that looks into a message. Whatever is wrong with its topic or payload comes out as `Unroutable`
with the reason, which becomes a dead letter; it is never an error and never touches another message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import orjson

from bridge.config import KafkaTarget, RouteConfig
from bridge.spool import Spooled
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT, ContractError, MessageType, Topic
from edgewire.mqtt.filters import filter_matches

_KNOWN_TOPICS = 100_000
"""Topics remembered with their routes; a fleet has two or three a device."""

_SHOWN = 80
"""Characters of a wrong value that a reason repeats."""

_MAX_COUNT = 10**15
"""Boot and seq stay below it, see `MessageId`."""


@dataclass(frozen=True, slots=True, eq=False)
class Address:
    """What a topic alone says; made once a topic."""

    topic: Topic
    source: str
    """CloudEvents source: the device."""
    type: str
    """CloudEvents type: kind and channel."""
    candidates: "tuple[Route, ...]"


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One row of the table."""

    filter: str
    match: tuple[tuple[str, frozenset[str | int | bool]], ...]
    http: str | None
    kafka: KafkaTarget | None
    plain_key: bool
    """The key is the device id: by far the most common, and needs no template."""

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether the payload has the values this route asks for."""
        for name, values in self.match:
            value = fields.get(name)
            if not isinstance(value, str | int) or (value not in values):
                return False
        return True


@dataclass(slots=True, eq=False)
class Routed:
    """A message with its way, shared by all sinks."""

    message: Spooled
    address: Address
    route: Route
    device_id: str
    message_id: str
    """`{device_id}:{boot}:{seq}`."""
    timestamp: str
    """When it was measured, as in the payload."""

    @property
    def kafka_key(self) -> str:
        """The key of this message; ask only where the route leads to Kafka."""
        target = self.route.kafka
        if self.route.plain_key or target is None:
            return self.device_id
        topic = self.address.topic
        return target.key.format(
            device_id=self.device_id, site=topic.site, kind=topic.kind, channel=topic.channel.value
        )


@dataclass(frozen=True, slots=True, eq=False)
class Unroutable:
    """A message that can go nowhere, and why."""

    message: Spooled
    reason: str


class RouteTable:
    """Finds the route of a message. The first row whose filter and match fit decides."""

    def __init__(self, routes: Sequence[RouteConfig] = ()) -> None:
        """Without `routes` the table is that of the message contract."""
        self._routes = tuple(_route(row) for row in routes or contract_routes())
        self._addresses: dict[str, Address | str] = {}

    def kafka_topics(self) -> tuple[str, ...]:
        """Every Kafka topic of the table, each once."""
        return tuple(dict.fromkeys(route.kafka.topic for route in self._routes if route.kafka))

    def require(self, *, http: bool, kafka: bool) -> None:
        """Raise `ConfigError` for a route that leads to no sink there is, or a sink that no route leads to."""
        for route in self._routes:
            if not (http and route.http) and not (kafka and route.kafka):
                raise ConfigError(f"route '{route.filter}' leads to no configured sink: give it http or kafka")
        for name, there, targets in (
            ("http", http, [route.http for route in self._routes]),
            ("kafka", kafka, [route.kafka for route in self._routes]),
        ):
            if there and not any(targets):
                raise ConfigError(f"no route leads to the sink '{name}': add a target to a route or remove the sink")

    def resolve(self, message: Spooled) -> Routed | Unroutable:
        """The way of a message, or why it has none."""
        address = self._addresses.get(message.topic) or self._learn(message.topic)
        if isinstance(address, str):
            return Unroutable(message, address)
        try:
            fields = orjson.loads(message.payload)
        except orjson.JSONDecodeError as error:
            return Unroutable(message, f"payload is not JSON: {error}")
        if type(fields) is not dict:
            return Unroutable(message, f"payload is no JSON object: {_shown(fields)}")
        device_id = address.topic.device_id
        boot, seq, timestamp = fields.get("boot"), fields.get("seq"), fields.get("timestamp")
        # `type() is`: JSON's true is no number, and isinstance would take it for one.
        if type(boot) is not int or type(seq) is not int or not (0 <= boot < _MAX_COUNT and 0 <= seq < _MAX_COUNT):
            return Unroutable(message, f"payload has no message id: boot is {_shown(boot)}, seq is {_shown(seq)}")
        if type(timestamp) is not str:
            return Unroutable(message, f"payload has no timestamp: it is {_shown(timestamp)}")
        if fields.get("device_id") != device_id:
            said = _shown(fields.get("device_id"))
            return Unroutable(message, f"payload says device_id {said}, its topic '{device_id}'")
        for route in address.candidates:
            if not route.match or route.matches(fields):
                return Routed(message, address, route, device_id, f"{device_id}:{boot}:{seq}", timestamp)
        return Unroutable(message, _mismatch(address, fields))

    def _learn(self, topic: str) -> Address | str:
        if len(self._addresses) >= _KNOWN_TOPICS:
            self._addresses.clear()
        self._addresses[topic] = address = self._address(topic)
        return address

    def _address(self, text: str) -> Address | str:
        """What is known of a topic, or why a message on it can go nowhere."""
        try:
            topic = Topic.parse(text)
        except ContractError as error:
            return str(error)
        candidates = tuple(route for route in self._routes if filter_matches(route.filter, text))
        if not candidates:
            return f"no route for topic '{text}'"
        source = f"/edge/{topic.site}/{topic.kind}/{topic.device_id}"
        return Address(topic, source, f"edge.{topic.kind}.{topic.channel.value}", candidates)


def contract_routes() -> tuple[RouteConfig, ...]:
    """The routes of `edgewire.messages.CONTRACT`, one a shape of message."""
    return tuple(
        RouteConfig(
            topic=f"edge/+/{contract.kind}/+/{message.channel.value}",
            match={"event_type": event_types} if (event_types := _event_types(message)) else {},
            http=contract.http_path,
            kafka=KafkaTarget(topic=message.kafka_topic),
        )
        for contract in CONTRACT.values()
        for message in contract.messages
    )


def _event_types(message: MessageType) -> list[str | int | bool]:
    """The event types that a shape of message is limited to; none where it takes any."""
    field = message.model.model_fields.get("event_type")
    return list(get_args(field.annotation)) if field and get_origin(field.annotation) is Literal else []


def _route(row: RouteConfig) -> Route:
    match = tuple(
        (name, frozenset(values if isinstance(values, list) else [values])) for name, values in row.match.items()
    )
    plain_key = row.kafka is not None and row.kafka.key == "{device_id}"
    return Route(row.topic, match, row.http, row.kafka, plain_key)


def _mismatch(address: Address, fields: Mapping[str, Any]) -> str:
    names = dict.fromkeys(name for route in address.candidates for name, _ in route.match)
    values = ", ".join(f"{name} {_shown(fields.get(name))}" for name in names)
    return f"no route of topic '{address.topic}' takes {values}"


def _shown(value: object) -> str:
    """A value of a payload as JSON, cut where it is long."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
