"""Reads the settings of what publishes dead letters: key `dead_letters` of the configuration."""

from typing import Annotated

from edgewire.config import Config
from edgewire.config_errors import text_matching

_KAFKA_TOPIC = text_matching(r"^[A-Za-z0-9._-]{1,249}$", "letters, digits, '.', '_' and '-', at most 249")
_MQTT_TOPIC = text_matching(r"^[^+#\x00]+$", "a topic, so without the wildcards + and #")


class DeadLettersConfig(Config):
    """Dead letters are kept in the spool; here they are published besides, each at least once."""

    kafka_topic: Annotated[str, _KAFKA_TOPIC] | None = None
    """Topic of the cluster of `kafka`; the payload as it came, with the reason in headers."""
    mqtt_topic: Annotated[str, _MQTT_TOPIC] | None = None
    """Topic of the broker; a JSON document with QoS 1."""
