"""Reads the settings of loss detection: key `watch` of the configuration."""

from typing import Annotated

from pydantic import Field

from edgewire.config import Config, DurationMs


class WatchConfig(Config):
    """Says how what is lost before it reaches the bridge is looked for."""

    broker_statistics: bool = True
    """Read the broker's own count of dropped messages, over a connection named `{client_id}-watch`."""
    sequences: bool = True
    """Look for gaps in the numbers of devices. Of a shared subscription we get only a part, so it is not done there."""
    grace: Annotated[DurationMs, Field(ge=1000)] = 60_000
    """A number that is left out is missing when it has not come within this time."""
