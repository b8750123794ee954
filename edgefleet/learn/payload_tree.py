"""Puts a payload together of what stands at each of its places."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from edgefleet.learn.payload_values import PayloadValues
from edgefleet.learn.privacy import is_harmless_key, is_known_key
from edgewire.dialects.own_format import LEAF_KEYS
from edgewire.dialects.reading_lists import EACH
from edgewire.dialects.values import Path

_NOTATION = frozenset({"from", "const", EACH})
"""Keys that mean something in the notation of payloads, whatever stands beside them."""


class PayloadTree:
    """Puts what stands at each place together to a payload."""

    def __init__(self, device_count: int, paths: Iterable[Path]) -> None:
        """Keep keys that are harmless; those of one device alone have to be known words."""
        self._is_one = device_count < 2
        keys: dict[Path, set[object]] = defaultdict(set)
        for path in paths:
            for size in range(len(path)):
                keys[path[:size]].add(path[size])
        self._like_fields = {path for path, found in keys.items() if found <= LEAF_KEYS}
        """Objects that the notation would take for a field."""
        self._renamed: dict[str, str] = {}
        self.root: Any = None

    def put(self, values: PayloadValues, said: Any, *, may_lack: bool) -> None:
        """Put what is said at a place."""
        if not values.path:
            self.root = said
            return
        if self.root is None:
            self.root = {} if isinstance(values.path[0], str) else []
        node = self.root
        for place, following in enumerate(values.path[1:]):
            node = _child(node, self._key(place, values), [] if isinstance(following, int) else {})
        # What a device is called is no field that it may lack: its key is always there then.
        is_field = isinstance(said, str) and not said.startswith("{")
        written = {"from": said, "optional": True} if may_lack and is_field else said
        _child(node, self._key(len(values.path) - 1, values), written)

    def _key(self, place: int, values: PayloadValues) -> str | int:
        part = values.path[place]
        if isinstance(part, int):
            return part
        is_shared = len(values.series) >= 2
        is_notation = part in _NOTATION or values.path[:place] in self._like_fields
        if not is_notation and (is_known_key(part) or (is_harmless_key(part) and is_shared and not self._is_one)):
            return part
        return self._renamed.setdefault(part, f"key{len(self._renamed) + 1}")

    @property
    def renamed(self) -> int:
        """Return how many keys were replaced."""
        return len(self._renamed)


def _child(node: Any, part: str | int, new: Any) -> Any:
    if isinstance(node, list):
        while len(node) <= int(part):
            node.append(None)
        if node[int(part)] is None:
            node[int(part)] = new
        return node[int(part)]
    return node.setdefault(str(part), new)
