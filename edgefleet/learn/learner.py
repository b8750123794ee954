"""Learns a fleet of what was heard: recognises, groups, and learns interval, payload and values of each group."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from edgefleet.learn.change_beat import learn_change_beat
from edgefleet.learn.correlation import correlate_fields
from edgefleet.learn.intervals import Beat, learn_beat, split_by_beat
from edgefleet.learn.learned import LearnedFleet, LearnedGroup, LearnedPart
from edgefleet.learn.messages import CapturedMessage, Heard, UnusedMessages
from edgefleet.learn.payload_mapping import LearnedField, MappingLearner
from edgefleet.learn.payload_tree import PayloadTree
from edgefleet.learn.payload_values import PayloadValues, values_by_path
from edgefleet.learn.payloads import take_apart
from edgefleet.learn.recognition import NATIVE, find_discovery, recognise_dialects, recognise_native
from edgefleet.learn.seen import SeenGroup, SeenSlot
from edgefleet.learn.slot_names import FieldNames
from edgefleet.learn.topic_names import TopicNames
from edgefleet.learn.topics import ID, SITE, ParsedMessage, group_by_topics
from edgewire.dialects.registry import DIALECTS

_SAME_BEAT = 1.3
"""Messages whose intervals differ by less are of one reading."""
_OF_ANY_VALUE = frozenset({"", "state", "status", "value", "data", "tele", "stat", "telemetry", "sensor", "sensors"})
_MOST_PARTS = 8
_MOST_MESSAGES = 50
_MOST_GROUPS = 40


def learn_fleet(heard: Heard) -> LearnedFleet:
    """Return what a capture tells of devices."""
    unused = heard.unused
    names = TopicNames(heard.messages)
    natives, messages = recognise_native(heard.messages, unused)
    spoken, messages = recognise_dialects(messages, unused)
    groups = [*natives, *spoken]
    described, messages = find_discovery(messages, unused)
    parsed = _parsed(messages, unused)
    own = group_by_topics(parsed)
    for group in own:
        group.has_discovery = _is_described(group, described)
    fleet = LearnedFleet([], 1, heard.read, _seconds(heard.messages), unused, stopped_at=heard.stopped_at)
    split = [one for group in (*groups, *own) for one in _divided(group)]
    for number, group in enumerate(split, start=1):
        if number > _MOST_GROUPS:
            unused.add(f"more than {_MOST_GROUPS} groups of devices that differ", count=_count(group))
            continue
        learned = _GroupLearner(group, f"device{number}", names, unused, fleet.remarks).learn()
        if learned is not None:
            fleet.groups.append(learned)
            fleet.sites = max(fleet.sites, len(set(group.sites.values())))
    fleet.remarks.update(names.remarks)
    # A message of a gateway that says several readings counts as so many.
    fleet.read = max(fleet.read, fleet.used + unused.total)
    return fleet


def _seconds(messages: Sequence[CapturedMessage]) -> float:
    return (messages[-1].at_ms - messages[0].at_ms) / 1000 if messages else 0.0


def _count(group: SeenGroup) -> int:
    return sum(slot.count + slot.kept for slot in group.slots.values())


def _parsed(messages: Sequence[CapturedMessage], unused: UnusedMessages) -> list[ParsedMessage]:
    found = []
    for message in messages:
        try:
            found.append(ParsedMessage(message, take_apart(message.payload)))
        except ValueError as error:
            unused.add(str(error))
    return found


def _is_described(group: SeenGroup, topics: frozenset[str]) -> bool:
    """Return whether discovery describes a topic of the group."""
    patterns = [slot.topic.split("/") for slot in group.slots.values()]
    return any(
        len(levels) == len(pattern)
        and all(known == level or known in (ID, SITE) for known, level in zip(pattern, levels, strict=True))
        for levels in (topic.split("/") for topic in topics)
        for pattern in patterns
    )


def _divided(group: SeenGroup) -> list[SeenGroup]:
    """Return groups whose devices speak alike often; what changes differs from device to device, and divides none."""
    if _may_tell_changes(group) and all(learn_change_beat(slot) for slot in group.slots.values()):
        return [group]
    return split_by_beat(group)


def _may_tell_changes(group: SeenGroup) -> bool:
    """Return whether its devices may be such as tell changes alone: they have one message, and say all in it."""
    dialect = DIALECTS.get(group.dialect)
    speaks = not group.dialect or (dialect is not None and dialect.reports_on_change and not group.kind)
    return speaks and len(group.slots) == 1


class _GroupLearner:
    """Learns one group."""

    def __init__(
        self, group: SeenGroup, name: str, names: TopicNames, unused: UnusedMessages, remarks: Counter[str]
    ) -> None:
        self._group, self._name, self._names = group, name, names
        self._unused, self._remarks = unused, remarks
        self._devices = group.devices
        self._ids = {device: device.rpartition("/")[2] for device in self._devices}

    def learn(self) -> LearnedGroup | None:
        """Return what was learned; None where no device says anything twice."""
        timed: list[tuple[SeenSlot, Beat]] = []
        for slot in self._group.slots.values():
            changes = learn_change_beat(slot) if _may_tell_changes(self._group) else None
            if (beat := changes or learn_beat(slot)) is None:
                self._unused.add(
                    "said once by each device: at which interval is not seen", count=slot.count + slot.kept
                )
            else:
                timed.append((slot, beat))
                if slot.kept:
                    self._unused.add("kept by the broker from before: it tells no interval", count=slot.kept)
        clusters = _clusters(timed)
        for cluster in clusters[_MOST_PARTS:]:
            count = sum(slot.count for slot, _ in cluster)
            self._unused.add(f"more than {_MOST_PARTS} intervals of one device", count=count)
        clusters = clusters[:_MOST_PARTS]
        if not clusters:
            return None
        parts = (
            [self._whole([entry for cluster in clusters for entry in cluster])]
            if self._group.dialect
            else [self._part(cluster, number, len(clusters)) for number, cluster in enumerate(clusters, start=1)]
        )
        if any(part.is_declared and not part.fields for part in parts):
            self._unused.add("of a dialect, without a number", count=sum(part.messages for part in parts))
            return None
        config: dict[str, Any] = {}
        if self._group.dialect not in ("", NATIVE):
            options = self._group.options
            config["dialect"] = {"dialect": self._group.dialect, **options} if options else self._group.dialect
        if self._group.gateway is not None:
            config["gateway"] = dict(self._group.gateway)
        if self._group.has_discovery:
            config["discovery"] = "homeassistant"
        return LearnedGroup(self._name, self._group.dialect, len(self._devices), config, parts)

    def _whole(self, cluster: Sequence[tuple[SeenSlot, Beat]]) -> LearnedPart:
        """Return the readings of devices of a dialect, whose names and units are those of the contract."""
        group = self._group
        slots = [slot for slot, _ in cluster]
        beat = max(cluster, key=lambda entry: entry[0].count)[1]
        fields: list[LearnedField] = []
        for slot in slots:
            learner = MappingLearner(
                _CanonicalNames(), beat.interval_ms, Counter(), is_numbered=False, tells_changes="on" in beat.config
            )
            for values in values_by_path(slot.by_device):
                learner.number(values)
            fields += learner.fields
        config = beat.config | {"qos": max(slots[0].qos, key=slots[0].qos.__getitem__)}
        count = sum(slot.count for slot in slots)
        kind = group.kind or self._name
        if group.kind:
            fields = [one for one in fields if one.captured]
        else:
            correlate_fields(fields)
        return LearnedPart(kind, config, fields, beat.gaps, count, is_declared=not group.kind)

    def _part(self, cluster: Sequence[tuple[SeenSlot, Beat]], number: int, parts: int) -> LearnedPart:
        """Return the messages of a format of one's own that come at one interval."""
        beat = max(cluster, key=lambda entry: entry[0].count)[1]
        names = FieldNames(is_one_device=len(self._devices) < 2)
        fields: list[LearnedField] = []
        messages: list[dict[str, Any]] = []
        is_numbered = len(cluster) == 1 and parts == 1
        for slot, _ in cluster[:_MOST_MESSAGES]:
            topic = self._names.shown(slot.topic, len(self._devices))
            words = [level for level in topic.split("/") if not level.startswith("{") and level not in _OF_ANY_VALUE]
            names.word = words[-1] if words and topic.rpartition("}")[2].strip("/") else "value"
            learner = MappingLearner(
                names, beat.interval_ms, self._remarks, is_numbered=is_numbered, tells_changes="on" in beat.config
            )
            payload = self._payload(slot, learner)
            messages.append({"topic": topic, "payload": payload} | ({"retain": True} if slot.is_retained else {}))
            fields += learner.fields
        if len(cluster) > _MOST_MESSAGES:
            count = sum(slot.count for slot, _ in cluster[_MOST_MESSAGES:])
            self._unused.add(f"more than {_MOST_MESSAGES} topics of one device", count=count)
        qos = cluster[0][0].qos
        config: dict[str, Any] = beat.config | {"qos": max(qos, key=qos.__getitem__)}
        config |= messages[0] if len(messages) == 1 else {"messages": messages}
        if not fields:
            fields = [LearnedField("alive", {"alive": {"constant": True}}, "not sent: all that is said is the same")]
        correlate_fields(fields)
        kind = self._name if parts == 1 else f"{self._name}_{number}"
        count = sum(slot.count for slot, _ in cluster[:_MOST_MESSAGES])
        return LearnedPart(kind, config, fields, beat.gaps, count)

    def _payload(self, slot: SeenSlot, learner: MappingLearner) -> Any:
        found = values_by_path(slot.by_device)
        tree = PayloadTree(len(self._devices), [one.path for one in found])
        whole = {one.path[:-1] for one in found if one.present == 1}
        for values in found:
            said = learner.learn(values, self._ids, self._group.sites)
            tree.put(values, said, may_lack=_may_lack(values, whole))
        if tree.renamed:
            self._remarks["keys of payloads were replaced: they are of one device, or no plain words"] += tree.renamed
        return {"const": None} if tree.root is None else tree.root


class _CanonicalNames(FieldNames):
    """Keeps the names of values, which are those of the contract."""

    def take(self, path: tuple[str | int, ...]) -> str:
        """Return the name of a value."""
        return str(path[-1])


def _may_lack(values: PayloadValues, whole: set[tuple[str | int, ...]]) -> bool:
    """Return whether a key is left out at times, in an object that has others then."""
    return values.present < 1 and bool(values.path) and isinstance(values.path[-1], str) and values.path[:-1] in whole


def _clusters(timed: Sequence[tuple[SeenSlot, Beat]]) -> list[list[tuple[SeenSlot, Beat]]]:
    """Return the topics of devices in groups of about the same interval, the shortest first."""
    found: list[list[tuple[SeenSlot, Beat]]] = []
    for slot, beat in sorted(timed, key=lambda entry: entry[1].interval_ms):
        if found and beat.interval_ms <= _SAME_BEAT * found[-1][0][1].interval_ms:
            found[-1].append((slot, beat))
        else:
            found.append([(slot, beat)])
    return found
