"""Gives the fields of a learned kind names that fields may have, each its own."""

from edgefleet.learn.privacy import is_harmless_key, is_known_key, snake_case, words_of
from edgewire.dialects.values import Path

_TAKEN = words_of(
    """
    abs sqrt exp log log10 sin cos tan tanh floor ceil sign round min max clip where hypot pi and or not if else in
    true false none
    device_id timestamp boot seq kind event_type source id site faults split label date run_id firmware
    battery_pct uptime_s rssi_dbm supply_v network_delay_ms local_time local_weekday local_time_slot online part
    n mac tail
    """
)  # fmt: skip
"""What every message, device or export has, names that stand in braces, and words of formulas."""


def is_taken(name: str) -> bool:
    """Return whether no field may have a name, as every message, device or export has it."""
    return name in _TAKEN or name.startswith("clean_")


class FieldNames:
    """Names the fields of one kind."""

    def __init__(self, word: str = "", *, is_one_device: bool = False) -> None:
        """Call bare values by `word`, the level of their topic."""
        self._used: set[str] = set()
        self.word = word
        self._is_one = is_one_device

    def take(self, path: Path) -> str:
        """Return a name for what stands at a place, which no other field has."""
        parts = [str(part) for part in path if self._may_be_told(str(part))]
        texts = parts[-1:] if parts else [self.word or "value"]
        name = snake_case(texts)
        if name in self._used and len(parts) > 1:
            name = snake_case(parts)
        if is_taken(name):
            name = f"{name}_value"
        wanted, number = name, 2
        while name in self._used:
            name, number = f"{wanted}_{number}", number + 1
        self._used.add(name)
        return name

    def _may_be_told(self, part: str) -> bool:
        return is_known_key(part) or (is_harmless_key(part) and not self._is_one and not part.isdecimal())
