"""Recognises the dialects of a capture, by the decoders that the bridge has for them.

A group gets a dialect where emulated devices say in it all that was seen, and nothing else; else the same topics and
payloads are told in a format of one's own.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard

import orjson

from devices.sensors.registry import KINDS
from edgefleet.learn.decoding import SPARKPLUG, Read, decode_captured
from edgefleet.learn.messages import CapturedMessage, UnusedMessages
from edgefleet.learn.privacy import is_harmless_key, is_sensitive_key, snake_case
from edgefleet.learn.seen import Scalar, SeenGroup, SeenMessage, SeenSlot
from edgefleet.learn.slot_names import is_taken
from edgefleet.learn.speaking import gateway_of, speaking_of
from edgewire.dialects.base import DialectMessage, MessageRole, Value
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.values import Path
from edgewire.messages import Channel, ContractError, Topic

NATIVE = "edgefleet"
_AIR = frozenset({"temperature_c", "humidity", "pressure_hpa"})
_SAID_BY: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "tasmota": (_AIR, frozenset({"dew_point_c"})),
    "zigbee2mqtt": (_AIR, frozenset({"link_quality"})),
    "shelly": (frozenset({"temperature_c", "humidity"}), frozenset({"rssi_dbm", "temperature_f"})),
}
"""Dialect -> the values that emulated devices say in it, and those that they say besides."""
_PLATFORMS = ("sparkplug", "thingsboard", "aws-iot", "azure-iot")
_OF_ANY_FIELDS = frozenset({"senml", "influx", *_PLATFORMS})
"""Formats in which a device says whatever it has, by its own names."""
_TAGS = frozenset({"device_id", "device", "id", "host", "site"})
"""Tags of line protocol that name the device or its site; emulated devices have no others."""
_ORDER = ("tasmota", "zigbee2mqtt", "shelly", "owntracks", "esphome", "senml", "influx", *_PLATFORMS)
_SAYING = frozenset({MessageRole.READING, MessageRole.EVENT})


def recognise_native(
    messages: Sequence[CapturedMessage], unused: UnusedMessages
) -> tuple[list[SeenGroup], list[CapturedMessage]]:
    """Return the devices that speak the message contract, and the messages of others."""
    groups: dict[str, SeenGroup] = {}
    rest = []
    for message in messages:
        try:
            topic = Topic.parse(message.topic)
        except ContractError:
            rest.append(message)
            continue
        if topic.channel not in (Channel.TELEMETRY, Channel.EVENT):
            unused.add(f"{NATIVE}: status, commands and results, which emulated devices have of themselves")
        elif topic.kind not in KINDS or KINDS.is_declared(topic.kind):
            rest.append(message)
        else:
            _take_native(groups.setdefault(topic.kind, SeenGroup(NATIVE, topic.kind)), topic, message, unused)
    return [group for group in groups.values() if group.devices], rest


def _take_native(group: SeenGroup, topic: Topic, message: CapturedMessage, unused: UnusedMessages) -> None:
    try:
        fields = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict) or "timestamp" not in fields:
        unused.add(f"{NATIVE}: the payload is none of the message contract")
        return
    leaves: dict[Path, Scalar] = {
        (name,): value
        for name, value in fields.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("boot", "seq")
    }
    slot = group.slots.setdefault(topic.channel, SeenSlot(""))
    slot.add(topic.device_id, SeenMessage(message.at_ms, leaves), message.qos, retained=message.is_retained)


def recognise_dialects(
    messages: Sequence[CapturedMessage], unused: UnusedMessages
) -> tuple[list[SeenGroup], list[CapturedMessage]]:
    """Return the devices that speak a dialect in which all of theirs can be said, and the messages of others.

    A message of a gateway that says several readings counts as so many.
    """
    groups: list[SeenGroup] = []
    rest = list(messages)
    for name in _ORDER:
        dialect = DIALECTS[name]
        decoder = dialect.decoder(dialect.options())
        read, others = decode_captured(name, decoder, rest, unused)
        by_device: dict[str, list[Read]] = defaultdict(list)
        for one in read:
            by_device[one.found.device_id].append(one)
        said = {device: told for device, told in by_device.items() if any(_says_values(one) for one in told)}
        whole = {device for device, told in said.items() if _says_all(name, told)}
        alike: dict[Hashable, tuple[SeenGroup, list[Read]]] = {}
        for device, told in by_device.items():
            if device not in said and not whole:
                others += [one.heard for one in told]
            elif device in whole:
                # Where devices say whatever they have, those that have the same are alike.
                names = _names_of(told) if name in _OF_ANY_FIELDS else frozenset()
                options = speaking_of(name, told) or {}
                gateway = gateway_of(name, told)
                group, all_told = alike.setdefault(
                    (names, tuple(options.items()), gateway is None),
                    (SeenGroup(name, "gps" if name == "owntracks" else "", options=options), []),
                )
                all_told += told
                _take(group, name, device, told, unused)
            elif device not in said:
                _set_aside(name, told, unused)
            else:
                others += _foreign(name, told, unused)
        for group, all_told in alike.values():
            group.gateway = gateway_of(name, all_told)
            groups.append(group)
        # A message may have come to several devices, of which none could be made.
        rest = list({id(one): one for one in others}.values())
    return groups, sorted(rest, key=lambda message: message.at_ms)


def _may_be_field(name: str) -> bool:
    """Return whether a sensor's or a value's own name may be told, and be that of a field."""
    return is_harmless_key(name) and not is_sensitive_key(name) and snake_case([name]) == name and not is_taken(name)


def _metric_fields(names: Iterable[str]) -> dict[str, str]:
    """Return the fields for metrics of Sparkplug, which no other format can say: their names have levels and blanks.

    Those of which a word may be somebody's are called by their place; what is of a person has none.
    """
    fields: dict[str, str] = {}
    for number, name in enumerate(sorted(names), start=1):
        if not is_sensitive_key(name):
            plain = snake_case([name])
            is_harmless = all(map(is_harmless_key, re.split(r"[/\s]+", name)))
            fields[name] = (
                plain if is_harmless and _may_be_field(plain) and plain not in fields.values() else f"metric_{number}"
            )
    return fields


def _says_values(one: Read) -> bool:
    return one.found.role in _SAYING and bool(one.found.values or one.found.parts)


def _values_of(found: DialectMessage) -> Iterator[tuple[str, Value]]:
    yield from found.values.items()
    for values in found.parts.values():
        yield from values.items()


def _names_of(told: Sequence[Read]) -> frozenset[str]:
    return frozenset(value for one in told if _says_values(one) for value, _ in _values_of(one.found))


def _tags_of(found: DialectMessage) -> Collection[str]:
    tags = found.extra.get("tags")
    return tags if isinstance(tags, dict) else ()


def _is_number(value: Value) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _says_all(name: str, told: Sequence[Read]) -> bool:
    """Return whether emulated devices of the dialect say exactly these values."""
    readings = [one.found for one in told if _says_values(one)]
    if any(found.role is MessageRole.EVENT for found in readings):
        return False
    names = _names_of(told)
    if name == "owntracks":
        return {"latitude", "longitude"} <= names
    if name == SPARKPLUG:
        fields = _metric_fields(names)
        return any(value in fields and _is_number(one) for found in readings for value, one in _values_of(found))
    if name == "esphome":
        numbers = all(not isinstance(value, str | bool) for found in readings for _, value in _values_of(found))
        topics = [one.heard.topic.split("/") for one in told if one.found.role is MessageRole.READING]
        return numbers and all(
            len(levels) == 4 and levels[1] == "sensor" and _may_be_field(levels[2]) for levels in topics
        )
    if name in _OF_ANY_FIELDS:
        return (
            speaking_of(name, told) is not None
            and all(
                _may_be_field(value) and not isinstance(one, str | bool)
                for found in readings
                for value, one in _values_of(found)
            )
            and all(_TAGS.issuperset(_tags_of(found)) for found in readings)
        )
    needed, besides = _SAID_BY[name]
    several = max((len(found.parts) for found in readings), default=0)
    return several < 2 and needed <= names <= needed | besides


def _take(group: SeenGroup, name: str, device: str, told: Sequence[Read], unused: UnusedMessages) -> None:
    needed: Collection[str] | None = _SAID_BY[name][0] if name in _SAID_BY else None
    fields: Mapping[str, str] = {}
    if name == SPARKPLUG:
        needed = fields = _metric_fields(_names_of(told))
    for heard, found in told:
        if found.role not in _SAYING:
            _set_aside(name, [Read(heard, found)], unused)
            continue
        if name == SPARKPLUG and not found.values:
            unused.add(f"{name}: says no value that is new")
            continue
        leaves: dict[Path, Scalar] = {
            (fields.get(value, value),): one
            for value, one in _values_of(found)
            if (needed is None or value in needed) and _is_number(one)
        }
        if name == "esphome":
            # Called by its topic: what its unit is, only its description says.
            leaves = {(heard.topic.split("/")[2],): one for one in leaves.values()}
        topic = str(next(iter(leaves))[0]) if name == "esphome" and leaves else ""
        slot = group.slots.setdefault(topic, SeenSlot(""))
        slot.add(device, SeenMessage(heard.at_ms, leaves), heard.qos, retained=heard.is_retained)


def _set_aside(name: str, told: Sequence[Read], unused: UnusedMessages) -> None:
    counts = Counter(one.found.role.value for one in told)
    for role, count in counts.items():
        unused.add(f"{name}: {role}, which is no reading", count=count)


def _foreign(name: str, told: Sequence[Read], unused: UnusedMessages) -> list[CapturedMessage]:
    """Return the readings of a device of which emulated ones do not say all; what else it says is set aside."""
    _set_aside(name, [one for one in told if one.found.role not in _SAYING], unused)
    return [one.heard for one in told if one.found.role in _SAYING]


def find_discovery(
    messages: Sequence[CapturedMessage], unused: UnusedMessages
) -> tuple[frozenset[str], list[CapturedMessage]]:
    """Return the topics that Home Assistant's discovery describes, and the messages that are no discovery."""
    topics: set[str] = set()
    rest = []
    for message in messages:
        levels = message.topic.split("/")
        if levels[0] != "homeassistant" or levels[-1] != "config":
            rest.append(message)
            continue
        unused.add("homeassistant: description, which is no reading")
        try:
            config = orjson.loads(message.payload)
        except orjson.JSONDecodeError:
            config = {}
        if isinstance(config, dict):
            topics.update(_state_topics(config, str(config.get("~", ""))))
    return frozenset(topics), rest


def _state_topics(config: Mapping[str, object], base: str) -> Iterator[str]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _state_topics(value, base)
        elif key in ("stat_t", "state_topic") and isinstance(value, str):
            yield value.replace("~", base, 1) if base else value
