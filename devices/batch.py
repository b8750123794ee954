"""Messages as they go on the wire."""

from dataclasses import dataclass

from edgewire.messages import Channel


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in the order of their due time, device id and seq; one row each, column by column."""

    due_ms: list[int]
    device: list[int]
    """Position in `Timeline.devices`."""
    seq: list[int]
    channel: list[Channel]
    payload: list[bytes]
    boot: list[int]

    def __len__(self) -> int:
        return len(self.due_ms)
