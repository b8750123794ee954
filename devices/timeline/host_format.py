"""Writes what a device with several parts says of itself as a whole: what each part would say, put together."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from devices.scenario.devices import Device, Host
from devices.timeline.native_format import HOST_KIND, NativeFormat
from devices.timeline.wire_format import CommandAnswer, CommandRequest, HeardMessage, WireFormat
from edgewire.dialects.encoder import Publication
from edgewire.mqtt import Message


def host_device(part: Device, host: Host) -> Device:
    """Return the device that a part is of as one that never measures."""
    return Device(
        host.device_id, HOST_KIND, part.site, part.qos, 1, part.ordinal, host.key, part.client_id, part.fields
    )


class HostFormat(NativeFormat):
    """Writes status, will and answers of a device with parts, in the formats of these.

    What several parts say on one topic is said once: objects of JSON with the keys of all of them, and of what is not
    the same at two the first one.
    """

    def __init__(self, parts: Sequence[tuple[Device, WireFormat]]) -> None:
        """Take the parts, each with the format in which it speaks."""
        self._parts = parts
        found = (topic for _, wire_format in parts for topic in wire_format.shared_topics)
        self.shared_topics = tuple(dict.fromkeys(found))

    def topics(self, device: Device) -> tuple[str, ...]:  # type: ignore[override]
        """Return none: its parts measure."""
        return ()

    def command_topics(self, device: Device) -> tuple[str, ...]:
        """Return the topic filters of the commands of all its parts."""
        return tuple(dict.fromkeys(topic for part, one in self._parts for topic in one.command_topics(part)))

    def status(  # type: ignore[override]
        self, device: Device, status: Mapping[str, Any], *, is_first: bool = True
    ) -> tuple[Publication, ...]:
        """Return what tells its state, once for all its parts."""
        return joined(one for part, form in self._parts for one in form.status(part, status, is_first=is_first))

    def repeated_status(self, device: Device, status: Mapping[str, Any]) -> tuple[Publication, ...]:  # type: ignore[override]
        """Return what it says again of its state every now and then."""
        return joined(one for part, form in self._parts for one in form.repeated_status(part, status))

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication | None:  # type: ignore[override]
        """Return the last will: that of the first part that has one."""
        wills = (form.will(part, status) for part, form in self._parts)
        return next((one for one in wills if one is not None), None)

    def read_heard(self, device: Device, topic: str, payload: bytes) -> HeardMessage:
        """Return nothing: nobody listens for others in the place of a device with parts."""
        return HeardMessage()

    def read_command(self, device: Device, message: Message) -> CommandRequest | None:  # type: ignore[override]
        """Return what a message asks for, as the first part that heeds it reads it."""
        read = (form.read_command(part, message) for part, form in self._parts)
        return next((one for one in read if one is not None), None)

    def result_topic(self, device: Device) -> str:
        """Return the topic on which it answers; empty where its parts have none."""
        return next(filter(None, (form.result_topic(part) for part, form in self._parts)), "")

    def answer_filters(self, device: Device) -> tuple[str, ...]:
        """Return the topic filters of its answers."""
        return tuple(dict.fromkeys(topic for part, form in self._parts for topic in form.answer_filters(part)))

    def answer(self, device: Device, request: CommandRequest, answer: CommandAnswer) -> tuple[Publication, ...]:  # type: ignore[override]
        """Return what it publishes when a command is done, or refused, once for all its parts."""
        return joined(one for part, form in self._parts for one in form.answer(part, request, answer))


def joined(said: Iterable[Publication]) -> tuple[Publication, ...]:
    """Return messages without those said twice, and with those put together that are objects of JSON on one topic."""
    found: dict[tuple[str, bytes], Publication] = {}
    objects: dict[str, tuple[str, bytes]] = {}
    for one in said:
        key = one.topic, one.payload
        if key in found:
            continue
        other = objects.get(one.topic)
        if (body := _object(one.payload)) is None or other is None:
            found[key] = one
            if body is not None:
                objects[one.topic] = key
            continue
        whole = orjson.dumps(_merged(orjson.loads(found[other].payload), body))
        found[other] = found[other]._replace(payload=whole)
    return tuple(found.values())


def _object(payload: bytes) -> dict[str, Any] | None:
    if payload[:1] != b"{":
        return None
    found = orjson.loads(payload)
    return found if isinstance(found, dict) else None


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return an object with the keys of both, objects in it as well."""
    merged = dict(one)
    for key, value in other.items():
        mine = merged.setdefault(key, value)
        if isinstance(mine, dict) and isinstance(value, dict):
            merged[key] = _merged(mine, value)
    return merged
