"""Has devices describe themselves to Home Assistant, whatever format they speak."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from devices.scenario.devices import Device
from devices.scenario.gateway import GatewayAvailability
from devices.timeline.gateway_format import GatewayFormat, as_device, gateway_names
from devices.timeline.native_format import NativeFormat
from devices.timeline.table import Table
from devices.timeline.wire_format import (
    CommandAnswer,
    CommandRequest,
    HeardMessage,
    MessagePart,
    PublishOptions,
    WireFormat,
)
from devices.world.random import Flags, Ints
from edgewire.dialects.encoder import DeviceNames, DialectSession, Publication
from edgewire.dialects.home_assistant_discovery import AvailabilityTopic, DiscoveryWriter, Spoken
from edgewire.dialects.payload_template import fill_names
from edgewire.messages import Channel
from edgewire.mqtt import Message, Properties


class _Started(NamedTuple):
    """Marks a message of Home Assistant that tells whether it is there."""

    is_online: bool


class DiscoveryLayer:
    """Adds Home Assistant's discovery to another format: at each birth, and when Home Assistant has started."""

    def __init__(
        self,
        inner: WireFormat,
        writer: DiscoveryWriter,
        spoken: Spoken,
        names_of: Callable[[Device], DeviceNames],
        gateway_availability: GatewayAvailability | None = None,
    ) -> None:
        """Describe what `inner` says, which is `spoken`.

        `gateway_availability` is what gateways of a format of the user's own say.
        """
        self._gateway_availability = gateway_availability
        self.inner = inner
        """What is described."""
        self._writer = writer
        self._spoken = spoken
        self._names_of = names_of
        self.options = inner.options
        self.leaves_out = inner.leaves_out
        self.has_sessions = inner.has_sessions
        self.shared_topics = (*inner.shared_topics, writer.status_topic)

    def parts(self, channel: Channel) -> Sequence[MessagePart]:
        """Return those of the format."""
        return self.inner.parts(channel)

    def said_fields(self, channel: Channel) -> Sequence[Collection[str]] | None:
        """Return those of the format."""
        return self.inner.said_fields(channel)

    def topics(self, device: Device) -> Sequence[str]:
        """Return those of the format."""
        return self.inner.topics(device)

    def command_topics(self, device: Device) -> Sequence[str]:
        """Return those of the format, and the one on which Home Assistant tells that it has started."""
        return (*self.inner.command_topics(device), self._writer.status_topic)

    def encode(self, table: Table, devices: Sequence[Device], timestamps_ms: Ints, boot: int) -> list[bytes]:
        """Return the payloads as the format writes them."""
        return self.inner.encode(table, devices, timestamps_ms, boot)

    def is_said(self, table: Table) -> Flags | None:
        """Return what the format says."""
        return self.inner.is_said(table)

    def properties_of(self, device: Device, options: PublishOptions) -> Properties | None:
        """Return those of the format."""
        return self.inner.properties_of(device, options)

    def status(self, device: Device, status: Mapping[str, Any], *, is_first: bool = True) -> Sequence[Publication]:
        """Return the state as the format tells it, and as a device comes what it has."""
        told = tuple(self.inner.status(device, status, is_first=is_first))
        return (*told, *self._configurations(device, status, told)) if status["state"] == "online" else told

    def repeated_status(self, device: Device, status: Mapping[str, Any]) -> Sequence[Publication]:
        """Return that of the format."""
        return self.inner.repeated_status(device, status)

    def open_session(self, device: Device) -> DialectSession | None:
        """Return that of the format."""
        return self.inner.open_session(device)

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication | None:
        """Return that of the format."""
        return self.inner.will(device, status)

    def read_heard(self, device: Device, topic: str, payload: bytes) -> HeardMessage:
        """Return what the format reads."""
        return self.inner.read_heard(device, topic, payload)

    def read_command(self, device: Device, message: Message) -> CommandRequest | None:
        """Return what the format reads, or that Home Assistant is there again, or gone."""
        if message.topic == self._writer.status_topic:
            return CommandRequest(spoken=_Started(message.payload == b"online"))
        return self.inner.read_command(device, message)

    def result_topic(self, device: Device) -> str:
        """Return that of the format."""
        return self.inner.result_topic(device)

    def answer_filters(self, device: Device) -> Sequence[str]:
        """Return those of the format: it is described on the topics of its birth."""
        return self.inner.answer_filters(device)

    def answer(self, device: Device, request: CommandRequest, answer: CommandAnswer) -> Sequence[Publication]:
        """Return what the format answers; to Home Assistant, what the device has."""
        if not isinstance(request.spoken, _Started):
            return self.inner.answer(device, request, answer)
        if not request.spoken.is_online:
            return ()
        return self._configurations(device, answer.status, self.inner.status(device, answer.status, is_first=False))

    def _configurations(
        self, device: Device, status: Mapping[str, Any], told: Sequence[Publication]
    ) -> tuple[Publication, ...]:
        will = self.inner.will(device, {**status, "state": "offline"})
        others = [one.topic for one in told] if will is None else [*(one.topic for one in told), will.topic]
        spoken = self._spoken._replace(
            availability=self._availability(told, will), other_topics=others, gateway=self._of_gateway(device)
        )
        return tuple(self._writer.describe(self._names_of(device), status, spoken))

    def _of_gateway(self, device: Device) -> AvailabilityTopic | None:
        """Return where the gateway of a device tells that it is there; None where there is none, or tells nothing."""
        if device.gateway is None:
            return None
        gateway = as_device(device.gateway)
        if isinstance(self.inner, NativeFormat):
            topic = GatewayFormat((), self.inner).will(gateway, {}).topic
            return AvailabilityTopic(topic, "online", "offline", "{{ value_json.state }}")
        if (own := self._gateway_availability) is None:
            return None
        texts = (fill_names(text, gateway_names(gateway)) for text in (own.topic, own.online, own.offline))
        return AvailabilityTopic(*texts)

    def _availability(self, told: Sequence[Publication], will: Publication | None) -> AvailabilityTopic | None:
        """Return where the format tells that a device is there, in the words of its birth and of its will."""
        if will is None:
            return None
        if isinstance(self.inner, NativeFormat):
            return AvailabilityTopic(will.topic, "online", "offline", "{{ value_json.state }}")
        for one in told:
            if one.topic == will.topic and one.payload != will.payload:
                return AvailabilityTopic(one.topic, one.payload.decode(), will.payload.decode())
        return None
