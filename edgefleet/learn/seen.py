"""What was seen of the devices: groups of them that say the same, and the messages in which they say it."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from edgewire.dialects.values import Path

Scalar = float | int | bool | str | None
Leaves = Mapping[Path, Scalar]
"""Values of a message by where they stand; the path of a bare value is empty."""


class SeenMessage(NamedTuple):
    """Holds what a device said at a moment."""

    at_ms: int
    leaves: Leaves


@dataclass(slots=True)
class SeenSlot:
    """Holds the messages of one topic of each device of a group."""

    topic: str
    """With `{id}` and `{site}` for what varies; empty in a dialect, which has its own."""
    by_device: dict[str, list[SeenMessage]] = field(default_factory=dict)
    qos: Counter[int] = field(default_factory=Counter)
    is_retained: bool = False
    last_known: dict[str, int] = field(default_factory=dict)
    """How many messages of each device the broker had kept: they tell no interval."""

    def add(self, device: str, message: SeenMessage, qos: int, *, retained: bool) -> None:
        """Take a message of a device."""
        self.qos[qos] += 1
        if retained:
            self.is_retained = True
            self.last_known[device] = self.last_known.get(device, 0) + 1
        else:
            self.by_device.setdefault(device, []).append(message)

    @property
    def count(self) -> int:
        """Return how many messages there are with a time of their own."""
        return sum(map(len, self.by_device.values()))

    @property
    def kept(self) -> int:
        """Return how many messages the broker had kept from before."""
        return sum(self.last_known.values())

    def of_devices(self, names: Collection[str]) -> Self:
        """Return what some of the devices said."""
        return replace(
            self,
            by_device={name: told for name, told in self.by_device.items() if name in names},
            last_known={name: told for name, told in self.last_known.items() if name in names},
        )


@dataclass(slots=True)
class SeenGroup:
    """Holds devices that say the same."""

    dialect: str = ""
    """Empty: a format that no dialect of ours is."""
    kind: str = ""
    """Of the message contract, where the devices are of one."""
    slots: dict[str, SeenSlot] = field(default_factory=dict)
    sites: dict[str, str] = field(default_factory=dict)
    """Device -> the level of its topics that other devices of the group have another for."""
    has_discovery: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the dialect."""
    gateway: Mapping[str, Any] | None = None
    """Behind which its devices are."""

    @property
    def devices(self) -> list[str]:
        """Return the devices, in the order in which they were seen."""
        return list(dict.fromkeys(name for slot in self.slots.values() for name in (*slot.by_device, *slot.last_known)))

    def of_devices(self, names: Collection[str]) -> Self:
        """Return the group with some of its devices."""
        found = replace(self, slots={}, sites={name: site for name, site in self.sites.items() if name in names})
        for topic, slot in self.slots.items():
            kept = slot.of_devices(names)
            if kept.by_device or kept.last_known:
                found.slots[topic] = kept
        return found
