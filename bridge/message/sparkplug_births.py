"""Knows what Sparkplug nodes have said at their births, and makes their messages tell it themselves.

Data says numbers where the birth has said names. As a message is received, it gets the names and datatypes of the
births that came before it, and is taken apart where it tells of several times: so a sink that is behind reads it as one
that is not, however often the node has been born since. What no birth names is spooled as it came, and becomes a dead
letter. The rules are those of chapters 4 and 5 of the specification 3.0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from bridge.message.foreign import DeviceCounters
from bridge.message.user_properties import with_reading_place
from bridge.spool.message import SpooledMessage
from edgewire.dialects.base import DialectError
from edgewire.dialects.sparkplug import (
    BD_SEQ,
    BIRTHS,
    DATA,
    NAMESPACE,
    SparkplugTopic,
    is_control,
    parse_topic,
    reading_groups,
)
from edgewire.dialects.sparkplug_payload import (
    SparkplugMetric,
    SparkplugPayload,
    mark_historical,
    name_metric,
    read_payload,
    write_payload,
)

MAX_NODES = 10_000
MAX_KNOWN_METRICS = 1_000_000
"""Of all births together."""
_MOST_MISSING = 256
_SEQS = 256
_REPEATED = 6
"""A number so little below the one expected is one that came before; what is farther off is a gap."""


@dataclass(slots=True)
class _Birth:
    """Holds what a node, or one of its devices, has said that it has."""

    by_alias: dict[int, str] = field(default_factory=dict)
    datatypes: dict[str, int | None] = field(default_factory=dict)


@dataclass(slots=True)
class _Node:
    """Holds what is known of a node."""

    births: dict[str, _Birth] = field(default_factory=dict)
    """By device; the node's own under an empty name."""
    bd_seq: int | None = None
    boot: int = 0
    """When it was born, or first heard, in milliseconds since 1970: greater each time."""
    next_seq: int = -1
    """Counted on over 255; below 0 where it is not known."""
    missing: dict[int, float] = field(default_factory=dict)
    """Number that was left out -> when that was seen."""
    told: dict[tuple[str, str], int] = field(default_factory=dict)
    """Device and metric -> time of the newest value: a birth tells it again."""
    told_before: int = -1
    """The newest time that was told in an earlier run."""

    @property
    def is_born(self) -> bool:
        """Say whether its own birth was received, and no death since."""
        return "" in self.births


class SparkplugBirths:
    """Reads each message of Sparkplug nodes once, as it is received, and knows which nodes have to be born again."""

    def __init__(self, counters: DeviceCounters | None = None) -> None:
        """Take who is told of the nodes' own numbers."""
        self._counters = counters
        self._nodes: dict[str, _Node] = {}
        self._known_metrics = 0
        self.changed: set[str] = set()
        """Nodes whose births are others than before, for who keeps them."""
        self.unknown: dict[str, str] = {}
        """Node -> why it is to be asked for its births."""

    def restore(self, kept: Mapping[str, str]) -> None:
        """Take in what `dump_node` said in an earlier run, by node."""
        for name, text in kept.items():
            node = self._node(name)
            document = orjson.loads(text)
            node.bd_seq = document["bdSeq"]
            node.told_before = document.get("told", -1)
            for device, metrics in document["births"].items():
                birth = _Birth()
                for metric, datatype, alias in metrics:
                    _learn_metric(birth, metric, datatype, alias)
                self._keep_birth(name, node, device, birth)
        self.changed.clear()

    def dump_node(self, name: str) -> str | None:
        """Return what is known of a node as a text; None where it is not born."""
        node = self._nodes.get(name)
        if node is None or not node.births:
            return None
        births = {
            device: [
                [metric, datatype, aliases.get(metric)]
                for aliases in [{metric: alias for alias, metric in birth.by_alias.items()}]
                for metric, datatype in birth.datatypes.items()
            ]
            for device, birth in node.births.items()
        }
        told = max(node.told_before, *node.told.values())
        return orjson.dumps({"bdSeq": node.bd_seq, "births": births, "told": told}).decode()

    @property
    def nodes(self) -> list[str]:
        """Return the nodes that are known."""
        return list(self._nodes)

    def name_metrics(self, message: SpooledMessage, now_s: float) -> list[SpooledMessage]:
        """Return a message as it can be read without its births, in as many parts as it tells of times."""
        try:
            place = parse_topic(message.topic)
            payload = read_payload(message.payload)
        except DialectError:
            return [message]  # its dead letter says why
        if place.type in BIRTHS:
            return self._on_birth(message, place, payload, now_s)
        if place.type in DATA:
            return self._on_data(message, place, payload, now_s)
        if place.type == "NDEATH":
            return self._on_node_death(message, place, payload)
        if place.type == "DDEATH" and not message.retain:
            node = self._node(place.node_name)
            self._count(place.node_name, node, payload, message, now_s)
            self._forget_birth(place.node_name, node, place.device)
        return [message]

    def take_overdue(self, older_than_s: float) -> None:
        """Have those nodes asked for their births of which something is missing since then."""
        for name, node in self._nodes.items():
            if node.missing and min(node.missing.values()) <= older_than_s:
                node.missing.clear()
                self.unknown.setdefault(name, "numbers are missing")

    # -- what the types of messages mean

    def _on_birth(
        self, message: SpooledMessage, place: SparkplugTopic, payload: SparkplugPayload, now_s: float
    ) -> list[SpooledMessage]:
        name = place.node_name
        node = self._node(name)
        if message.retain and place.device in node.births:
            return [message]  # births are not retained: this one may be older than what is known
        if not place.device:
            self._begin_session(name, node, payload, message)
        elif not message.retain:
            self._count(name, node, payload, message, now_s)
            if not node.is_born:
                self.unknown.setdefault(name, "a device is born, and its node is not")
        birth = _Birth()
        for metric in payload.metrics:
            if metric.name is not None:
                _learn_metric(birth, metric.name, metric.datatype, metric.alias)
        self._keep_birth(name, node, place.device, birth)
        # A birth tells values again that data has told; those are no readings.
        said = [
            metric for metric in payload.metrics
            if is_control(metric) or metric.name is None or self._is_new(node, place, metric, payload)
        ]  # fmt: skip
        return _parts(message, payload._replace(metrics=said), is_changed=len(said) < len(payload.metrics))

    def _begin_session(self, name: str, node: _Node, payload: SparkplugPayload, message: SpooledMessage) -> None:
        session = next((one for one in payload.metrics if one.name == BD_SEQ), None)
        for device in [*node.births]:
            self._forget_birth(name, node, device)
        node.bd_seq = session.value if session is not None and type(session.value) is int else None
        node.missing.clear()
        self.unknown.pop(name, None)
        if not message.retain:
            node.boot = max(node.boot + 1, message.received_ms)
            node.next_seq = (payload.seq or 0) % _SEQS + 1
            self._observe(name, node, node.next_seq - 1)

    def _on_data(
        self, message: SpooledMessage, place: SparkplugTopic, payload: SparkplugPayload, now_s: float
    ) -> list[SpooledMessage]:
        name = place.node_name
        node = self._node(name)
        if not message.retain:
            self._count(name, node, payload, message, now_s)
        birth = node.births.get(place.device)
        if not node.is_born or birth is None:
            self.unknown.setdefault(name, "it tells values, and is not born")
        named: list[SparkplugMetric] = []
        for metric in payload.metrics:
            found = _named(metric, birth)
            if found is None:
                self.unknown.setdefault(name, f"no birth names alias {metric.alias}")
                return [message]
            named.append(found)
            self._is_new(node, place, found, payload)
        is_changed = any(one is not other for one, other in zip(named, payload.metrics, strict=True))
        return _parts(message, payload._replace(metrics=named), is_changed=is_changed)

    def _on_node_death(
        self, message: SpooledMessage, place: SparkplugTopic, payload: SparkplugPayload
    ) -> list[SpooledMessage]:
        name = place.node_name
        node = self._node(name)
        birth = node.births.get("")
        metrics = [_named(metric, birth) or metric for metric in payload.metrics]
        said = next((one.value for one in metrics if one.name == BD_SEQ), None)
        if message.retain or (node.is_born and None not in (said, node.bd_seq) and said != node.bd_seq):
            # The will of a session before this one, which comes when the broker finds that out.
            marked = [mark_historical(one.written) if one.name == BD_SEQ else one.written for one in metrics]
            return [replace(message, payload=write_payload(payload.timestamp, payload.seq, marked))]
        for device in [*node.births]:
            self._forget_birth(name, node, device)
        node.next_seq = -1
        node.missing.clear()
        return [message]

    # -- what is known

    def _node(self, name: str) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            if len(self._nodes) >= MAX_NODES:
                oldest = next(iter(self._nodes))
                for device in [*self._nodes[oldest].births]:
                    self._forget_birth(oldest, self._nodes[oldest], device)
                del self._nodes[oldest]
                self.unknown.pop(oldest, None)
            node = self._nodes[name] = _Node()
        return node

    def _keep_birth(self, name: str, node: _Node, device: str, birth: _Birth) -> None:
        self._forget_birth(name, node, device)
        if self._known_metrics + len(birth.datatypes) > MAX_KNOWN_METRICS:
            return
        self._known_metrics += len(birth.datatypes)
        node.births[device] = birth
        self.changed.add(name)

    def _forget_birth(self, name: str, node: _Node, device: str) -> None:
        birth = node.births.pop(device, None)
        if birth is not None:
            self._known_metrics -= len(birth.datatypes)
            self.changed.add(name)

    def _is_new(self, node: _Node, place: SparkplugTopic, metric: SparkplugMetric, payload: SparkplugPayload) -> bool:
        """Say whether a value is newer than all that were told of its metric, and remember it."""
        birth = node.births.get(place.device)
        at_ms = payload.timestamp if metric.timestamp is None else metric.timestamp
        if at_ms is None or metric.name is None or birth is None or metric.name not in birth.datatypes:
            return True
        key = place.device, metric.name
        is_new = at_ms > node.told.get(key, node.told_before)
        if is_new and not metric.is_null:
            if len(node.told) > MAX_KNOWN_METRICS // MAX_NODES * 50:
                node.told.clear()
            node.told[key] = at_ms
        return is_new

    # -- the nodes' own numbers

    def _count(self, name: str, node: _Node, payload: SparkplugPayload, message: SpooledMessage, now_s: float) -> None:
        """Look at the number of a message, which goes from 0 to 255 and begins anew, over a node and its devices."""
        if payload.seq is None or message.dup:
            return
        seq = payload.seq % _SEQS
        if node.next_seq < 0:
            node.boot = max(node.boot + 1, message.received_ms)
            node.next_seq = seq
        ahead = (seq - node.next_seq) % _SEQS
        late = node.next_seq + ahead - _SEQS
        if late in node.missing:
            del node.missing[late]
            self._observe(name, node, late)
            return
        if ahead > _SEQS - _REPEATED:
            return
        if ahead:
            missing = range(node.next_seq, node.next_seq + ahead)
            node.missing.update((number, now_s) for number in missing)
            while len(node.missing) > _MOST_MISSING:
                del node.missing[next(iter(node.missing))]
        node.next_seq += ahead + 1
        self._observe(name, node, node.next_seq - 1)

    def _observe(self, name: str, node: _Node, seq: int) -> None:
        if self._counters is not None:
            self._counters.observe_number(name, node.boot, seq)


def is_node_topic(topic: str) -> bool:
    """Say whether a topic may be of a node: those of hosts are read as they come."""
    return topic.startswith(f"{NAMESPACE}/") and not topic.startswith(f"{NAMESPACE}/STATE/")


def _learn_metric(birth: _Birth, name: str, datatype: int | None, alias: int | None) -> None:
    birth.datatypes[name] = datatype
    if alias is not None:
        birth.by_alias[alias] = name


def _named(metric: SparkplugMetric, birth: _Birth | None) -> SparkplugMetric | None:
    """Return a metric with its name and datatype; None where no birth names it."""
    name = metric.name
    if name is None and birth is not None and metric.alias is not None:
        name = birth.by_alias.get(metric.alias)
    if name is None:
        return None
    datatype = metric.datatype
    if not datatype and birth is not None:
        datatype = birth.datatypes.get(name)
    if name == metric.name and datatype == metric.datatype:
        return metric
    return metric._replace(name=name, datatype=datatype, written=name_metric(metric.written, name, datatype))


def _parts(message: SpooledMessage, payload: SparkplugPayload, *, is_changed: bool) -> list[SpooledMessage]:
    """Return a message for each time that a payload tells of, all with what is no measurement."""
    groups = reading_groups(payload)
    if len(groups) < 2:
        if not is_changed:
            return [message]
        return [replace(message, payload=_rewritten(payload, payload.metrics))]
    controls = [metric for metric in payload.metrics if is_control(metric)]
    return [
        replace(
            message,
            payload=_rewritten(payload, [*controls, *group]),
            properties=with_reading_place(message.properties, number, len(groups)),
        )
        for number, group in enumerate(groups, 1)
    ]


def _rewritten(payload: SparkplugPayload, metrics: Iterable[SparkplugMetric]) -> bytes:
    return write_payload(payload.timestamp, payload.seq, [metric.written for metric in metrics])
