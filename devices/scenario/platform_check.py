"""Finds what devices of a scenario would do that their platform does not take: it would cut them off for it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from devices.firmware.config import OutboxConfig
from devices.scenario.device_group import DeviceGroup
from devices.scenario.speech import spoken_messages
from edgewire.dialects.payload_template import braced_names
from edgewire.dialects.platform_limits import PlatformLimits
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.topic_check import shown_topic

_CLOSE = 0.95
"""Part of a limit that is still below it, whoever counts."""


class PlatformFault(NamedTuple):
    """Says what is beyond a limit, and where that is set."""

    limit: str
    """In a word or two, as a list of checks has it."""
    key: str
    """Of the group; of the scenario where it is one of that."""
    is_of_group: bool
    said: str


def limits_of(group: DeviceGroup) -> PlatformLimits | None:
    """Return what the platform of a group's dialect takes; None where it has no platform with limits."""
    dialect = DIALECTS.get(group.dialect_name)
    return None if dialect is None else dialect.limits


def longest_keep_alive_s(groups: Iterable[DeviceGroup]) -> int:
    """Return the longest keep alive that the platforms of all these groups take."""
    limits = [found for group in groups if (found := limits_of(group)) is not None]
    return min((found.keep_alive_s[1] for found in limits), default=65_535)


def paced_outbox(outbox: OutboxConfig, group: DeviceGroup, time_scale: float) -> OutboxConfig:
    """Return how devices of a group empty their outbox: as it is set, and no quicker than their platform takes it.

    What has waited leaves in bursts of a second's worth: half of the limit, but more than what comes meanwhile.
    """
    limits = limits_of(group)
    if limits is None or limits.messages_per_s is None:
        return outbox
    most = limits.messages_per_s
    paced = max(most / 2, min(_CLOSE * most, 1.25 * _messages_per_s(group, time_scale)))
    if outbox.flush_per_second is not None and outbox.flush_per_second <= paced:
        return outbox
    return outbox.model_copy(update={"flush_per_second": paced})


def _messages_per_s(group: DeviceGroup, time_scale: float) -> float:
    return time_scale * 1000 / group.least_interval / group.readings_per_message


def platform_faults(group: DeviceGroup, keep_alive_ms: int, time_scale: float) -> Iterator[PlatformFault]:
    """Yield what devices of a group would do that their platform does not take."""
    limits = limits_of(group)
    if limits is None:
        return
    if group.qos > limits.maximum_qos:
        said = (
            f"{limits.platform} has no QoS {group.qos}, and cuts off who publishes so: write qos: {limits.maximum_qos}"
        )
        yield PlatformFault("QoS", "qos", True, said)
    least, most = limits.keep_alive_s
    if not least * 1000 <= keep_alive_ms <= most * 1000:
        said = (
            f"{keep_alive_ms / 1000:g} s is not what {limits.platform} takes: write one from {least}s to {most}s, or"
            f" leave out {group.dialect_name}"
        )
        yield PlatformFault("keep alive", "keep_alive", False, said)
    rate = _messages_per_s(group, time_scale)
    if limits.messages_per_s is not None and rate > limits.messages_per_s:
        said = (
            f"each device would publish {rate:,.0f} messages a second, and {limits.platform} takes"
            f" {limits.messages_per_s} of a connection: write a longer interval, or a smaller time_scale"
        )
        yield PlatformFault("messages a second", "interval", True, said)
    for one in (*group.ids, *group.client_ids):
        if len(one.encode()) > limits.client_id_bytes:
            said = f"'{one[:40]}…' is longer than the {limits.client_id_bytes} bytes that {limits.platform} takes"
            yield PlatformFault("client id", "ids", True, said)
            break
    if limits.names_by_client_id and group.client_ids and group.client_ids != group.ids:
        said = f"{limits.platform} knows devices by their client ids, which are to be the same as ids: leave them out"
        yield PlatformFault("client id", "client_ids", True, said)
    for topic in _longest_topics(group):
        for fault in limits.topic_faults(topic):
            yield PlatformFault("topic", "dialect", True, f"topic '{shown_topic(topic)}' {fault}")


def _longest_topics(group: DeviceGroup) -> Iterator[str]:
    """Yield each topic of readings with the longest names that its devices have."""
    encoder = group.make_encoder()
    assert encoder is not None
    templates = [one.topic for found in spoken_messages(group.kind, encoder).values() for one in found]
    for template in dict.fromkeys(templates):
        topic = template
        for name in braced_names(template):
            topic = topic.replace(f"{{{name}}}", _longest(_values_of(name, group)))
        yield topic


def _values_of(name: str, group: DeviceGroup) -> Sequence[str]:
    match name:
        case "id":
            return group.ids or (group.device_id(group.size),)
        case "kind":
            return (group.kind,)
        case "site":
            return (group.site or "default",)
        case "mac":
            return ("0" * 12,)
    value = group.fields.get(name, "")
    return (value,) if isinstance(value, str) else value


def _longest(values: Sequence[str]) -> str:
    return max(values, key=lambda value: len(value.encode()), default="")
