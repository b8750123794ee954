"""Checks topic names and topic filters, and tells which filter matches which topic."""

from edgewire.mqtt.codec import write_text
from edgewire.mqtt.errors import Unsendable

_SHARE = "$share/"


def encode_topic(topic: str) -> bytes:
    """Return the UTF-8 form of a topic to publish to, without its length; raises `Unsendable` for an invalid one."""
    if not topic:
        raise Unsendable("a topic is empty: give it a name")
    if "+" in topic or "#" in topic:
        raise Unsendable(f"topic '{topic}' contains a wildcard: only a filter may")
    return write_text(topic)[2:]


def check_topic(topic: bytes) -> bytes:
    """Return the same topic, already encoded; raises `Unsendable` for what a topic may not contain."""
    if not topic or 0x2B in topic or 0x23 in topic or 0 in topic:
        raise Unsendable(f"topic {topic!r} is empty or contains '+', '#' or U+0000")
    return topic


def is_shared(topic_filter: str) -> bool:
    """Tell whether this filter is a shared subscription: `$share/{group}/{filter}`."""
    return topic_filter.startswith(_SHARE)


def has_wildcard(topic_filter: str) -> bool:
    """Tell whether `+` or `#` is in it."""
    return "+" in topic_filter or "#" in topic_filter


def check_filter(topic_filter: str) -> None:
    """Raise `Unsendable`, which names the filter and the fault, if it is not valid."""
    write_text(topic_filter)
    inner = topic_filter
    if is_shared(topic_filter):
        group, _, inner = topic_filter.removeprefix(_SHARE).partition("/")
        if not group or has_wildcard(group):
            raise Unsendable(f"filter '{topic_filter}' needs a share name without wildcards: $share/NAME/FILTER")
    if not inner:
        raise Unsendable(f"filter '{topic_filter}' is empty: '#' matches everything")
    levels = inner.split("/")
    if any(len(level) > 1 and has_wildcard(level) for level in levels):
        raise Unsendable(f"filter '{topic_filter}' has a wildcard that is not a whole level")
    if "#" in levels[:-1]:
        raise Unsendable(f"filter '{topic_filter}' has '#' before its last level")


def covers(wide: str, narrow: str) -> bool:
    """Tell whether every topic that `narrow` matches is one that `wide` matches; neither is a shared subscription."""
    if wide == narrow:
        return True
    if narrow.startswith("$") and wide[0] in "+#":
        return False
    wider, narrower = wide.split("/"), narrow.split("/")
    if wider[-1] == "#":
        wider.pop()
        if narrower[-1] == "#":
            narrower.pop()
        if len(narrower) < len(wider):
            return False
        narrower = narrower[: len(wider)]
    if len(wider) != len(narrower) or "#" in narrower:
        return False
    return all(w == "+" or w == n for w, n in zip(wider, narrower, strict=True))


def overlap(one: str, other: str) -> bool:
    """Tell whether some topic matches both filters; neither is a shared subscription."""
    if (one[0] in "+#" and other.startswith("$")) or (other[0] in "+#" and one.startswith("$")):
        return False
    first, second = one.split("/"), other.split("/")
    for a, b in zip(first, second, strict=False):
        if "#" in (a, b):
            return True
        if a != b and "+" not in (a, b):
            return False
    if len(first) == len(second):
        return True
    longer = first if len(first) > len(second) else second
    return longer[min(len(first), len(second)) :] == ["#"]  # `a/#` matches `a` too


def filter_matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a message on `topic` goes to a subscription of `topic_filter`; both must be valid.

    A shared subscription matches as the filter inside it. A wildcard does not match a first level that begins with
    `$` (4.7.2), and `a/#` matches `a` itself (4.7.1.2).
    """
    if is_shared(topic_filter):
        topic_filter = topic_filter.removeprefix(_SHARE).partition("/")[2]
    if topic_filter == topic:
        return True
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    wanted = topic_filter.split("/")
    given = topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(w in ("+", g) for w, g in zip(wanted, given, strict=True))
