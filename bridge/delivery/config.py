"""Reads the settings of what publishes dead letters: key `dead_letters` of the configuration."""

from typing import Annotated

from pydantic import Field

from edgewire.config import Config


class DeadLettersConfig(Config):
    """Dead letters are kept in the spool; here they are published besides, each at least once."""

    kafka_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] | None = None
    """Topic of the cluster of `kafka`; the payload as it came, with the reason in headers."""
    mqtt_topic: Annotated[str, Field(pattern=r"^[^+#\x00]+$")] | None = None
    """Topic of the broker; a JSON document with QoS 1."""
