"""Takes topics apart by a pattern with names in it, such as `tele/{topic}/{name}`, and puts them together again."""

import re
from collections.abc import Mapping

from edgewire.dialects.base import DialectError

_NAME = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class TopicPattern:
    """Matches topics in which some texts stand for names. A name takes one level or, if it is in `deep`, several."""

    def __init__(self, pattern: str, *, deep: frozenset[str] = frozenset()) -> None:
        """Raises `DialectError` for a pattern with a wildcard, or with a name twice."""
        if "+" in pattern or "#" in pattern:
            raise DialectError(
                f"topic '{pattern}' has a wildcard in it: name what stands there in braces, as in {{id}}"
            )
        self.text = pattern
        parts = _NAME.split(pattern)
        self.names = tuple(parts[1::2])
        if len(set(self.names)) < len(self.names):
            raise DialectError(f"topic '{pattern}' has the same name twice")
        regex = "".join(
            f"(?P<{part}>{'.+' if part in deep else '[^/]+'})" if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
        self._regex = re.compile(regex, re.DOTALL)
        levels: list[str] = []
        for level in pattern.split("/"):
            found = _NAME.findall(level)
            if deep.intersection(found):
                levels.append("#")
                break
            levels.append("+" if found else level)
        self.filter = "/".join(levels)
        """The narrowest topic filter that matches every topic of this pattern."""

    def match(self, topic: str) -> dict[str, str] | None:
        """Return what stands for each name; None for a topic of another form."""
        found = self._regex.fullmatch(topic)
        return found.groupdict() if found else None

    def fill(self, names: Mapping[str, object]) -> str:
        """Return the topic in which each name is replaced by its value."""
        return _NAME.sub(lambda name: str(names[name[1]]), self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TopicPattern) and other.text == self.text and other._regex == self._regex

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"TopicPattern({self.text!r})"
