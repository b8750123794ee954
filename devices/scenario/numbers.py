"""The number that a device has by its id: what decides in which vehicle it rides, and at which site it is.

It hangs on the id and on nothing else, so a device that is taken away leaves all others what they were. Ids that a
template makes have the template's number. Of listed ids, and of an `id` without {n} in it, `g7`, `gps-0007` and
`unit_7` (a word and a number) have the number 7; every other one, and one whose number a template of its kind has as
well, has a number drawn from the id without the kind's name, so that `north-gps-7` and `north-telematics-7`,
`gps-alpha` and `telematics-alpha` have the same.

Devices with parts are counted by themselves, those of each template from 1, and their parts ride in one vehicle, which
is drawn from the template: it is no other unit's.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from devices.scenario.device_group import DeviceGroup
from devices.scenario.device_parts import entries
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from edgewire.errors import ConfigError

_WORD_AND_NUMBER = re.compile(r"[A-Za-z]*[-_.]?0*([1-9][0-9]{0,5})")
_DRAWN_FROM, _DRAWN = 10**11, 9 * 10**11
"""Drawn numbers have twelve digits: far from those that are written, and of 50,000 hardly ever two the same."""
_OF_TEMPLATE = 10**6
"""The most devices that a template names: so many numbers follow on the one that is drawn for it."""


@dataclass(frozen=True, slots=True)
class IdNumbers:
    """The numbers of a scenario's ids."""

    by_template: Mapping[str, Set[int]]
    """Kind -> the numbers that its templates give."""
    firsts: Mapping[int, int]
    """`id` of a group -> the number of its first device, as its template has it."""
    kinds: Mapping[int, Sequence[str]]
    """`id` of a group -> the kinds that its devices are of: several where they have parts."""

    @classmethod
    def of(cls, scenario: Scenario) -> "IdNumbers":
        """Look through a scenario; raises `ConfigError` where two units would ride in one vehicle."""
        counted = dict.fromkeys(KINDS, 0)
        of_wholes: defaultdict[str, int] = defaultdict(int)
        by_template: defaultdict[str, set[int]] = defaultdict(set)
        firsts, kinds_of = {}, {}
        for entry in entries(scenario.devices):
            first = entry[0]
            before = counted[first.kind] if first.device is None else of_wholes[first.id or ""]
            for group in entry:
                firsts[id(group)], kinds_of[id(group)] = before + 1, [one.kind for one in entry]
            if first.device is not None:
                of_wholes[first.id or ""] += first.size
                continue
            counted[first.kind] += first.size
            if not first.listed_ids:
                by_template[first.kind].update(range(before + 1, before + first.size + 1))
        numbers = cls(by_template, firsts, kinds_of)
        for kind in KINDS:
            if KINDS[kind].rides_in_vehicle:
                numbers._check_vehicles(kind, [group for group in scenario.devices if group.kind == kind])
        return numbers

    def number(self, group: DeviceGroup, position: int) -> int:
        """Return the number of a device of a group, as its template has it."""
        return self.firsts[id(group)] + position

    def ordinal(self, group: DeviceGroup, position: int) -> int:
        """Return the number, less one, by which a device of a group has its vehicle and its site."""
        if group.listed_ids:
            if group.vehicles:
                return group.vehicles[position] - 1
            kinds = self.kinds[id(group)]
            taken = frozenset().union(*(self.by_template.get(kind, frozenset()) for kind in kinds))
            return listed_number(group.listed_ids[position], kinds[0], taken) - 1
        ordinal = self.number(group, position) - 1
        return ordinal if group.device is None else template_base(group.id or "") + ordinal

    def _check_vehicles(self, kind: str, groups: list[DeviceGroup]) -> None:
        seen: dict[int, str] = {}
        for group in groups:
            for position, device_id in enumerate(group.listed_ids):
                number = self.ordinal(group, position) + 1
                other = seen.setdefault(number, device_id)
                # Twins are told elsewhere.
                if other != device_id or number in self.by_template.get(kind, ()):
                    rival = other if other != device_id else f"number {number} of a template"
                    raise ConfigError(
                        f"scenario: {kind} '{device_id}' and {rival if rival != other else repr(rival)} would both ride"
                        f" in vehicle {number}: give one another number at its end, or list the group's vehicles"
                    )


def listed_number(device_id: str, kind: str, taken: Set[int] = frozenset()) -> int:
    """Return the number of an id that a scenario lists; those `taken` are a template's."""
    found = _WORD_AND_NUMBER.fullmatch(device_id)
    if found and int(found[1]) not in taken:
        return int(found[1])
    name = re.sub(rf"(?<![a-z])(?:{kind}|{kind[0]}(?=[-_.]?[0-9]))(?![a-z])", "", device_id.lower())
    name = "-".join(part for part in re.split(r"[-_.]+", name) if part) or device_id
    return _DRAWN_FROM + _draw(name) % _DRAWN


def template_base(template: str) -> int:
    """Return the number before the first one of devices with parts whose ids a template makes."""
    return _DRAWN_FROM + _draw(template) % (_DRAWN // _OF_TEMPLATE) * _OF_TEMPLATE


def _draw(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, person=b"number").digest(), "little")
