"""Options that those who speak of LoRaWAN devices have: levels of their topics, and their EUIs."""

from typing import Annotated

from pydantic import Field

from edgewire.config_errors import text_matching

TopicLevel = Annotated[
    str, Field(min_length=1, max_length=200), text_matching(r"^[^/+#\x00]+$", "one level of a topic, without / + #")
]
EuiTemplate = Annotated[
    str,
    Field(min_length=1, max_length=100),
    text_matching(r"^([0-9a-fA-F]|\{[a-z_][a-z0-9_]*\})+$", "hexadecimal digits and names in braces"),
]
