"""Where a message goes: a pure table from topic and payload to the targets of each sink.

This is the first place that looks into a message. Whatever is wrong with its topic or payload comes out as `Unroutable`
with the reason, which becomes a dead letter; it is never an error and never touches another message.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from bridge.message.event import Address
from bridge.routing.config import RouteConfig
from bridge.routing.routed import Dropped, Route, RoutedEvent, Unroutable
from bridge.routing.validation import Check
from bridge.sinks.registry import SINKS
from bridge.sinks.settings import Target
from bridge.spool.message import SpooledMessage
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT, ContractError, Topic
from edgewire.messages.cloudevents import event_source, event_type
from edgewire.mqtt.filters import filter_matches

_KNOWN_TOPICS = 100_000
"""Topics remembered with their routes; a fleet has two or three a device."""


_SHOWN = 80
"""Characters of a wrong value that a reason repeats."""


_MAX_COUNT = 10**15
"""Boot and seq stay below it, see `MessageId`."""


_LONGEST_TIMESTAMP = 64
"""Twice what ISO 8601 needs. A server refuses headers that are too long in a way that may look like wrong settings."""


OnInvalid = Callable[[str, str], None]
"""Called with the filter of a route and "warn" or "reject", once for each message that its check finds fault with."""


class RouteTable:
    """Finds the route of a message. The first row whose filter and match fit decides."""

    def __init__(self, routes: Sequence[RouteConfig] = ()) -> None:
        """Without `routes` the table is that of the message contract."""
        self.on_invalid: OnInvalid | None = None
        self._routes = tuple(_route(row) for row in routes or contract_routes())
        self._addresses: dict[str, Address | str | _Everything] = {}
        self._judged = 0  # the newest message whose fault was counted: each sink that is behind asks again

    def targets(self, sink: str) -> list[Target]:
        """Where the routes lead in one sink."""
        return [route.targets[sink] for route in self._routes if sink in route.targets]

    def require(self, sinks: Collection[str]) -> None:
        """Raise `ConfigError` for a route that leads to none of `sinks`, or one of them that no route leads to."""
        for route in self._routes:
            if not route.drop and not route.targets.keys() & set(sinks):
                raise ConfigError(
                    f"route '{route.filter}' leads to no configured sink: give it {' or '.join(SINKS)}, or drop: true"
                )
        for sink in sinks:
            if not self.targets(sink):
                raise ConfigError(f"no route leads to the sink '{sink}': add a target to a route or remove the sink")

    def resolve(self, message: SpooledMessage) -> RoutedEvent | Unroutable | Dropped:
        """The way of a message, or why it has none."""
        address = self._addresses.get(message.topic) or self._learn(message.topic)
        if isinstance(address, str):
            return Unroutable(message, address)
        if isinstance(address, _Everything):
            return Dropped(message, address.rule)
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
        # Sinks write it into headers, where a line break would begin another one.
        if (
            type(timestamp) is not str
            or len(timestamp) > _LONGEST_TIMESTAMP
            or not (timestamp.isascii() and timestamp.isprintable())
        ):
            return Unroutable(message, f"payload has no timestamp: it is {_shown(timestamp)}")
        if fields.get("device_id") != device_id:
            said = _shown(fields.get("device_id"))
            return Unroutable(message, f"payload says device_id {said}, its topic '{device_id}'")
        for route in address.candidates:
            if not route.match or route.matches(fields):
                routed = RoutedEvent(message, address, route, device_id, f"{device_id}:{boot}:{seq}", timestamp)
                return self._ruled(routed, fields) if route.has_rules else routed
        return Unroutable(message, _mismatch(address, fields))

    def _ruled(self, routed: RoutedEvent, fields: dict[str, Any]) -> RoutedEvent | Unroutable | Dropped:
        """What the rules of its route make of a message."""
        route = routed.route
        if route.drop or (route.sample and not route.sample.keeps(routed.device_id, routed.message_id)):
            return Dropped(
                routed.message, f"route '{route.filter}': {'drop' if route.drop else f'sample {route.sample}'}"
            )
        if route.reads_payload:
            routed._fields = fields
        if route.check and (fault := route.check.fault(routed.address.topic.kind, fields)):
            self._count(routed, route.check.level)
            if route.check.level == "reject":
                return Unroutable(routed.message, f"schema: {fault}", frozenset(route.targets))
        return routed

    def _count(self, routed: RoutedEvent, level: str) -> None:
        if routed.message.id > self._judged:
            self._judged = routed.message.id
            if self.on_invalid:
                self.on_invalid(routed.route.filter, level)

    def _learn(self, topic: str) -> "Address | str | _Everything":
        if len(self._addresses) >= _KNOWN_TOPICS:
            self._addresses.clear()
        self._addresses[topic] = address = self._address(topic)
        return address

    def _address(self, text: str) -> "Address | str | _Everything":
        """What is known of a topic, or why a message on it can go nowhere."""
        candidates = tuple(route for route in self._routes if filter_matches(route.filter, text))
        if candidates and candidates[0].drop and not candidates[0].match:
            return _Everything(f"route '{candidates[0].filter}': drop")
        try:
            topic = Topic.parse(text)
        except ContractError as error:
            return str(error)
        if not candidates:
            return f"no route for topic '{text}'"
        return Address(topic, event_source(topic), event_type(topic), candidates)


class _Everything(NamedTuple):
    """Whatever comes on a topic is dropped, unread."""

    rule: str


def contract_routes() -> tuple[RouteConfig, ...]:
    """The routes of `edgewire.messages.CONTRACT`, one a shape of message, to every sink there is."""
    return tuple(
        RouteConfig(
            topic=f"edge/+/{contract.kind}/+/{message.channel.value}",
            match={"event_type": list(message.event_types)} if message.event_types else {},
            **{name: kind.target.of_contract(contract, message) for name, kind in SINKS.items()},
        )
        for contract in CONTRACT.values()
        for message in contract.messages
    )


def _route(row: RouteConfig) -> Route:
    match = tuple(
        (name, frozenset(values if isinstance(values, list) else [values])) for name, values in row.match.items()
    )
    targets = row.targets
    reads = any(template.of_payload for target in targets.values() for template in target.templates())
    check = None if row.validation == "off" else Check(row.validation, row.loaded_schema)
    return Route(
        row.topic, match, targets, row.drop, row.sample, check, reads, bool(row.drop or row.sample or check or reads)
    )


def _mismatch(address: Address, fields: Mapping[str, Any]) -> str:
    names = dict.fromkeys(name for route in address.candidates for name, _ in route.match)
    values = ", ".join(f"{name} {_shown(fields.get(name))}" for name in names)
    return f"no route of topic '{address.topic}' takes {values}"


def _shown(value: object) -> str:
    """A value of a payload as JSON, cut where it is long."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
