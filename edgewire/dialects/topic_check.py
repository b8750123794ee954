"""Says what is wrong with a topic before anybody publishes on it. A topic may have names in braces, as in `plant/{id}`.

Empty levels, as of `/plant//x`, are no fault: brokers take them.
"""

import re
import unicodedata
from typing import Annotated

from pydantic import Field

from edgewire.config_errors import text_matching

MAX_TOPIC_BYTES = 65_535
"""MQTT 1.5.4: the length of a text is a number of two bytes."""

TopicTemplate = Annotated[
    str,
    Field(min_length=1, max_length=300),
    text_matching(r"^[^+#\x00]+$", "a topic, so without the wildcards + and #"),
]
"""A topic of emulated devices, with names in braces: `{id}`, `{site}`, `{kind}`, `{mac}`."""

TopicPrefix = Annotated[
    str,
    Field(max_length=200),
    text_matching(r"^([^+#\x00$][^+#\x00]*/)?$", "empty, or levels of a topic that end in /, without + and #"),
]
"""What a broker, or an emulated device, has before the topics of a platform, with names in braces."""
_OF_PLATFORMS = ("$aws/", "$iothub/")
"""What topics begin with that are a platform's own, and that devices publish on."""
_NAME = re.compile(r"\{[a-z_][a-z0-9_]*\}")


def topic_fault(topic: str, *, is_published: bool = True) -> str | None:
    """Return why nobody can publish on a topic, as the rest of a sentence that begins with it; None where one can.

    Unless it is to be published on, it may be one of the broker's own.
    """
    literal = _NAME.sub("", topic)
    if not topic:
        return "is empty"
    if "+" in literal or "#" in literal:
        return "has a wildcard: a device publishes on one topic"
    if "{" in literal or "}" in literal:
        return "has a brace that is not around a name: names have small letters, digits and _, as in {id}"
    if is_published and topic.startswith("$") and not topic.startswith(_OF_PLATFORMS):
        return "begins with $: such topics are the broker's own, and it takes no messages there"
    return text_fault(literal)


def level_fault(value: str, *, is_first: bool = False) -> str | None:
    """Return why a text cannot stand for a name in a topic, `is_first` where it is what the topic begins with."""
    if "+" in value or "#" in value:
        return "has a wildcard, + or #, and stands in a topic"
    if is_first and value.startswith("$"):
        return "begins with $, and the topic with it: such topics are the broker's own"
    return text_fault(value)


def text_fault(text: str) -> str | None:
    """Return why a text can be none of MQTT's (1.5.4): what it must not have, and what a broker may refuse it for."""
    for character in text:
        code = ord(character)
        if unicodedata.category(character) in ("Cc", "Cs") or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
            return f"has the character U+{code:04X}, which no text of MQTT should have"
    if len(text.encode()) > MAX_TOPIC_BYTES:
        return f"is longer than the {MAX_TOPIC_BYTES:,} bytes that a text of MQTT has at most"
    return None


def shown_topic(topic: str) -> str:
    """Return a topic as it can be shown: as short as a line, and without what is invisible."""
    text = topic if len(topic) <= 80 else f"{topic[:40]}…{topic[-20:]}"
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
