"""Finds devices of different groups that would speak on one topic, or on one where another device hears its commands.

Within a group its own checks see to that. Topics of all devices are only made where two templates could be the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from devices.scenario.device_group import DeviceGroup
from devices.scenario.device_parts import entry_location, entry_of
from devices.scenario.devices import Device, all_devices, device_names
from devices.scenario.scenario import Scenario
from devices.scenario.speech import DEVICE_NAMES, GATEWAY, OF_ONE_DEVICE, is_known_by_login, spoken_messages
from devices.sensors.derived import spoken_fields
from edgewire.dialects.encoder import GatewayEncoder
from edgewire.dialects.own_encoder import OwnFormatEncoder
from edgewire.dialects.payload_template import braced_names, compile_payload, fill_names, named_in
from edgewire.dialects.topic_check import shown_topic
from edgewire.errors import ConfigError
from edgewire.messages import Channel
from edgewire.messages.topics import ROOT
from edgewire.mqtt.filters import overlap
from edgewire.yaml_file import Location, key_path

_SAID = (Channel.TELEMETRY, Channel.EVENT, Channel.STATUS, Channel.RESULT)


class _Place(NamedTuple):
    """Names topics of a group on which its devices speak, or hear."""

    group: int
    key: str
    topic: str
    """With names in braces; of what is heard perhaps with wildcards."""
    tells_apart: bool = False
    """Whether what is said there has the device's id in it, and the topic has not: others may speak there as well."""
    is_own: bool = True
    """Whether each device has such a topic; otherwise each gateway."""


def check_topics(scenario: Scenario, place_of: Callable[[Location], str] | None = None) -> None:
    """Raise `ConfigError` where devices of two groups share a topic; `place_of` tells where a key was written."""
    if all(group.speaks_contract for group in scenario.devices):
        return
    said = [place for at, group in enumerate(scenario.devices) for place in _said(at, group)]
    heard = [place for at, group in enumerate(scenario.devices) for place in _heard(at, group)]
    devices: list[tuple[Device, DeviceGroup]] = []
    for one, other, is_heard in (*_pairs(said, said), *((*pair, True) for pair in _crossed(said, heard))):
        # The id in it is that of the device, and not of its part.
        if one.tells_apart and other.tells_apart and other.group not in entry_of(scenario.devices, one.group):
            continue
        devices = devices or all_devices(scenario)
        if found := _shared(one, other, scenario, devices):
            topic, names = found
            if one.key == "kind" and not is_heard:
                one, other, names = other, one, names[::-1]
            of_other = key_path(entry_location(scenario.devices, other.group))
            what = (
                f"'{names[0]}' would speak on '{shown_topic(topic)}', where '{names[1]}' of {of_other}"
                f" {'hears its commands' if is_heard else 'speaks too'}: give one of the two another topic"
            )
            location = entry_location(scenario.devices, one.group, one.key)
            raise ConfigError(f"{place_of(location) if place_of else f'scenario: {key_path(location)}'}: {what}")


def _pairs(said: Sequence[_Place], others: Sequence[_Place]) -> Iterator[tuple[_Place, _Place, bool]]:
    """Yield the later one first: it is the one to be changed."""
    for number, other in enumerate(others):
        for one in said[number + 1 :]:
            is_gateway = one.is_own != other.is_own
            if (one.group != other.group or is_gateway) and overlap(_filter(one.topic), _filter(other.topic)):
                yield one, other, False


def _crossed(said: Sequence[_Place], heard: Sequence[_Place]) -> Iterator[tuple[_Place, _Place]]:
    for one in said:
        for other in heard:
            if one.group != other.group and overlap(_filter(one.topic), _filter(other.topic)):
                yield one, other


# -- what a group says and hears, as templates


def _said(at: int, group: DeviceGroup) -> Iterator[_Place]:
    encoder = group.make_encoder()
    if encoder is None and group.device is not None:
        for channel in (Channel.TELEMETRY, Channel.EVENT):
            yield _Place(at, "kind", f"{ROOT}/{{site}}/{{kind}}/{{id}}.{{part}}/{channel.value}")
        for channel in (Channel.STATUS, Channel.RESULT) if not group.device.number else ():
            yield _Place(at, "kind", f"{ROOT}/{{site}}/device/{{id}}/{channel.value}")
        return
    if encoder is None:
        for channel in _SAID:
            yield _Place(at, "kind", f"{ROOT}/{{site}}/{{kind}}/{{id}}/{channel.value}")
        if group.gateway is not None:
            yield _Place(at, "gateway", f"{ROOT}/{{site}}/gateway/{{gateway}}/status", is_own=False)
        return
    if is_known_by_login(encoder):
        return  # to that server each has these topics for itself
    key = "topic" if group.topic is not None else "messages" if group.messages else "dialect"
    for channel, messages in spoken_messages(group.kind, encoder).items():
        for message in messages:
            fields, names = named_in(compile_payload(message.payload, spoken_fields(group.kind, channel)))
            is_common = OF_ONE_DEVICE.isdisjoint(braced_names(message.topic))
            tells = is_common and not OF_ONE_DEVICE.isdisjoint({*fields, *names})
            yield _Place(at, key, message.topic, tells)
    names_of = {name: f"{{{name}}}" for name in {*DEVICE_NAMES, *group.field_names, GATEWAY}}
    if group.device is not None and group.device.number:
        return  # the first part has the will of all
    if (will := encoder.will(names_of)) is not None and will.topic not in {one.topic for one in encoder.messages}:
        yield _Place(at, key, will.topic)
    if isinstance(encoder, GatewayEncoder):
        yield _Place(at, key, encoder.gateway_will(names_of).topic, is_own=False)
    if group.gateway is not None and group.gateway.availability is not None:
        yield _Place(at, "gateway", group.gateway.availability.topic, is_own=False)


def _heard(at: int, group: DeviceGroup) -> Iterator[_Place]:
    encoder = group.make_encoder()
    if group.device is not None and group.device.number:
        return  # commands are those of the device
    if encoder is None and group.device is not None:
        yield _Place(at, "kind", f"{ROOT}/{{site}}/device/{{id}}/{Channel.CMD.value}")
    elif encoder is None:
        yield _Place(at, "kind", f"{ROOT}/{{site}}/{{kind}}/{{id}}/{Channel.CMD.value}")
    elif not isinstance(encoder, OwnFormatEncoder) and not is_known_by_login(encoder):
        names = {name: f"{{{name}}}" for name in {*DEVICE_NAMES, *group.field_names, GATEWAY}}
        for topic in encoder.command_topics(names):
            yield _Place(at, "dialect", topic)


def _filter(topic: str) -> str:
    return "/".join("+" if "{" in level else level for level in topic.split("/"))


# -- topics of devices


def _shared(
    one: _Place, other: _Place, scenario: Scenario, devices: Sequence[tuple[Device, DeviceGroup]]
) -> tuple[str, tuple[str, str]] | None:
    """Return a topic of both, and whose it is."""
    mine, theirs = (_topics(place, scenario.devices[place.group], devices) for place in (one, other))
    plain = {topic: name for topic, name in theirs.items() if "+" not in topic and "#" not in topic}
    for topic in mine.keys() & plain.keys():
        if (mine[topic], one.group) != (plain[topic], other.group):
            return topic, (mine[topic], plain[topic])
    # `cmnd/ID/#`: which topic of the others is below it.
    below = {pattern.removesuffix("/#"): name for pattern, name in theirs.items() if pattern.endswith("/#")}
    for topic, mine_name in mine.items() if below else ():
        levels = topic.split("/")
        for count in range(1, len(levels) + 1):
            if (name := below.get("/".join(levels[:count]))) is not None:
                return topic, (mine_name, name)
    return None


def _topics(place: _Place, group: DeviceGroup, devices: Iterable[tuple[Device, DeviceGroup]]) -> Mapping[str, str]:
    """Return the topics of a place, each with the id of a device that has it."""
    found: dict[str, str] = {}
    for device, its_group in devices:
        if its_group is group:
            name = device.device_id if place.is_own or device.gateway is None else device.gateway.gateway_id
            found.setdefault(fill_names(place.topic, device_names(device)), name)
    return found
