"""What was learned of an installation: groups of devices, each with what a scenario says of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from devices.world.random import Floats
from edgefleet.learn.messages import UnusedMessages
from edgefleet.learn.payload_mapping import LearnedField


@dataclass(slots=True)
class LearnedPart:
    """Holds the messages of devices that come at one interval: what stands in a group, or in a part of a device."""

    kind: str
    config: dict[str, Any]
    """The keys of a group that are of a sensor: interval, format."""
    fields: list[LearnedField]
    gaps: Floats
    """Between the messages of a device, in ms."""
    messages: int
    """How many there were."""
    is_declared: bool = True
    """Whether the kind is one of the scenario's own."""


@dataclass(slots=True)
class LearnedGroup:
    """Holds devices that say the same."""

    name: str
    """Made up; that of its devices begins with it."""
    dialect: str
    """Empty for a format of one's own."""
    devices: int
    config: dict[str, Any]
    """The keys of a group that are of the device."""
    parts: list[LearnedPart]

    @property
    def messages(self) -> int:
        """Return how many messages it was learned of."""
        return sum(part.messages for part in self.parts)


@dataclass(slots=True)
class LearnedFleet:
    """Holds all that was learned of a capture."""

    groups: list[LearnedGroup]
    sites: int
    read: int
    seconds: float
    """From the first message to the last."""
    unused: UnusedMessages
    remarks: Counter[str] = field(default_factory=Counter)
    """What was replaced or left out, and how often."""
    stopped_at: str = ""

    @property
    def devices(self) -> int:
        """Return how many devices were seen."""
        return sum(group.devices for group in self.groups)

    @property
    def used(self) -> int:
        """Return of how many messages it was learned."""
        return sum(group.messages for group in self.groups)
