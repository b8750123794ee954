"""Decides where a message goes: a pure table from topic and payload to the targets of each sink.

This is the first place that looks into a message, through its decoder (`bridge.message.decoders`). Whatever is wrong
with its topic or payload comes out as `Unroutable` with the reason, which becomes a dead letter; it is never an error
and never touches another message.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.message.config import NATIVE_FORMAT, RAW_FORMAT, SubscriptionConfig
from bridge.message.decoders import NATIVE, MessageDecoder, UndecodableMessage, preview_value
from bridge.message.event import TopicInfo
from bridge.message.foreign import DeviceCounters, ForeignDecoder, OnDescribed, foreign_decoders
from bridge.message.user_properties import expires_ms
from bridge.routing.config import RouteConfig
from bridge.routing.routed import Dropped, Route, RoutedEvent, Unroutable
from bridge.routing.validation import PayloadValidator
from bridge.sinks.registry import SINKS
from bridge.sinks.settings import Target
from bridge.spool.message import SpooledMessage
from edgewire.dialects.base import DialectError
from edgewire.dialects.encodings import Encoding, find_encoding
from edgewire.errors import ConfigError
from edgewire.messages import ACCEPTED, Channel, ContractError
from edgewire.messages.declared import open_contract
from edgewire.mqtt.filters import covers, filter_matches, overlap

KNOWN_TOPICS = 100_000
"""Topics remembered with their routes; a fleet has two or three a device."""

OnInvalid = Callable[[str, str], None]
"""Called with the filter of a route and "warn" or "reject", once for each message that its validator refuses."""


@dataclass(frozen=True, slots=True)
class _TopicRoutes:
    """Holds what topics say, with the rows whose filter they match. Topics that differ in the device alone share it."""

    info: TopicInfo
    candidates: tuple[Route, ...]
    encoding: Encoding | None = None
    """Of its payloads; None for JSON."""


class _DropAll(NamedTuple):
    """Says that whatever comes on a topic is dropped, unread."""

    rule: str


class RouteTable:
    """Finds the route of a message. The first row whose filter and match fit decides."""

    def __init__(
        self,
        routes: Sequence[RouteConfig] = (),
        decoder: MessageDecoder = NATIVE,
        subscriptions: Sequence[SubscriptionConfig] = (),
    ) -> None:
        """Make the table of `routes`, or without any that of the message contract.

        What comes by one of `subscriptions` is read as that says, and everything else by `decoder`.
        """
        self._decode_topic = decoder.decode_topic
        self._decode_message = decoder.decode_message
        self.on_invalid: OnInvalid | None = None
        self._routes = tuple(_route(row) for row in routes or contract_routes())
        # For a device the garbage collector gets nothing to look at here: texts, and what many devices share.
        self._topics: dict[str, _TopicRoutes | ForeignDecoder | str | _DropAll] = {}
        self._device_ids: dict[str, str] = {}  # of the topics of the message contract
        self._shared_routes: dict[_TopicRoutes, _TopicRoutes] = {}
        self._shared_candidates: dict[tuple[Route, ...], tuple[Route, ...]] = {}
        self._foreign = foreign_decoders(subscriptions)
        self._foreign_routes: dict[tuple[str, ...], tuple[Route, ...]] = {}
        self._encodings = [
            (one.plain_filter, find_encoding(one.encoding)) for one in subscriptions if one.format == NATIVE_FORMAT
        ]
        self._counters: DeviceCounters | None = None
        self._counted = 0  # the newest message in another encoding that they were told of
        self._last_invalid = 0  # the newest message counted as invalid: each sink that is behind asks again

    def restore(
        self, spool_boot: int, descriptions: Mapping[str, str], on_described: OnDescribed | None = None
    ) -> None:
        """Give messages without an identity of their own one by the spool, and known descriptions to the decoders.

        `on_described` is called with each description that comes and is not yet known: topic and payload.
        """
        for decoder in self._foreign:
            mine = [
                (topic, payload)
                for topic, payload in descriptions.items()
                if filter_matches(decoder.config.plain_filter, topic)
            ]
            decoder.restore(spool_boot, mine)
            decoder.on_described = on_described

    def tell_counters(self, counters: DeviceCounters) -> None:
        """Tell of the numbers and times that devices of other formats give their messages."""
        self._counters = counters
        for decoder in self._foreign:
            decoder.counters = counters

    def targets_in(self, sink: str) -> list[Target]:
        """Return where the routes lead in one sink."""
        return [route.targets[sink] for route in self._routes if sink in route.targets]

    @property
    def validated(self) -> list[tuple[str, str]]:
        """Return the filters of the routes that have a validator, and what it does: what `on_invalid` may be told."""
        return [(route.filter, route.validator.level) for route in self._routes if route.validator]

    def check_sinks(self, sinks: Collection[str]) -> None:
        """Raise `ConfigError` for a route that leads to none of `sinks`, or one of them that no route leads to."""
        for route in self._routes:
            if not route.drop and not route.targets.keys() & set(sinks):
                raise ConfigError(
                    f"route '{route.filter}' leads to no configured sink: give it {' or '.join(SINKS)}, or drop: true"
                )
        for sink in sinks:
            if not self.targets_in(sink):
                raise ConfigError(f"no route leads to the sink '{sink}': add a target to a route or remove the sink")

    def resolve(self, message: SpooledMessage) -> RoutedEvent | Unroutable | Dropped:
        """Return the message with its route, or why it goes nowhere."""
        known = self._topics.get(message.topic) or self._cache_topic(message.topic)
        if isinstance(known, ForeignDecoder):
            return self._resolve_foreign(message, known)
        if isinstance(known, str):
            return Unroutable(message, known)
        if isinstance(known, _DropAll):
            return Dropped(message, known.rule)
        info, body = known.info, None
        try:
            if known.encoding is not None:
                body = known.encoding.to_json(message.payload)
            device_id, message_id, timestamp, fields = self._decode_message(
                self._device_ids[message.topic], body or message.payload
            )
        except (UndecodableMessage, DialectError) as error:
            return Unroutable(message, str(error))
        if body is not None and self._counters is not None and message.id > self._counted:
            # Whoever looks for the numbers of a payload as it comes finds them in JSON alone.
            self._counted = message.id
            self._counters.observe_number(device_id, fields["boot"], fields["seq"])
        for route in known.candidates:
            if not route.match or route.matches(fields):
                event = RoutedEvent(message, info, device_id, message_id, timestamp, route)
                event.decoded_body = body
                if message.properties is not None:
                    event.expires_ms = expires_ms(message.properties, message.received_ms)
                return self._apply_rules(event, fields) if route.has_rules else event
        return Unroutable(message, _mismatch(str(info.topic_of(device_id)), known.candidates, fields))

    def _resolve_foreign(self, message: SpooledMessage, decoder: ForeignDecoder) -> RoutedEvent | Unroutable | Dropped:
        """Return a message of another format with its route, or why it goes nowhere."""
        try:
            found = decoder.decode_event(message)
        except UndecodableMessage as error:
            return Unroutable(message, str(error))
        if isinstance(found, str):
            return Dropped(message, found)
        info, device_id, message_id, timestamp, body = found
        key = message.topic, device_id, info.source_prefix, info.channel.value
        candidates = self._foreign_routes.get(key)
        if candidates is None:
            if len(self._foreign_routes) >= KNOWN_TOPICS:
                self._foreign_routes.clear()
            # A route may name the topic on which it came, or that of the contract which it would have had.
            candidates = self._routes_of(message.topic) or self._routes_of(str(info.topic_of(device_id)))
            self._foreign_routes[key] = candidates
        if not candidates:
            read_as = info.topic_of(device_id)
            return Unroutable(message, f"no route for topic '{message.topic}', nor for '{read_as}' as it was read")
        event = RoutedEvent(message, info, device_id, message_id, timestamp, candidates[0])
        event.decoded_body = body
        if body is None:
            event.decoded = {}  # nobody looks into bytes
        if message.properties is not None:
            event.expires_ms = expires_ms(message.properties, message.received_ms)
        for route in candidates:
            if not route.match or route.matches(event.fields):
                event.route = route
                return self._apply_rules(event, event.fields) if route.has_rules else event
        return Unroutable(message, _mismatch(message.topic, candidates, event.fields))

    def _routes_of(self, topic: str) -> tuple[Route, ...]:
        found = tuple(route for route in self._routes if filter_matches(route.filter, topic))
        if len(self._shared_candidates) >= KNOWN_TOPICS:
            self._shared_candidates.clear()
        return self._shared_candidates.setdefault(found, found)

    def _apply_rules(self, event: RoutedEvent, fields: dict[str, Any]) -> RoutedEvent | Unroutable | Dropped:
        """Return what the rules of its route make of a message."""
        route = event.route
        if route.drop:
            return Dropped(event.message, f"route '{route.filter}': drop")
        if route.sampler and not route.sampler.keep(event.device_id, event.message_id):
            return Dropped(event.message, f"route '{route.filter}': sample {route.sampler}")
        if route.reads_payload:
            event.decoded = fields
        if route.validator and (error := route.validator.error(event.topic_info.kind, fields)):
            self._count_invalid(event, route.validator.level)
            if route.validator.level == "reject":
                return Unroutable(event.message, f"schema: {error}", frozenset(route.targets))
        return event

    def _count_invalid(self, event: RoutedEvent, level: str) -> None:
        if event.message.id > self._last_invalid:
            self._last_invalid = event.message.id
            if self.on_invalid:
                self.on_invalid(event.route.filter, level)

    def _cache_topic(self, topic: str) -> _TopicRoutes | ForeignDecoder | str | _DropAll:
        if len(self._topics) >= KNOWN_TOPICS:
            for kept in (self._topics, self._device_ids, self._shared_routes):
                kept.clear()
        self._topics[topic] = known = self._examine_topic(topic)
        return known

    def _examine_topic(self, text: str) -> _TopicRoutes | ForeignDecoder | str | _DropAll:
        """Return the rows for a topic, or who reads it, or why a message on it can go nowhere."""
        candidates = self._routes_of(text)
        if candidates and candidates[0].drop and not candidates[0].match:
            return _DropAll(f"route '{candidates[0].filter}': drop")
        for decoder in self._foreign:
            if filter_matches(decoder.config.plain_filter, text):
                return decoder
        try:
            info, device_id = self._decode_topic(text)
        except ContractError as error:
            return str(error)
        if not candidates:
            return f"no route for topic '{text}'"
        self._device_ids[text] = device_id
        routes = _TopicRoutes(info, candidates, self._encoding_of(text, info))
        return self._shared_routes.setdefault(routes, routes)

    def _encoding_of(self, topic: str, info: TopicInfo) -> Encoding | None:
        """Return the encoding of the payloads of a topic: that of the first subscription which brings them."""
        if info.channel not in (Channel.TELEMETRY, Channel.EVENT):
            return None
        return next((encoding for one, encoding in self._encodings if filter_matches(one, topic)), None)


def contract_routes(kinds: Collection[str] = ()) -> tuple[RouteConfig, ...]:
    """Return the routes of `edgewire.messages.ACCEPTED`, one a type of message, to every sink there is.

    Behind them stand those of further `kinds`, of which the name alone is known.
    """
    contracts = [*ACCEPTED.values(), *(open_contract(kind) for kind in kinds if kind not in ACCEPTED)]
    return tuple(
        RouteConfig(
            topic=f"edge/+/{contract.kind}/+/{message.channel.value}",
            match={"event_type": list(message.event_types)} if message.event_types else {},
            **{name: kind.target.from_contract(contract, message) for name, kind in SINKS.items()},
        )
        for contract in contracts
        for message in contract.messages
    )


def possible_routes(subscription: SubscriptionConfig, routes: Sequence[RouteConfig]) -> list[RouteConfig]:
    """Return the rows that may take a message of a subscription: by its topic, else by the one that it is read as."""
    # Of bytes nothing is known that a row could ask for.
    rows = [row for row in routes if not (row.match and subscription.format == RAW_FORMAT)]
    found = [row for row in rows if overlap(row.topic, subscription.plain_filter)]
    if not any(covers(row.topic, subscription.plain_filter) for row in routes):
        found += [row for row in rows if row not in found and overlap(row.topic, subscription.read_as_filter)]
    return found


def _route(row: RouteConfig) -> Route:
    match = tuple(
        (name, frozenset(values if isinstance(values, list) else [values])) for name, values in row.match.items()
    )
    targets = row.targets
    reads = any(template.reads_payload for target in targets.values() for template in target.templates())
    validator = None if row.validation == "off" else PayloadValidator(row.validation, row.loaded_schema)
    has_rules = bool(row.drop or row.sample or validator or reads)
    return Route(row.topic, match, targets, row.drop, row.sample, validator, reads, has_rules, row.expired)


def _mismatch(topic: str, candidates: Sequence[Route], fields: Mapping[str, Any]) -> str:
    names = dict.fromkeys(name for route in candidates for name, _ in route.match)
    values = ", ".join(f"{name} {preview_value(fields.get(name))}" for name in names)
    return f"no route of topic '{topic}' takes {values}"
