"""Writes what a gateway itself says, beside the devices whose connection it has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devices.scenario.devices import Device, Gateway
from devices.scenario.gateway import GatewayAvailability
from devices.timeline.native_format import NativeFormat
from devices.timeline.wire_format import WireFormat
from edgewire.dialects.encoder import (
    AddressingEncoder,
    DeviceNames,
    DialectSession,
    GatewayEncoder,
    GatewayRequest,
    Publication,
    SessionEncoder,
)
from edgewire.dialects.payload_template import fill_names
from edgewire.mqtt import Message

GATEWAY_KIND = "gateway"
"""In topics of the message contract: a gateway has a status, and no readings."""


def as_device(gateway: Gateway) -> Device:
    """Return a gateway as a device that never measures."""
    return Device(gateway.gateway_id, GATEWAY_KIND, gateway.site, 1, 1, 0, gateway.key, gateway.gateway_id, {})


def gateway_names(gateway: Device) -> dict[str, str]:
    """Return what stands for the names in braces of a gateway."""
    return {"gateway": gateway.device_id, "site": gateway.site, "mac": f"02{gateway.key % 2**40:010X}"}


class GatewayFormat(NativeFormat):
    """Writes a gateway's status as the message contract has it: `edge/{site}/gateway/{gateway}/status`."""

    def __init__(self, devices: Sequence[Device], device_format: WireFormat) -> None:
        """Take the devices behind the gateway, and the format in which they speak."""
        self._devices = devices
        self._device_format = device_format
        self.shared_topics = tuple(device_format.shared_topics)

    def topics(self, device: Device) -> tuple[str, ...]:  # type: ignore[override]
        """Return none: a gateway measures nothing."""
        return ()

    def command_topics(self, device: Device) -> tuple[str, ...]:
        """Return the topics of the commands of all its devices: it takes none itself."""
        found = (topic for one in self._devices for topic in self._device_format.command_topics(one))
        return tuple(dict.fromkeys(found))

    def result_topic(self, device: Device) -> str:
        """Return an empty text: it takes no commands of the message contract."""
        return ""

    def read_request(self, device: Device, message: Message) -> GatewayRequest | None:
        """Return None: nothing is for the gateway itself."""
        return None

    def told_names(self, device: Device, topic: str, payload: bytes) -> Mapping[str, str]:
        """Return none: its devices have no other names."""
        return {}

    addresses_devices = False
    """Whether commands of all its devices come on one topic, and name the device."""

    def addressed_device(self, message: Message) -> str | None:
        """Return the id of the device that a message names; None where it names none."""
        return None


class OwnGatewayFormat(GatewayFormat):
    """Writes the availability of gateways whose devices have a format of the user's own; mostly there is none."""

    def __init__(
        self, devices: Sequence[Device], device_format: WireFormat, availability: GatewayAvailability | None
    ) -> None:
        super().__init__(devices, device_format)
        self._availability = availability

    def status(  # type: ignore[override]
        self, device: Device, status: Mapping[str, Any], *, is_first: bool = True
    ) -> tuple[Publication, ...]:
        """Return the one retained message, where there is such."""
        told = self._availability
        if told is None:
            return ()
        return (self._filled(told.topic, told.online if status["state"] == "online" else told.offline, device),)

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication | None:  # type: ignore[override]
        """Return what the gateway would say as it goes."""
        told = self._availability
        return None if told is None else self._filled(told.topic, told.offline, device)

    def _filled(self, topic: str, payload: str, device: Device) -> Publication:
        names = gateway_names(device)
        return Publication(fill_names(topic, names), fill_names(payload, names).encode(), retain=True)


class AddressingGatewayFormat(OwnGatewayFormat):
    """Says nothing of gateways whose devices all hear their commands on one topic."""

    addresses_devices = True

    def __init__(self, devices: Sequence[Device], device_format: WireFormat, encoder: AddressingEncoder) -> None:
        super().__init__(devices, device_format, None)
        self._encoder = encoder

    def addressed_device(self, message: Message) -> str | None:
        """Return the id of the device that a message is for."""
        return self._encoder.addressed_device(message.payload)


class DialectGatewayFormat(GatewayFormat):
    """Writes what a gateway of a dialect says, and answers what is asked of it."""

    def __init__(
        self,
        devices: Sequence[Device],
        device_format: WireFormat,
        encoder: GatewayEncoder,
        names_of: Callable[[Device], DeviceNames],
    ) -> None:
        """Take what stands for the names in braces of a device, as it is called now, from `names_of`."""
        super().__init__(devices, device_format)
        self.has_sessions = device_format.has_sessions
        self._encoder = encoder
        self._names_of = names_of

    def status(  # type: ignore[override]
        self, device: Device, status: Mapping[str, Any], *, is_first: bool = True
    ) -> tuple[Publication, ...]:
        """Return what tells that the gateway is there, and what it has."""
        return tuple(self._encoder.gateway_state(gateway_names(device), self._device_names(), status))

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication:
        """Return what the broker publishes when the gateway goes without a goodbye."""
        return self._encoder.gateway_will(gateway_names(device))

    def open_session(self, device: Device) -> DialectSession | None:  # type: ignore[override]
        """Return what the connection of a gateway needs for what it and its devices say."""
        encoder = self._encoder
        return encoder.open_session(gateway_names(device)) if isinstance(encoder, SessionEncoder) else None

    def command_topics(self, device: Device) -> tuple[str, ...]:
        """Return the filters of all that is asked of the gateway and its devices."""
        return (*self._encoder.gateway_filters(gateway_names(device)), *self.shared_topics)

    def answer_filters(self, device: Device) -> tuple[str, ...]:
        """Return the filters of responses, and of what its devices say under other names."""
        return tuple(self._encoder.gateway_answer_filters(gateway_names(device)))

    def read_request(self, device: Device, message: Message) -> GatewayRequest | None:
        """Return what comes of a message that is for the gateway itself."""
        return self._encoder.read_request(gateway_names(device), self._device_names(), message.topic, message.payload)

    def told_names(self, device: Device, topic: str, payload: bytes) -> Mapping[str, str]:
        """Return by which names a retained message of the gateway calls its devices, by their ids."""
        return self._encoder.told_names(gateway_names(device), self._device_names(), topic, payload)

    def _device_names(self) -> list[DeviceNames]:
        return [self._names_of(one) for one in self._devices]
