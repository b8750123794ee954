"""Says what an operator should know of how the bridge and its broker fit together, although messages are received."""

from itertools import combinations

from bridge.config import BridgeConfig
from bridge.message.config import SubscriptionConfig
from bridge.routing.table import possible_routes
from bridge.source.sessions import effective_filters
from edgewire.config import duration_text
from edgewire.link.url import plain_password_warning
from edgewire.mqtt.filters import covers, is_shared, overlap

_SHOWN = 7
"""Filters of a format; those of one whose prefix has any number of levels go on alike."""


def expiry_warning(broker: str, kept_s: int, wanted_s: int) -> str | None:
    """Say what it means that a broker keeps the session for less than it was asked for; None where it does not."""
    if kept_s >= wanted_s:
        return None
    if kept_s == 0:
        return (
            f"broker {broker} keeps no session: whatever is published while the bridge is not connected is lost; raise"
            " the session expiry that it allows"
        )
    kept, wanted = duration_text(kept_s * 1000), duration_text(wanted_s * 1000)
    return (
        f"broker {broker} keeps the session for {kept}, not {wanted}: what it has queued for a bridge that is away for"
        " longer is lost"
    )


def subscription_warnings(config: BridgeConfig) -> list[str]:
    """Say what is to be known of the subscriptions before anything comes."""
    return [*overlap_warnings(config), *format_warnings(config)]


def password_warning(config: BridgeConfig) -> str | None:
    """Say where the bridge's password goes unencrypted; None where it does not, or that is known."""
    if config.mqtt.allow_plain_password:
        return None
    return plain_password_warning(config.brokers, "mqtt.allow_plain_password")


def overlap_warnings(config: BridgeConfig) -> list[str]:
    """Say which filters are left out because another covers them, and which bring some messages more than once."""
    effective = effective_filters(config)
    covered = {
        topic: next(one for one in effective if not is_shared(one) and covers(one, topic))
        for topic in dict.fromkeys(config.filters)
        if topic not in effective
    }
    return [
        *(f"subscription '{topic}' is left out: '{by}' covers it" for topic, by in covered.items()),
        *(
            f"subscriptions '{one}' and '{other}' overlap: what both match comes twice, and is delivered twice"
            for one, other in combinations(effective, 2)
            if overlap(_without_share(one), _without_share(other))
        ),
    ]


def format_warnings(config: BridgeConfig) -> list[str]:
    """Say of which subscriptions nothing can be read in the format that they have, or no route takes what is read."""
    found = []
    effective = effective_filters(config)
    for one in config.subscriptions:
        entry = SubscriptionConfig(filter=one) if isinstance(one, str) else one
        readable = entry.readable_filters
        dropped = any(row.drop and overlap(entry.plain_filter, row.topic) for row in config.routes)
        if not dropped and not any(overlap(entry.plain_filter, known) for known in readable):
            wanted = (
                "give it the format that it is in, with decode" if isinstance(one, str) else "that is on other topics"
            )
            found.append(
                f"subscription '{entry.filter}' can bring nothing but dead letters: {entry.format} is on"
                f" {', '.join(readable[:_SHOWN])}; {wanted}"
            )
        elif entry.filter in effective and not possible_routes(entry, config.route_rows):
            found.append(
                f"subscription '{entry.filter}' can bring nothing but dead letters: no route takes what it brings; give"
                f" it one, with topic: '{entry.plain_filter}'"
            )
    return [*found, *_discovery_warnings(config)]


def _discovery_warnings(config: BridgeConfig) -> list[str]:
    """Say of which subscriptions the devices would describe themselves on topics that none brings."""
    entries = [one for one in config.subscriptions if not isinstance(one, str)]
    found = []
    for entry in entries:
        topics = entry.description_filters
        others = [one.plain_filter for one in entries if one.format == entry.format]
        if topics and not any(overlap(one, topic) for one in others for topic in topics):
            known = topics[0].partition("/+")[0]
            found.append(
                f"subscription '{entry.filter}': what its values are, and in which units, only the discovery says, and "
                f"no subscription brings that; add {{filter: {known}/#, decode: {entry.format}}}"
            )
    return found


def _without_share(topic: str) -> str:
    return topic.split("/", 2)[2] if is_shared(topic) else topic
