"""What a platform does not take: whoever sends it is cut off, or told that it is refused."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlatformLimits:
    """Holds what a platform allows one connection, as its documentation has it."""

    platform: str
    maximum_qos: int
    payload_bytes: int
    client_id_bytes: int
    keep_alive_s: tuple[int, int]
    """From and to: what is shorter or longer is changed by the platform, or refused."""
    messages_per_s: int | None
    """That one connection may publish; None where there is no such limit."""
    names_by_client_id: bool = False
    """Whether a device has to be called as its client."""
    topic_bytes: int = 65_535
    topic_levels: int = 65_535
    free_levels: tuple[tuple[str, int], ...] = ()
    """What topics begin with whose first levels do not count, and how many these are."""

    def topic_faults(self, topic: str) -> Iterator[str]:
        """Yield why a topic is none of the platform's, each as the rest of a sentence that begins with it."""
        free = next((levels for begin, levels in self.free_levels if topic.startswith(begin)), 0)
        levels = topic.count("/") + 1 - free
        if levels > self.topic_levels:
            yield f"has {levels} levels, and {self.platform} takes {self.topic_levels}"
        if (size := len(topic.encode())) > self.topic_bytes:
            yield f"has {size:,} bytes, and {self.platform} takes {self.topic_bytes:,}"
