"""The number that a device has by its id: what decides in which vehicle it rides, and at which site it is.

It hangs on the id and on nothing else, so a device that is taken away leaves all others what they were. Ids that a
template makes have the template's number. Of listed ids, and of an `id` without {n} in it, `g7`, `gps-0007` and
`unit_7` (a word and a number) have the number 7; every other one, and one whose number a template of its kind has as
well, has a number drawn from the id without the kind's name, so that `north-gps-7` and `north-telematics-7`,
`gps-alpha` and `telematics-alpha` have the same. The parts of a device have its number.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from devices.scenario.device_parts import entries
from devices.scenario.scenario import DeviceGroup, Scenario
from devices.sensors.registry import KINDS
from edgewire.errors import ConfigError

_WORD_AND_NUMBER = re.compile(r"[A-Za-z]*[-_.]?0*([1-9][0-9]{0,5})")
_DRAWN_FROM, _DRAWN = 10**11, 9 * 10**11
"""Drawn numbers have twelve digits: far from those that are written, and of 50,000 hardly ever two the same."""


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
        by_template: defaultdict[str, set[int]] = defaultdict(set)
        firsts, kinds_of = {}, {}
        for entry in entries(scenario.devices):
            kinds = [group.kind for group in entry]
            before = max(counted[kind] for kind in kinds)
            for group in entry:
                firsts[id(group)], kinds_of[id(group)] = before + 1, kinds
                counted[group.kind] = before + group.size
                if not group.listed_ids:
                    by_template[group.kind].update(range(before + 1, before + group.size + 1))
        numbers = cls(by_template, firsts, kinds_of)
        for kind in KINDS:
            if KINDS[kind].rides_in_vehicle:
                numbers._check_vehicles(kind, [group for group in scenario.devices if group.kind == kind])
        return numbers

    def first_number(self, group: DeviceGroup) -> int:
        """Return the number of the first device of a group, as its template has it."""
        return self.firsts[id(group)]

    def ordinal(self, group: DeviceGroup, position: int, template_number: int) -> int:
        """Return the number, less one, of a device of a group; `template_number` is its place within its kind."""
        if not group.listed_ids:
            return template_number - 1
        if group.vehicles:
            return group.vehicles[position] - 1
        kinds = self.kinds[id(group)]
        taken = frozenset().union(*(self.by_template.get(kind, frozenset()) for kind in kinds))
        return listed_number(group.listed_ids[position], kinds[0], taken) - 1

    def _check_vehicles(self, kind: str, groups: list[DeviceGroup]) -> None:
        seen: dict[int, str] = {}
        for group in groups:
            for position, device_id in enumerate(group.listed_ids):
                number = self.ordinal(group, position, 0) + 1
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
    drawn = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, person=b"number").digest(), "little")
    return _DRAWN_FROM + drawn % _DRAWN
