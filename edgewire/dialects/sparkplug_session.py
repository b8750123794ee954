"""Is what an edge node of Sparkplug B knows from message to message: its numbers, aliases, and what it has told last.

It is sans-IO, and of one node with the devices behind it. The rules are those of chapters 4 to 6 of the specification
3.0: a message counts up over the node and its devices, a connection counts up in its will, and where a primary host is
awaited nothing is said before that is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from edgewire.dialects.base import DialectError
from edgewire.dialects.encoder import HeardCommands, Publication
from edgewire.dialects.sparkplug import (
    BD_SEQ,
    NAMESPACE,
    REBIRTH,
    SparkplugOptions,
    SparkplugTopic,
    parse_topic,
    state_topic,
)
from edgewire.dialects.sparkplug_payload import (
    SparkplugMetric,
    SparkplugType,
    alias_metric,
    mark_historical,
    metric_value,
    read_payload,
    shorten_metric,
    split_payload,
    time_metric,
    write_metric,
    write_payload,
)
from edgewire.dialects.values import read_object

REBOOT, SCAN_RATE = "Reboot", "Scan Rate"
"""Behind `Node Control/` and `Device Control/`; the latter is in milliseconds."""
MAX_COMMANDS = 20
"""In one message."""
_SEQS = 256
_T = SparkplugType
_CONTROLS: Mapping[str, SparkplugType] = MappingProxyType(
    {
        REBIRTH: _T.BOOLEAN,
        **{f"{of} Control/{REBOOT}": _T.BOOLEAN for of in ("Node", "Device")},
        **{f"{of} Control/{SCAN_RATE}": _T.INT64 for of in ("Node", "Device")},
    }
)
"""What can be written to, and its datatype."""
_CONTROL_PREFIXES = b"Node Control/", b"Device Control/"
_UNALIASED = frozenset({BD_SEQ, REBIRTH})
"""A host has to find these before it has read a birth."""

UNREADABLE = "Sparkplug command that is no Sparkplug payload"
TOO_MANY = f"Sparkplug command with more than {MAX_COMMANDS} metrics, beyond the first {MAX_COMMANDS}"
NOTHING_ASKED = "Sparkplug command without a metric"
NOT_BORN = "Sparkplug command to a metric that its birth does not have"
READ_ONLY = "Sparkplug command to a metric that cannot be written"
WRONG_TYPE = "Sparkplug command with a value of another datatype than its metric's"
NO_VALUE = "Sparkplug command without a value, or with false where true asks for something"
STATE_UNREADABLE = "state of a Sparkplug host that cannot be read"
STATE_OUTDATED = "state of a Sparkplug host with an older timestamp than the one before"


def host_topics(host_id: str | None) -> tuple[str, ...]:
    """Return where a host application tells that it is there: as 3.0 has it, and as 2.2 had it."""
    return () if host_id is None else (state_topic(host_id), f"STATE/{host_id}")


class SparkplugSession:
    """Numbers what a node and its devices say, and judges what they are told."""

    def __init__(self, options: SparkplugOptions, group: str, node: str) -> None:
        self._uses_aliases = options.aliases
        self._death_topic = f"{NAMESPACE}/{group}/NDEATH/{node}"
        self.heard_topics: Sequence[str] = host_topics(options.host_id)
        """Where the primary host tells that it is there; none where no host is awaited."""
        self._bd_seq = 0
        self._next_seq = 0
        self._is_born = False
        self._broker = ""
        self._is_host_online = False
        # The newest timestamp of the host at this broker, in ms since 1970 UTC; below 0 where there was none.
        self._host_ms = -1
        # Device, or empty for the node -> name -> alias of the metrics that a birth has told.
        self._aliases: dict[str, dict[str, int]] = {}
        self._by_alias: list[tuple[str, str]] = []
        # The last payload of each device with values of its sensor, and of what can be set.
        self._told: dict[tuple[str, bool], bytes] = {}
        # Of what is published, which is on a few topics of each device.
        self._places: dict[str, SparkplugTopic] = {}
        # Type, device and payload of what was written last, and whether it tells what can be set.
        self._writing: tuple[str, str, bytes, bool] | None = None

    @property
    def may_speak(self) -> bool:
        """Return whether no host is awaited, or that is there."""
        return self._is_host_online or not self.heard_topics

    def begin_connect(self, connects: int, broker: str) -> None:
        """Begin anew, for the connection after `connects` others, which is to `broker`."""
        self._bd_seq = connects % _SEQS
        self._is_born = self._is_host_online = False
        if broker != self._broker:
            # A host has timestamps of its own at each broker.
            self._broker, self._host_ms = broker, -1

    def write_will(self) -> bytes:
        """Return the payload of the will for this connection."""
        return write_payload(None, None, [write_metric(BD_SEQ, _T.INT64, self._bd_seq)])

    def write_goodbye(self) -> Publication | None:
        """Return the death of the node, which it says itself as it goes; None where it was not born."""
        if not self._is_born:
            return None
        return Publication(self._death_topic, self.write_will(), retain=False, qos=1)

    # -- what it hears

    def hear_state(self, topic: str, payload: bytes) -> HeardCommands:
        """Return what is to be done as the primary host comes or goes. Raises nothing."""
        if topic.startswith(NAMESPACE):
            try:
                said = read_object(payload)
            except DialectError:
                return HeardCommands(ignored=(STATE_UNREADABLE,))
            online, at_ms = said.get("online"), said.get("timestamp")
            if not isinstance(online, bool) or type(at_ms) is not int or at_ms < 0:
                return HeardCommands(ignored=(STATE_UNREADABLE,))
            if at_ms < self._host_ms:
                return HeardCommands(ignored=(STATE_OUTDATED,))
            self._host_ms = at_ms
        elif payload not in (b"ONLINE", b"OFFLINE"):
            return HeardCommands(ignored=(STATE_UNREADABLE,))
        elif self._host_ms >= 0:
            return HeardCommands()  # it tells the same as 3.0 has it, with a time
        else:
            online = payload == b"ONLINE"
        was_online, self._is_host_online = self._is_host_online, online
        return HeardCommands(
            begins=online and not was_online,
            leaves=was_online and not online,
            is_missed=not was_online and not online,
        )

    def hear_command(self, topic: str, payload: bytes) -> HeardCommands:
        """Return what the metrics of a command ask for, each by itself, and why others are not heeded."""
        try:
            device = parse_topic(topic).device
            read = read_payload(payload)
        except DialectError:
            return HeardCommands(ignored=(UNREADABLE,))
        if not read.metrics:
            return HeardCommands(ignored=(NOTHING_ASKED,))
        commands: list[bytes] = []
        ignored = [TOO_MANY] if len(read.metrics) > MAX_COMMANDS else []
        introduces = False
        for metric in read.metrics[:MAX_COMMANDS]:
            found = self._judge(metric, device)
            if isinstance(found, str):
                ignored.append(found)
            elif (name := found[0]) == REBIRTH:
                introduces = True
            else:
                commands.append(write_payload(None, None, [write_metric(name, _CONTROLS[name], found[1])]))
        return HeardCommands(commands, ignored, introduces=introduces)

    def _judge(self, metric: SparkplugMetric, device: str) -> tuple[str, int | bool] | str:
        """Return the name of what is to be set, and its value; or why that is not heeded."""
        name = metric.name
        if name is None and metric.alias is not None and 0 < metric.alias <= len(self._by_alias):
            owner, name = self._by_alias[metric.alias - 1]
            name = name if owner == device else None
        if name is None or name not in self._aliases.get(device, ()):
            return NOT_BORN
        datatype = _CONTROLS.get(name)
        if datatype is None:
            return READ_ONLY
        if metric.datatype and (metric.datatype == _T.BOOLEAN) != (datatype == _T.BOOLEAN):
            return WRONG_TYPE
        try:
            value = metric_value(metric, datatype, name)
        except DialectError:
            return WRONG_TYPE
        if value is None or value is False:
            return NO_VALUE
        return (name, value) if isinstance(value, int) else WRONG_TYPE

    # -- what it says

    def write(self, topic: str, payload: bytes, now_ms: int, *, is_past: bool, is_damaged: bool) -> bytes:
        """Return a payload with its number and the time at which it leaves; that of a birth with what was told last."""
        place = self._places.get(topic)
        if place is None:
            place = self._places[topic] = parse_topic(topic)
        if place.type == "NDEATH":
            self._writing = None
            return payload
        seq = 0 if place.type == "NBIRTH" else self._next_seq
        self._next_seq = seq
        if is_damaged:
            self._writing = place.type, place.device, b"", False
            # An unfinished number at its end: nobody takes it for another value.
            return payload + b"\xff"
        is_set = False
        match place.type:
            case "NBIRTH" | "DBIRTH":
                written: Iterable[bytes] = self._write_birth(place.device, read_payload(payload).metrics, now_ms)
            case "NDATA" | "DDATA":
                metrics = split_payload(payload)
                is_set = metrics[0][0].startswith(_CONTROL_PREFIXES)
                written = self._write_data(place.device, metrics, now_ms, is_past=is_past)
            case _:
                written = ()
        self._writing = place.type, place.device, payload, is_set
        return write_payload(now_ms, seq, written)

    def on_sent(self) -> None:
        """Count what `write` has returned last, and remember what it has told."""
        if self._writing is None:
            return
        kind, device, payload, is_set = self._writing
        self._writing = None
        self._next_seq = (self._next_seq + 1) % _SEQS
        if kind == "NBIRTH":
            self._is_born = True
        elif kind in ("NDATA", "DDATA") and payload:
            self._told[device, is_set] = payload

    def _write_birth(self, device: str, metrics: Sequence[SparkplugMetric], now_ms: int) -> list[bytes]:
        aliases = self._aliases.setdefault(device, {})
        last = {
            metric.name: metric
            for is_set in (False, True)
            for metric in read_payload(self._told.get((device, is_set), b"")).metrics
        }
        written: list[bytes] = []
        for one in metrics:
            name = one.name or ""
            metric = last.get(name, one)
            said = metric.written if metric.timestamp is not None else time_metric(metric.written, now_ms)
            if name == BD_SEQ:
                said = write_metric(BD_SEQ, _T.INT64, self._bd_seq, timestamp=now_ms)
            if name not in aliases:
                self._by_alias.append((device, name))
                aliases[name] = len(self._by_alias)
            if self._uses_aliases and name not in _UNALIASED:
                said = alias_metric(said, aliases[name])
            written.append(said)
        return written

    def _write_data(
        self, device: str, metrics: Sequence[tuple[bytes, bytes, bool]], now_ms: int, *, is_past: bool
    ) -> list[bytes]:
        aliases = self._aliases.get(device, {}) if self._uses_aliases else {}
        written: list[bytes] = []
        for name, metric, has_time in metrics:
            said = shorten_metric(metric, aliases.get(name.decode()))
            if not has_time:
                said = time_metric(said, now_ms)
            written.append(mark_historical(said) if is_past else said)
        return written
