"""The keys `spool` of the configuration."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgewire.config import Config, DurationMs, PositiveInt, SizeBytes


class SpoolConfig(Config):
    """Says where the file is in which messages are safe, and when it is full."""

    path: Path = Path("bridge-spool.db")
    max_bytes: Annotated[SizeBytes, Field(ge=1 << 16)] = 10 << 30
    """When it holds this much, nothing more is acknowledged until a sink makes room."""
    max_age: Annotated[DurationMs, Field(ge=1000)] | None = None
    """When a message has been pending for longer, nothing more is acknowledged until it is done with."""
    broker_queue: PositiveInt | None = None
    """How many messages the broker queues for the bridge, to tell how long that lasts once the spool is full."""
    commit_messages: PositiveInt = 500
    """A commit is made as soon as this many messages wait for it,"""
    commit_interval: Annotated[DurationMs, Field(ge=0, le=1000)] = 5
    """and otherwise this long after the last one."""
    abandon: tuple[str, ...] = ()
    """Sinks that are configured no longer and whose pending messages may be forgotten."""
