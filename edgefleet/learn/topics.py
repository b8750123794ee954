"""Finds the devices in topics that are of no dialect: the level that varies from device to device, or ids in payloads.

A level is the device's where topics are the same but for it, its texts look like ids (`dev-17`), stand in the payloads,
or the payloads beside each other have the same values. A level that varies within a device is one of its messages
(`temperature`, `humidity`), and one that is the same for a device and not for all is its site.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from edgefleet.learn.messages import CapturedMessage
from edgefleet.learn.privacy import KNOWN_WORDS, looks_like_an_id, words_of
from edgefleet.learn.seen import Leaves, SeenGroup, SeenMessage, SeenSlot
from edgewire.dialects.values import Path

Levels = tuple[str, ...]
ID, SITE = "{id}", "{site}"
_ENOUGH = 0.5
_MOST_SITES = 50
_ID_KEYS = words_of(
    """
    id device device_id deviceid dev_id devid sensor sensor_id sensorid node node_id nodeid mac serial sn uuid
    imei eui deveui dev_eui unit_id unit machine_id name device_name client_id thing thing_id
    """
)


class ParsedMessage(NamedTuple):
    """Holds a message whose payload has been taken apart."""

    heard: CapturedMessage
    leaves: Leaves


class _Place(NamedTuple):
    device: str
    slot: str
    site: str


def group_by_topics(messages: Sequence[ParsedMessage]) -> list[SeenGroup]:
    """Return groups of devices that say the same on topics alike."""
    by_topic: dict[Levels, list[ParsedMessage]] = defaultdict(list)
    for message in messages:
        by_topic[tuple(message.heard.topic.split("/"))].append(message)
    families: dict[tuple[int, str], dict[Levels, list[ParsedMessage]]] = defaultdict(dict)
    for levels, told in by_topic.items():
        root = "" if _roots_are_ids(levels, by_topic) else levels[0]
        families[len(levels), root][levels] = told
    slots: dict[str, dict[str, SeenSlot]] = defaultdict(dict)
    sites: dict[str, str] = {}
    for (_, root), family in families.items():
        places = _places(family, has_root=bool(root)) or _payload_places(family) or _one_device(family)
        for levels, told in family.items():
            for message in told:
                place = places(levels, message.leaves) if callable(places) else places[levels]
                slot = slots[place.device].setdefault(place.slot, SeenSlot(place.slot))
                heard = message.heard
                slot.add(place.device, SeenMessage(heard.at_ms, message.leaves), heard.qos, retained=heard.is_retained)
                if place.site:
                    sites[place.device] = place.site
    return _alike(slots, sites)


def _roots_are_ids(levels: Levels, topics: Mapping[Levels, object]) -> bool:
    """Return whether the first level is the device's: it looks like one of many, and others say the same below."""
    if not looks_like_an_id(levels[0]):
        return False
    return any(other[1:] == levels[1:] and other[0] != levels[0] for other in topics if looks_like_an_id(other[0]))


def _signature(told: Sequence[ParsedMessage]) -> frozenset[tuple[Path, bool]]:
    first = told[0].leaves
    return frozenset((path, isinstance(value, str)) for path, value in first.items())


def _score(place: int, family: Mapping[Levels, list[ParsedMessage]]) -> float:
    """Return how much a level looks like that of the device; 0 where nothing varies there alone."""
    beside: dict[Levels, list[Levels]] = defaultdict(list)
    for levels in family:
        beside[levels[:place] + levels[place + 1 :]].append(levels)
    shared = [one for group in beside.values() if len(group) > 1 for one in group]
    if not shared:
        return 0.0
    words = {levels[place] for levels in shared}
    ids = sum(map(looks_like_an_id, words)) / len(words)
    known = sum(word.lower() in KNOWN_WORDS for word in words) / len(words)
    said = sum(levels[place] in family[levels][0].leaves.values() for levels in shared) / len(shared)
    same = sum(
        len({_signature(family[levels]) for levels in group}) == 1 and _is_object(family[group[0]])
        for group in beside.values()
        if len(group) > 1
    ) / sum(len(group) > 1 for group in beside.values())
    return len(shared) / len(family) * (0.3 + 2 * ids + 2 * said + 0.5 * same - 2 * known)


def _is_object(told: Sequence[ParsedMessage]) -> bool:
    return () not in told[0].leaves


def _places(family: Mapping[Levels, list[ParsedMessage]], *, has_root: bool) -> dict[Levels, _Place] | None:
    """Return whose each topic is, by the level that is the device's; None where none is."""
    count = len(next(iter(family)))
    scores = [_score(place, family) for place in range(count)]
    if not has_root:
        scores[0] += 10
    best = max(range(count), key=lambda place: scores[place])
    if len(family) < 2:
        return None
    if scores[best] < (_ENOUGH if _has_objects(family) else 0.25):
        # Each device may have a site of its own: then no two topics are the same but for one level.
        numbered = [place for place in range(count) if _all_are_ids({levels[place] for levels in family})]
        if not numbered:
            return None
        best = numbered[-1]
    site = _site_level(family, best)
    found = {}
    for levels in family:
        shown = [ID if place == best else SITE if place == site else level for place, level in enumerate(levels)]
        where = "" if site is None else levels[site]
        found[levels] = _Place("/".join((*levels[:1], levels[best])) if best else levels[0], "/".join(shown), where)
    return found


def _all_are_ids(words: Collection[str]) -> bool:
    return len(words) > 1 and all(map(looks_like_an_id, words))


def _has_objects(family: Mapping[Levels, list[ParsedMessage]]) -> bool:
    return any(_is_object(told) for told in family.values())


def _site_level(family: Mapping[Levels, list[ParsedMessage]], device: int) -> int | None:
    """Return the first level that each device has one of, and not all the same, where all say the same below it."""
    for place in range(len(next(iter(family)))):
        if place == device:
            continue
        by_device: dict[str, set[str]] = defaultdict(set)
        signatures: dict[str, set[object]] = defaultdict(set)
        for levels, told in family.items():
            by_device[levels[device]].add(levels[place])
            signatures[levels[place]].add((levels[place + 1 :] if place > device else (), _signature(told)))
        words = {word for found in by_device.values() for word in found}
        is_one_each = all(len(found) == 1 for found in by_device.values())
        if is_one_each and 1 < len(words) <= _MOST_SITES and len(set(map(frozenset, signatures.values()))) == 1:
            return place
    return None


class _PayloadPlaces:
    """Tells devices apart by an id in their payloads, on topics that all share."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, levels: Levels, leaves: Leaves) -> _Place:
        return _Place(f"{levels[0]}/{leaves.get(self._path)}", "/".join(levels), "")


def _payload_places(family: Mapping[Levels, list[ParsedMessage]]) -> _PayloadPlaces | None:
    """Return what tells devices apart where a key that is called like an id has several texts on each topic."""
    for path in next(iter(family.values()))[0].leaves:
        if not path or str(path[-1]).lower().replace("-", "_") not in _ID_KEYS:
            continue
        several = [{message.leaves.get(path) for message in told} for told in family.values()]
        if all(len(values) > 1 and all(isinstance(one, str | int) for one in values) for values in several):
            return _PayloadPlaces(path)
    return None


def _one_device(family: Mapping[Levels, list[ParsedMessage]]) -> dict[Levels, _Place]:
    """Take all topics for those of one device: its level is the last that they share, or that looks like an id."""
    topics = list(family)
    shared = 0
    while shared < len(topics[0]) and len({levels[shared] for levels in topics}) == 1:
        shared += 1
    if len(topics) == 1 and len(topics[0]) > 1:
        shared -= 1
    ids = [place for place in range(shared) if looks_like_an_id(topics[0][place])]
    device = ids[-1] if ids else max(0, shared - 1)
    return {
        levels: _Place(
            "/".join((*levels[:1], levels[device])),
            "/".join(ID if place == device else level for place, level in enumerate(levels)),
            "",
        )
        for levels in topics
    }


def _alike(slots: Mapping[str, Mapping[str, SeenSlot]], sites: Mapping[str, str]) -> list[SeenGroup]:
    """Return the devices in groups by the topics that they have, those with fewer among those that have these too."""
    by_topics: dict[frozenset[str], list[str]] = defaultdict(list)
    for device, own in slots.items():
        by_topics[frozenset(own)].append(device)
    merged: dict[frozenset[str], list[str]] = {}
    for topics in sorted(by_topics, key=len, reverse=True):
        within = _larger(topics, merged)
        merged.setdefault(within or topics, []).extend(by_topics[topics])
    groups = []
    for devices in merged.values():
        group = SeenGroup(sites={name: sites[name] for name in devices if name in sites})
        for device in devices:
            for topic, slot in slots[device].items():
                joined = group.slots.setdefault(topic, SeenSlot(topic))
                joined.by_device |= slot.by_device
                joined.last_known |= slot.last_known
                joined.qos += slot.qos
                joined.is_retained |= slot.is_retained
        groups.append(group)
    return groups


def _larger(topics: frozenset[str], others: Collection[frozenset[str]]) -> frozenset[str] | None:
    return next((other for other in others if topics < other and 2 * len(topics) >= len(other)), None)
