"""Says which levels of a topic are kept: words that topics of several devices share; others are replaced."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from edgefleet.learn.messages import CapturedMessage
from edgefleet.learn.privacy import KNOWN_WORDS, is_harmless_level, is_sensitive_key


class TopicNames:
    """Knows which levels stand in the topics of several devices."""

    def __init__(self, messages: Sequence[CapturedMessage]) -> None:
        """Look at the topics of all messages."""
        self._made_up: dict[str, str] = {}
        self.remarks: Counter[str] = Counter()
        self._beside: dict[str, set[str]] = defaultdict(set)
        for topic in {message.topic for message in messages}:
            for level in topic.split("/"):
                self._beside[level].add(topic)

    def shown(self, topic: str, devices: int) -> str:
        """Return a topic of a group of so many devices, with names in braces, without what may not be told."""
        levels = topic.split("/")
        return "/".join(
            level if level.startswith("{") else self._level(level, levels[place - 1] if place else "", devices)
            for place, level in enumerate(levels)
        )

    def _level(self, level: str, before: str, devices: int) -> str:
        if level.lower() in KNOWN_WORDS or level == "":
            return level
        is_shared = devices >= 2 and len(self._beside[level]) >= 2
        if is_shared and is_harmless_level(level) and not is_sensitive_key(level) and not is_sensitive_key(before):
            return level
        if level not in self._made_up:
            self._made_up[level] = f"level{len(self._made_up) + 1}"
            self.remarks["levels of topics were replaced: they are of one device, or no plain words"] += 1
        return self._made_up[level]
