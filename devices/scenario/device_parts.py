"""Reads `device:` of a scenario: the parts of one device, each a sensor, which have one connection together.

An entry with parts is taken for as many groups as it has parts, one after the other: each is a group of its kind like
any other, and `PartPlace` tells which devices it is a part of. Errors are told where they are in the file.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import Field, ValidationError

from edgewire.config import Config
from edgewire.config_errors import closest, located_error, moved_error
from edgewire.yaml_file import Location

DEVICES = "devices"
"""The key of the entries of a scenario."""
DEVICE = "device"
"""The key of the parts of one."""
PART = "part"
"""The name that stands in braces for what a part is called."""
MAX_PARTS = 20
OF_DEVICE = frozenset(
    {"device", "count", "site", "id", "ids", "client_ids", "fields", "identities", "hardware", "vehicles", "dialect",
     "discovery", "timezone", "standby", "standby_after", "firmware", "outbox", "reconnect"}
)  # fmt: skip
"""Keys that a device has once; all others but `name`, which both have, are of its parts."""


class PartPlace(Config):
    """Says of which part of its devices a group is."""

    part: str
    """What it is called."""
    parts: tuple[str, ...] = Field(min_length=1, max_length=MAX_PARTS)
    """What all parts of the device are called, in their order; a group each, one after the other."""

    @property
    def number(self) -> int:
        """Return which of the parts it is, from 0."""
        return self.parts.index(self.part)


class GroupOfParts(Protocol):
    """Names what tells whether a group is of parts."""

    @property
    def device(self) -> PartPlace | None: ...

    @property
    def size(self) -> int: ...


Group = TypeVar("Group", bound=GroupOfParts)


def entry_location(groups: Sequence[GroupOfParts], position: int, *key: int | str) -> Location:
    """Return where a key of a group is in the file: the entry for it, or there a part."""
    entry = sum(one.device is None or one.device.number == 0 for one in groups[: position + 1]) - 1
    place = groups[position].device
    return (DEVICES, entry, *(key if place is None else _in_entry(place.number, key)))


def entry_of(groups: Sequence[GroupOfParts], position: int) -> range:
    """Return the positions of the groups of one entry, of which that at a position is one."""
    place = groups[position].device
    if place is None:
        return range(position, position + 1)
    return range(position - place.number, position - place.number + len(place.parts))


def entries(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    """Yield the groups of each entry: one, or as many as its device has parts."""
    position = 0
    while position < len(groups):
        found = entry_of(groups, position)
        yield groups[position : found.stop]
        position = found.stop


def check_whole(groups: Sequence[GroupOfParts]) -> None:
    """Raise `ValueError` where a group is of parts and those of the other parts are not beside it."""
    for position, group in enumerate(groups):
        if group.device is None:
            continue
        beside = [groups[at] for at in entry_of(groups, position) if 0 <= at < len(groups)]
        there = [one.device.part for one in beside if one.device is not None and one.device.parts == group.device.parts]
        if there != list(group.device.parts) or len({one.size for one in beside}) > 1:
            said = "lists the parts of a device: [{kind: bme280}, {kind: people}]"
            raise located_error((*entry_location(groups, position)[:2], DEVICE), said)


def expand_parts(
    entries: Any, validate: Callable[[Any], Any], keys: Collection[str], model: type[Any], kinds: Mapping[str, Any]
) -> Any:
    """Return the groups of a scenario's entries, which `validate` makes. Raises `ValidationError` as of the entries.

    `keys` are those that a group may have, and `kinds` has those that ride in vehicles as True.
    """
    if not isinstance(entries, list | tuple) or not any(map(_has_parts, entries)):
        return validate(entries)
    groups: list[Any] = []
    places: list[tuple[int, int | None]] = []
    for number, entry in enumerate(entries):
        parts = _parts_of(number, entry, keys, kinds) if _has_parts(entry) else None
        groups += [entry] if parts is None else parts
        places += [(number, place) for place in ([None] if parts is None else range(len(parts)))]

    def written_at(location: Location) -> Location:
        if not location or not isinstance(location[0], int):
            return location
        entry, part = places[location[0]]
        return (entry, *(location[1:] if part is None else _in_entry(part, location[1:])))

    try:
        return validate(groups)
    except ValidationError as error:
        raise moved_error(error, model, written_at) from None


def _has_parts(entry: Any) -> bool:
    """Return whether an entry is as a user writes it, and not a group that is made of one already."""
    if not isinstance(entry, dict) or DEVICE not in entry:
        return False
    found = entry[DEVICE]
    return not (isinstance(found, PartPlace) or (isinstance(found, dict) and found.keys() == {"part", "parts"}))


def _in_entry(part: int, key: Location) -> Location:
    return key if key and key[0] in OF_DEVICE - {DEVICE} else (DEVICE, part, *key)


def _parts_of(
    number: int, entry: dict[str, Any], keys: Collection[str], kinds: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the groups of an entry with parts, as they would be written."""
    at, parts = (number, DEVICE), entry[DEVICE]
    if not isinstance(parts, list | tuple) or not parts:
        raise located_error(at, "lists the parts of a device, and there is none: [{kind: bme280}, {kind: people}]")
    if len(parts) > MAX_PARTS:
        raise located_error(at, f"{len(parts)} parts: {MAX_PARTS} are the most that a device has")
    _check_device_keys(number, entry, keys)
    for place, part in enumerate(parts):
        _check_part_keys((*at, place), part, keys)
    named = list(_names(at, parts))
    shared = {key: value for key, value in entry.items() if key in OF_DEVICE - {DEVICE, "vehicles"}}
    if "name" in entry:
        shared["id"] = f"{entry['name']}-{{n:04d}}"
    elif not any(entry.get(key) for key in ("id", "ids", "identities")):
        shared["id"] = f"{DEVICE}-{{n:04d}}"
    riding = [place for place, part in enumerate(parts) if kinds.get(str(part.get("kind")))]
    if "vehicles" in entry and not riding:
        raise located_error((number, "vehicles"), "no part of the device rides in a vehicle; leave it out")
    return [
        shared
        | {key: value for key, value in part.items() if key != "name"}
        | ({"vehicles": entry["vehicles"]} if "vehicles" in entry and place in riding else {})
        | {DEVICE: {"part": name, "parts": named}}
        for place, (part, name) in enumerate(zip(parts, named, strict=True))
    ]


def _check_device_keys(number: int, entry: dict[str, Any], keys: Collection[str]) -> None:
    for key in entry:
        if key == "gateway":
            said = (
                "a device with parts has a connection of its own, and is behind no gateway: leave this out, or give"
                " each kind a group of its own"
            )
            raise located_error((number, key), said)
        if key in OF_DEVICE or key == "name":
            continue
        if key in keys:
            raise located_error((number, key), "is of each part, and not of the device: write it into the list above")
        near = closest(str(key), {*OF_DEVICE, "name"})
        said = near or f"; it knows {', '.join(sorted({*OF_DEVICE, 'name'}))}"
        raise located_error((number, key), f"no key of a device with parts{said}")
    if "name" in entry:
        if other := next((key for key in ("id", "ids", "identities") if entry.get(key)), None):
            raise located_error((number, "name"), f"makes names for count devices; leave it out, or {other}")
        _check_name((number, "name"), entry["name"], 50)


def _check_part_keys(at: Location, part: Any, keys: Collection[str]) -> None:
    if not isinstance(part, dict):
        raise located_error(at, "should be a mapping of keys to values: {kind: bme280, interval: 10s}")
    for key in part:
        if key == DEVICE:
            raise located_error((*at, key), "a part is one sensor, and has no parts: write it into the same list")
        if key == "gateway":
            raise located_error((*at, key), "a part has the connection of its device: leave this out")
        if key in OF_DEVICE:
            raise located_error((*at, key), "is of the whole device, and not of a part: write it beside device")
        if key != "name" and key not in keys:
            known = sorted({*keys, "name"} - OF_DEVICE - {"gateway"})
            near = closest(str(key), known) or f"; it knows {', '.join(known)}"
            raise located_error((*at, key), f"no key of a part{near}")
    if "kind" not in part:
        raise located_error(at, "key 'kind' is missing: which sensor is it?")


def _names(at: Location, parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what the parts are called: their kinds, where they have no name."""
    seen: dict[str, int] = {}
    for place, part in enumerate(parts):
        name = part.get("name", part["kind"])
        if "name" in part:
            _check_name((*at, place, "name"), name, 30)
        other = seen.setdefault(str(name), place)
        if other != place:
            said = f"two parts are called '{name}': give one of them a name, such as name: {name}-2"
            raise located_error((*at, place, "name" if "name" in part else "kind"), said)
        yield str(name)


def _check_name(at: Location, name: Any, most: int) -> None:
    if not (isinstance(name, str) and name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()):
        raise located_error(at, f"{name!r} should be letters, digits, '_' and '-', as in box")
    if not name[0].isalnum() or len(name) > most:
        raise located_error(at, f"'{name}' should begin with a letter or digit, and have {most} of them at the most")
