"""Remembers the entities that devices have described, by the topics on which they speak."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgewire.dialects.base import DialectError
from edgewire.dialects.templates import AS_IT_IS, Scale
from edgewire.dialects.values import Path
from edgewire.mqtt.filters import filter_matches

MAX_ENTITIES = 200_000
"""Entities that are remembered; a home has hundreds, a fleet of 10,000 devices some ten a device."""

_MAX_PATTERNS = 1000
"""Topics with wildcards; each is compared with each topic that is new."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Says where an entity tells whether it is there, and how."""

    topic: str
    online: str
    offline: str
    path: Path | None
    """Where the word stands in a JSON payload; None where the payload is the word."""
    problem: str
    """Why it cannot be read; empty where it can."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Holds one entity as its configuration describes it."""

    device_id: str
    key: str
    """Its own name in the device."""
    component: str
    name: str
    """Canonical name of its value."""
    unit: str
    state_topic: str
    path: Path | None
    """Where its value stands in a JSON payload; None where the payload is the value."""
    problem: str = ""
    """Why its value cannot be read; empty where it can."""
    attributes_topic: str = ""
    availability: tuple[Availability, ...] = ()
    on_off: tuple[str, str] = ("ON", "OFF")
    is_number: bool = False
    """Whether a text is a number that has no unit, as counts have none: what has a state class is one."""
    scale: Scale = AS_IT_IS
    decimals: int | None = None
    """To which its value is rounded; see `templates.ValueTemplate`."""


class EntityRegistry:
    """Remembers the entities that were described, by the topics on which they speak."""

    def __init__(self) -> None:
        self._count = 0
        self._by_config: dict[str, tuple[Entity, ...]] = {}
        self._by_topic: dict[str, dict[tuple[str, str], Entity]] = {}
        self._patterns: set[str] = set()
        self._known: dict[str, tuple[Entity, ...]] = {}
        """What `entities_on` has said since the last configuration."""

    def learn(self, config_topic: str, entities: tuple[Entity, ...]) -> None:
        """Replace what was known by a configuration topic. Raises `DialectError` where there would be too many."""
        self._known.clear()
        for old in self._by_config.pop(config_topic, ()):
            self._count -= 1
            for topic in _topics(old):
                here = self._by_topic.get(topic, {})
                here.pop((old.device_id, old.key), None)
                if not here:
                    self._by_topic.pop(topic, None)
                    self._patterns.discard(topic)
        if self._count + len(entities) > MAX_ENTITIES:
            raise DialectError(f"more than {MAX_ENTITIES:,} entities: those of '{config_topic}' are not remembered")
        if entities:
            self._by_config[config_topic] = entities
            self._count += len(entities)
        for entity in entities:
            for topic in _topics(entity):
                self._by_topic.setdefault(topic, {})[entity.device_id, entity.key] = entity
                if ("+" in topic or "#" in topic) and len(self._patterns) < _MAX_PATTERNS:
                    self._patterns.add(topic)

    def entities_on(self, topic: str) -> tuple[Entity, ...]:
        """Return the entities that a topic tells something of; one may have named its topics with wildcards."""
        found = self._known.get(topic)
        if found is None:
            if len(self._known) >= MAX_ENTITIES:
                self._known.clear()
            entities = dict(self._by_topic.get(topic, {}))
            for pattern in self._patterns:
                if filter_matches(pattern, topic):
                    entities |= self._by_topic[pattern]
            found = self._known[topic] = tuple(entities.values())
        return found


def is_on(pattern: str, topic: str) -> bool:
    """Return whether a topic is the one that a configuration names, which may have wildcards."""
    return pattern == topic or (("+" in pattern or "#" in pattern) and filter_matches(pattern, topic))


def _topics(entity: Entity) -> Iterator[str]:
    yield from dict.fromkeys(
        topic
        for topic in (entity.state_topic, entity.attributes_topic, *(one.topic for one in entity.availability))
        if topic
    )
