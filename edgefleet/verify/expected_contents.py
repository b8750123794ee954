"""Computes again what the devices of a run said without ids in it: the scenario decides it, and the record how much.

The same decoder that the bridge has reads it, so that what is expected is in the words of what arrives.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from bridge.message.config import SubscriptionConfig
from bridge.message.decoders import UndecodableMessage
from bridge.message.foreign import ForeignDecoder
from bridge.spool.message import SpooledMessage
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ
from devices.fleet.run_record import scenario_digest
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, Gateway, Shard
from devices.scenario.scenario import Scenario
from devices.scenario.speech import NATIVE_DIALECT, has_message_ids, spoken_messages
from devices.timeline.formats import dialect_format, make_gateway_format
from devices.timeline.gateway_format import as_device
from devices.timeline.timeline import Timeline
from devices.timeline.wire_format import WireFormat
from edgefleet.verify.bridge_rules import BridgeRules, UncertainFate, fate_gaps, rule_notes
from edgefleet.verify.message_content import content_keys, content_of, has_own_time
from edgefleet.verify.message_index import MISSING, UNSENT, Indices, MessageIndex
from edgefleet.verify.side_contents import DecodedMessage, SideContents, read_side_contents
from edgewire.clock import parse_ms
from edgewire.config import describe_error
from edgewire.dialects.payload_template import READING_MARK, with_outside_of
from edgewire.errors import EdgefleetError
from edgewire.messages.base import to_device_id
from edgewire.run_record import IntervalChange, PoweredPart, RunRecord, SideMessage, StandbySpan

_ROWS = 20_000
"""Messages that are computed at once."""
_IDS_SHOWN = 5
_UNKNOWN, _KNOWN, _LEFT_OUT, _UNREADABLE = range(4)


@dataclass(slots=True)
class ExpectedContents:
    """Holds the keys of what was sent, by the slots of an index; 0 where nothing is known of a slot."""

    whole: Indices
    moment: Indices
    """0 as well where the message has no time of its own."""
    values: Indices
    shape: Indices
    due_ms: Indices
    """By the devices' clock."""
    address: Indices
    """Which of the messages of a reading it is."""
    newest_ms: Indices
    """When the newest reading of its message was due, which may be itself."""
    devices: dict[str, int] = field(default_factory=dict)
    """The name that a device has in a sink -> the position of one of its boots in the index."""
    ids: set[str] = field(default_factory=set)
    """The ids, in the record, of all devices that speak without ids in their messages."""
    unsure: set[str] = field(default_factory=set)
    """Of those, the devices that may have said what cannot be computed."""
    gaps: list[str] = field(default_factory=list)
    """Sentences on what cannot be compared."""
    notes: list[str] = field(default_factory=list)
    sides: SideContents = field(default_factory=SideContents)
    """What may have arrived beside it."""
    _sources: "list[_Part]" = field(default_factory=list)

    def decode_side(self, message: SideMessage) -> DecodedMessage | None:
        """Return what the bridge makes of a message beside the numbered ones; None where that is no row of a sink."""
        decoded = (part.decode_side(message) for part in self._sources)
        return next((one for one in decoded if one is not None), None)

    def contents(self, index: MessageIndex, slots: Sequence[int]) -> Iterator[tuple[int, dict[str, Any], int]]:
        """Yield what was sent in some slots, computed once more: slot, content, time in ms since 1970 UTC."""
        for slot in slots:
            at = index.device_at(slot)
            device, due_ms = index.devices[at], int(self.due_ms[slot])
            wanted = device.device_id, device.boot, int(self.address[slot])
            for part in self._sources:
                spoken = part.said_at(wanted, due_ms)
                newest_ms = int(self.newest_ms[slot])
                newest = spoken if newest_ms == due_ms else part.said_at(wanted, newest_ms)
                if spoken is None or newest is None:
                    continue
                read = part.decode(spoken.beside(newest))
                if read is not None:
                    yield slot, content_of(read.fields), read.time_ms


class _Spoken(NamedTuple):
    device: Device
    position: int
    boot: int
    seq: int
    address: int
    due_ms: int
    payload: bytes
    newest_ms: int
    """When the newest reading of its message was due."""

    def beside(self, newest: "_Spoken") -> "_Spoken":
        """Return it as it is read in the message whose newest reading is given."""
        if READING_MARK not in self.payload:
            return self
        return self._replace(payload=with_outside_of(self.payload, newest.payload), newest_ms=newest.due_ms)


class _Part:
    """Holds a part of the fleet, which was powered on at one moment."""

    def __init__(
        self,
        scenario: Scenario,
        powered: PoweredPart,
        decoders: Mapping[int, "_Decoders | BridgeRules"],
        spans: Sequence[StandbySpan],
        renames: Mapping[tuple[str, int], Sequence[tuple[int, str]]],
    ) -> None:
        """`spans` are those in which real sensors were in the places of devices, of this part and maybe of others.

        `renames` are the names that devices were called by instead of their ids, by id and boot.
        """
        power_on_ms, later = powered.power_on_ms, powered.device_ids
        # Who came as the run went on was dealt to the shards in another way.
        shard = Shard(*powered.shard) if later is None else None
        only = None if later is None else frozenset(later)
        self.timeline = Timeline(scenario, power_on_ms, shard, in_dialects=True, only=only)
        line = self.timeline
        positions = {device.device_id: position for position, device in enumerate(line.devices)}
        for device_id, boot in powered.boots.items():
            line.overrides.begin_boot(positions[device_id], powered.begun_ms, boot)
        self._positions = positions
        self.left_out: Counter[str] = Counter()
        """The rules by which the bridge leaves something out, with how much that was."""
        self.dead_letters: Counter[str] = Counter()
        self._replay(powered, spans)
        self.decoders = [decoders.get(id(line.device_group(position))) for position in range(len(line.devices))]
        self._topics = [
            line.wire_format(position).topics(device) if self.decoders[position] else ()
            for position, device in enumerate(line.devices)
        ]
        self._renames = renames
        self._topics_by_name: dict[tuple[int, str], Sequence[str]] = {}
        self._introduce(scenario, power_on_ms)

    def _replay(self, powered: PoweredPart, spans: Sequence[StandbySpan]) -> None:
        """Change the schedules as the run did: the interval at a reload, and the boot at a return."""
        overrides, positions = self.timeline.overrides, self._positions
        changes: list[tuple[int, IntervalChange | StandbySpan]] = [(one.at_ms, one) for one in powered.intervals]
        # What was withheld until then has numbers that the record does not have.
        changes += [(one.to_ms, one) for one in spans if one.to_ms is not None and one.device_id in positions]
        for at_ms, change in sorted(changes, key=lambda one: one[0]):
            if isinstance(change, IntervalChange):
                for device_id in change.device_ids:
                    overrides.set_interval(positions[device_id], change.interval_ms, at_ms)
            elif change.boot is not None:
                overrides.begin_boot(positions[change.device_id], at_ms, change.boot)

    def decode_side(self, message: SideMessage) -> DecodedMessage | None:
        """Return what the bridge makes of a message beside the numbered ones; None where that is no row of a sink."""
        position = self._positions.get(message.device_id)
        decoders = None if position is None else self.decoders[position]
        if position is None or decoders is None:
            return None
        topics = self._topics[position]
        address = topics.index(message.topic) if message.topic in topics else 0
        try:
            said = _message(message.topic, message.payload.encode("latin-1"), message.at_ms)
            event = decoders.of(address).decode_event(said)
        except (UndecodableMessage, UnicodeEncodeError):
            return None
        return None if isinstance(event, str) else _read(event)

    def said_at(self, wanted: tuple[str, int, int], at_ms: int) -> _Spoken | None:
        """Return what a device says at an instant in a boot at an address; None where that is nothing."""
        # Numbers may be counted from where one begins to ask.
        spoken = self._readings(at_ms, at_ms + 1)
        return next((one for one in spoken if (one.device.device_id, one.boot, one.address) == wanted), None)

    def said(self, from_ms: int, to_ms: int, was_emitted: Callable[[_Spoken], bool]) -> Iterator[_Spoken]:
        """Yield what is said without ids in a window of the devices' time.

        Of several readings in one message each as it is read, beside the newest that `was_emitted`.
        """
        together: dict[tuple[int, int], tuple[tuple[int, int], list[_Spoken]]] = {}
        for spoken in self._readings(from_ms, to_ms):
            options = self.timeline.wire_format(spoken.position).options
            rule = None if options is None else options[spoken.address].batch
            if rule is None:
                yield spoken
                continue
            if not was_emitted(spoken):
                continue
            key, message = (spoken.position, spoken.address), (spoken.boot, rule.first_of(spoken.seq))
            before = together.get(key)
            if before is not None and before[0] == message:
                before[1].append(spoken)
                continue
            together[key] = message, [spoken]
            if before is not None:
                yield from _as_read(before[1])
        for _, readings in together.values():
            yield from _as_read(readings)

    def _readings(self, from_ms: int, to_ms: int) -> Iterator[_Spoken]:
        step = max(1, round(_ROWS / self.timeline.rate_per_s * 1000))
        for begin in range(from_ms, to_ms, step):
            # What a fault has lost has a number as well.
            batch = self.timeline.batch(begin, min(begin + step, to_ms), lost=True)
            rows = zip(batch.device, batch.boot, batch.seq, batch.address, batch.due_ms, batch.payload, strict=True)
            for position, boot, seq, address, due_ms, payload in rows:
                if payload and seq != NO_SEQ and self.decoders[position] is not None:
                    device = self.timeline.devices[position]
                    yield _Spoken(device, position, boot, seq, address, due_ms, payload, due_ms)

    def decode(self, spoken: _Spoken) -> DecodedMessage | None:
        """Return what the bridge makes of a message; None where it leaves it out. Raises `UndecodableMessage`."""
        decoders = self.decoders[spoken.position]
        assert decoders is not None
        topic = self._topics_of(spoken)[spoken.address]
        try:
            event = decoders.of(spoken.address).decode_event(
                _message(topic, self._as_sent(spoken, decoders), spoken.due_ms)
            )
        except UndecodableMessage as error:
            self.dead_letters[str(error)] += 1
            raise
        if isinstance(event, str):
            self.left_out[event] += 1
            return None
        return _read(event)

    def _as_sent(self, spoken: _Spoken, decoders: "_Decoders | BridgeRules") -> bytes:
        """Return a payload as whoever decodes it has it: a bridge in the encoding in which it is sent."""
        options = self.timeline.wire_format(spoken.position).options
        encoding = None if options is None else options[spoken.address].encoding
        if encoding is None or not isinstance(decoders, BridgeRules):
            return spoken.payload
        return encoding.from_json(spoken.payload)

    def _topics_of(self, spoken: _Spoken) -> Sequence[str]:
        """Return the topics of a device as it was called when it said something."""
        position, names = spoken.position, self._renames.get((spoken.device.device_id, spoken.boot), ())
        name = next((name for seq, name in reversed(names) if seq <= spoken.seq), None)
        if name is None:
            return self._topics[position]
        if (found := self._topics_by_name.get((position, name))) is None:
            spoken_format = dialect_format(self.timeline.wire_format(position))
            self._topics_by_name[position, name] = found = spoken_format.topics_as(spoken.device, name)
        return found

    def _introduce(self, scenario: Scenario, power_on_ms: int) -> None:
        """Let the decoders hear how the devices describe themselves, as the bridge does before their first reading."""
        line = self.timeline
        builds = {id(group): scenario.build(group) for group in scenario.devices}
        names: dict[str, set[str]] = {}
        for (device_id, _), renames in self._renames.items():
            names.setdefault(device_id, set()).update(name for _, name in renames)
        gateways: dict[Gateway, list[Device]] = {}
        for device in line.devices:
            if device.gateway is not None:
                # By all the names that it has had, as its gateway lists it.
                called = [device, *(replace(device, device_id=name) for name in names.get(device.device_id, ()))]
                gateways.setdefault(device.gateway, []).extend(called)
        for position, device in enumerate(line.devices):
            decoders = self.decoders[position]
            if decoders is None or not decoders.learns:
                continue
            group, spoken = line.device_group(position), line.wire_format(position)
            told: list[tuple[Device, WireFormat]] = [(device, spoken)]
            if device.gateway is not None and (behind := gateways.pop(device.gateway, None)):
                told.append((as_device(device.gateway), make_gateway_format(group, behind, spoken)))
            for speaker, wire_format in told:
                firmware = Firmware(speaker.device_id, speaker.key, line.boot, power_on_ms, builds[id(group)])
                for one in wire_format.status(speaker, firmware.status("online", power_on_ms)):
                    with suppress(UndecodableMessage):
                        decoders.of(0).decode_event(_message(one.topic, one.payload, power_on_ms, retain=one.retain))


def _as_read(readings: Sequence[_Spoken]) -> Iterator[_Spoken]:
    """Yield the readings of one message, each as it is read there."""
    for one in readings:
        yield one.beside(readings[-1])


def _read(event: tuple[Any, ...]) -> DecodedMessage:
    _, name, _, timestamp, body = event
    return DecodedMessage(name, parse_ms(timestamp), orjson.loads(body or b"{}"))


class _Decoders:
    """Holds what reads the messages of a group, by their addresses."""

    def __init__(self, group: DeviceGroup) -> None:
        """Raises `ValueError` for messages that no mapping reads."""
        encoder = group.make_encoder()
        assert encoder is not None
        self.learns = group.dialect != NATIVE_DIALECT
        if self.learns:
            self._by_address = [_decoder(group, group.dialect)]
            return
        templates = [one for messages in spoken_messages(group.kind, encoder).values() for one in messages]
        self._by_address = [_decoder(group, {"topic": one.topic, "payload": one.payload}) for one in templates]

    def of(self, address: int) -> ForeignDecoder:
        return self._by_address[0] if self.learns else self._by_address[address]


def _decoder(group: DeviceGroup, decode: str | dict[str, Any]) -> ForeignDecoder:
    config = SubscriptionConfig(filter="#", decode=decode, timezone=group.timezone)
    return ForeignDecoder(config, config.make_decoder())


def _message(topic: str, payload: bytes, at_ms: int, *, retain: bool = False) -> SpooledMessage:
    return SpooledMessage(1, at_ms, topic, payload, 1, retain, dup=False)


def expect_contents(record: RunRecord, index: MessageIndex, rules: BridgeRules | None = None) -> ExpectedContents:
    """Return what was said without ids in a run whose record has its scenario; leaves out of `index` what is not known.

    With the `rules` of a bridge all but the message contract is read by them, what has ids as well. Takes some 30 µs a
    message.
    """
    whole, moment, values, shape, due_ms, address, newest = (np.zeros(len(index), np.int64) for _ in range(7))
    expected = ExpectedContents(whole, moment, values, shape, due_ms, address, newest)
    try:
        scenario = Scenario.model_validate(record.spoken)
    except (ValidationError, EdgefleetError) as error:
        reason = describe_error(error) if isinstance(error, ValidationError) else str(error)
        return _nothing_known(expected, index, f"the scenario in the record cannot be read: {reason}")
    if record.scenario_sha256 and scenario_digest(scenario) != record.scenario_sha256:
        said = "the scenario in the record is not the one that was run; is a variable EDGEFLEET_… set here?"
        return _nothing_known(expected, index, said)
    unreadable: dict[str, str] = {}
    renames = {(one.device_id, one.boot): one.renames for one in record.devices if one.renames}
    state = np.zeros(len(index), np.uint8)
    try:
        for powered in record.powered:
            of_part = scenario
            if powered.device_ids is not None:
                if powered.spoken is None:  # all that came then has ids
                    continue
                of_part = Scenario.model_validate(powered.spoken)
            decoders, silent = _make_decoders(of_part, unreadable, rules)
            part = _Part(of_part, powered, decoders, _spans_of(record, powered), renames)
            expected._sources.append(part)
            line = part.timeline
            for position, device in enumerate(line.devices):
                if id(line.device_group(position)) in silent or part.decoders[position] is not None:
                    expected.ids.add(device.device_id)
            _compute(part, powered.begun_ms, record, index, expected, state)
    except (ValidationError, EdgefleetError, KeyError) as error:
        return _nothing_known(expected, index, f"what was sent cannot be computed again: {error}")
    expected.sides = read_side_contents(record, expected.ids, expected.devices, expected.decode_side)
    for where, reason in unreadable.items():
        expected.gaps.append(f"{where}: no decoder reads what its devices say, and so it is not compared: {reason}")
    _account(index, expected, state, has_reason=bool(unreadable))
    _tell_of_rules(expected, rules)
    return expected


def _tell_of_rules(expected: ExpectedContents, rules: BridgeRules | None) -> None:
    """Say by which rules something is not there."""
    left_out = sum((part.left_out for part in expected._sources), Counter[str]())
    dead_letters = sum((part.dead_letters for part in expected._sources), Counter[str]())
    if rules is None:
        if left_out:
            expected.notes.append(f"{left_out.total():,} readings without any value are left out by the bridge's rule")
        if dead_letters:
            said = f"{dead_letters.total():,} messages cannot be read in their own format: they are dead letters"
            expected.notes.append(said)
        return
    uncertain: Counter[str] = Counter(
        {rule: count for rule, count in left_out.items() if isinstance(rule, UncertainFate)}
    )
    expected.gaps += fate_gaps(uncertain)
    expected.notes += rule_notes(left_out - uncertain)
    for reason, count in dead_letters.most_common(_IDS_SHOWN):
        expected.notes.append(f"{count:,} are dead letters: {reason}")


def _spans_of(record: RunRecord, powered: PoweredPart) -> list[StandbySpan]:
    """Return the spans of a part's devices, and maybe of others; one that left and came again was in two parts."""
    begun: dict[str, list[int]] = {}
    for part in record.powered:
        for device_id in part.device_ids or ():
            begun.setdefault(device_id, []).append(part.begun_ms)
    own = None if powered.device_ids is None else powered.begun_ms
    return [
        span
        for span in record.standby
        if own == max((at_ms for at_ms in begun.get(span.device_id, ()) if at_ms <= span.from_ms), default=None)
    ]


def _make_decoders(
    scenario: Scenario, unreadable: dict[str, str], rules: BridgeRules | None
) -> tuple[dict[int, "_Decoders | BridgeRules"], set[int]]:
    """Return what reads each group without ids, and the groups that nothing reads, by their `id`."""
    decoders: dict[int, _Decoders | BridgeRules] = {}
    silent: set[int] = set()
    for number, group in enumerate(scenario.devices):
        encoder = group.make_encoder()
        if encoder is not None and rules is not None:
            decoders[id(group)] = rules
            continue
        if encoder is None or has_message_ids(group.kind, encoder):
            continue
        try:
            decoders[id(group)] = _Decoders(group)
        except ValueError as error:
            reason = describe_error(error) if isinstance(error, ValidationError) else str(error)
            unreadable[f"devices[{number}]"] = reason
            silent.add(id(group))
    return decoders, silent


def _compute(
    part: _Part,
    begun_ms: int,
    record: RunRecord,
    index: MessageIndex,
    expected: ExpectedContents,
    state: NDArray[np.uint8],
) -> None:
    """Enter the keys of what a part of the fleet said."""
    ledger = index.empty_ledger()
    ends = index.device_time.device_ms(record.stopped_ms - record.started_ms + 1000)
    places: dict[tuple[int, int], int] = {}

    def slot_of(spoken: _Spoken) -> tuple[int, int]:
        """Return the position of its boot in the index, and its slot; -1 where it was not emitted."""
        key = spoken.position, spoken.boot
        at = places.get(key, -2)
        if at == -2:
            at = places[key] = index.position_of(spoken.device.device_id, spoken.boot)
        if at < 0:
            return at, -1
        slot = int(index.start[at]) + spoken.seq - int(index.first_seq[at])
        return at, slot if index.start[at] <= slot < index.start[at + 1] else -1

    for spoken in part.said(begun_ms, ends, lambda one: slot_of(one)[1] >= 0):
        at, slot = slot_of(spoken)
        if slot < 0 or ledger[slot] not in (MISSING, UNSENT):
            continue
        changed_ms = index.devices[at].changed_ms
        if changed_ms is not None and spoken.due_ms >= changed_ms:
            continue
        expected.due_ms[slot], expected.address[slot] = spoken.due_ms, spoken.address
        expected.newest_ms[slot] = spoken.newest_ms
        try:
            read = part.decode(spoken)
        except UndecodableMessage:
            state[slot] = _UNREADABLE
            continue
        if read is None:
            state[slot] = _LEFT_OUT
            continue
        state[slot] = _KNOWN
        expected.devices.setdefault(read.name, at)
        keys = content_keys(read.name, read.time_ms, content_of(read.fields))
        expected.values[slot], expected.shape[slot] = keys.values, keys.shape
        if has_own_time(read.fields):
            expected.whole[slot], expected.moment[slot] = keys.whole, keys.moment


def _account(index: MessageIndex, expected: ExpectedContents, state: NDArray[np.uint8], *, has_reason: bool) -> None:
    """Leave out of the index what cannot be compared, and say so."""
    ledger = index.empty_ledger()
    unknown: dict[str, int] = {}
    omitted: list[Indices] = []
    for at, device in enumerate(index.devices):
        if device.device_id not in expected.ids:
            continue
        expected.devices.setdefault(to_device_id(device.device_id), at)
        first, end = int(index.start[at]), int(index.start[at + 1])
        own, is_sent = state[first:end], np.isin(ledger[first:end], (MISSING, UNSENT))
        if missing := int(np.count_nonzero(is_sent & (own == _UNKNOWN))):
            unknown[device.device_id] = unknown.get(device.device_id, 0) + missing
        omitted.append(first + np.flatnonzero(is_sent & ((own == _UNKNOWN) | (own == _LEFT_OUT))))
    if omitted:
        index.omit(np.concatenate(omitted))
    changed = {device.device_id for device in index.devices if device.changed_ms is not None}
    expected.unsure = {*unknown, *(changed & expected.ids)}
    for names, reason in (
        ([name for name in unknown if name in changed], "a command had changed what they say"),
        ([name for name in unknown if name not in changed], "the scenario does not have them at these numbers"),
    ):
        if names and not (has_reason and reason.startswith("the scenario")):
            count = sum(unknown[name] for name in names)
            more = ", …" if len(names) > _IDS_SHOWN else ""
            expected.gaps.append(
                f"{count:,} messages of {', '.join(names[:_IDS_SHOWN])}{more} have no ids and cannot be computed "
                f"again, as {reason}: whether they arrived is not compared"
            )


def _nothing_known(expected: ExpectedContents, index: MessageIndex, said: str) -> ExpectedContents:
    index.omit(np.flatnonzero(np.isin(index.empty_ledger(), (MISSING, UNSENT))))
    expected.gaps.append(f"{said}. So nothing that was sent is compared with what arrived")
    return expected
