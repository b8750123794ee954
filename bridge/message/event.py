"""A message and its way: what routing finds out once, and every sink uses."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewire.messages import Topic

if TYPE_CHECKING:
    from bridge.routing.routed import Route


@dataclass(frozen=True, slots=True, eq=False)
class Address:
    """What a topic alone says; made once a topic."""

    topic: Topic
    source: str
    """CloudEvents source: the device."""
    type: str
    """CloudEvents type: kind and channel."""
    candidates: tuple["Route", ...]
