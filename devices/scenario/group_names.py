"""Names the groups of a scenario, so that one of them can be told from the others. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from devices.scenario.device_parts import DEVICE, entry_of
from edgewire.config_errors import closest

_NUMBER = re.compile(r"\{n[^}]*\}")


def name_groups(groups: Sequence[Any]) -> list[str]:
    """Return what each group is called: its kind, or `gps.1` and `gps.2` where there are several of a kind.

    One of the parts of devices is called as the device and the part are, `box.people`.
    """
    of_kind = Counter(group.kind for group in groups if group.device is None)
    wholes = name_devices(groups)
    seen: Counter[str] = Counter()
    names = []
    for number, group in enumerate(groups):
        if group.device is not None:
            names.append(f"{wholes[number]}.{group.device.part}")
            continue
        seen[group.kind] += 1
        names.append(group.kind if of_kind[group.kind] == 1 else f"{group.kind}.{seen[group.kind]}")
    return names


def name_devices(groups: Sequence[Any]) -> dict[int, str]:
    """Return what the devices with parts are called, by the number of each group that is of one."""
    called = {
        number: _NUMBER.sub("", group.id or "").strip("-_.:") or DEVICE
        for number, group in enumerate(groups)
        if group.device is not None and not group.device.number
    }
    several = Counter(called.values())
    seen: Counter[str] = Counter()
    names: dict[int, str] = {}
    for first, name in called.items():
        seen[name] += 1
        whole = name if several[name] == 1 else f"{name}.{seen[name]}"
        names |= dict.fromkeys(entry_of(groups, first), whole)
    return names


def find_groups(groups: Sequence[Any], name: str) -> tuple[int, ...]:
    """Return the number of the group of this name, or those of all parts of the devices of this name.

    Raises `ValueError`.
    """
    names, wholes = name_groups(groups), name_devices(groups)
    if name in names:
        return (names.index(name),)
    if name in wholes.values():
        return tuple(number for number, whole in wholes.items() if whole == name)
    several = [one for one in names if one.startswith(f"{name}.")]
    if several:
        raise ValueError(f"there are several of {name}: name one of {', '.join(several)}")
    known = [*names, *dict.fromkeys(wholes.values())]
    raise ValueError(f"there is no '{name}'{closest(name, known)}; there are {', '.join(known)}")


def find_one_group(groups: Sequence[Any], name: str) -> int:
    """Return the number of the group of this name. Raises `ValueError`, also where it has several parts."""
    numbers = find_groups(groups, name)
    if len(numbers) > 1:
        names = name_groups(groups)
        raise ValueError(f"{name} has several parts: name one of {', '.join(names[one] for one in numbers)}")
    return numbers[0]
