"""Writes readings and events alone: for devices that tell no state of theirs and take no commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgewire.dialects.commandless_encoder import CommandlessEncoder
from edgewire.dialects.encoder import DeviceNames, MessageTemplate, Publication


class ReadingsEncoder(CommandlessEncoder):
    """Says readings and events by mappings, and nothing else."""

    def __init__(self, messages: Sequence[MessageTemplate], events: Sequence[MessageTemplate] = ()) -> None:
        self.messages = tuple(messages)
        self.events = tuple(events)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> tuple[Publication, ...]:
        """Return nothing."""
        return ()

    def will(self, names: DeviceNames) -> Publication | None:
        """Return none."""
        return None
