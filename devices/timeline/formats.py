"""Makes the wire format of each entry of a scenario that does not speak the native one."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, device_names
from devices.scenario.scenario import Scenario
from devices.scenario.speech import spoken_by
from devices.timeline.dialect_format import DialectFormat
from devices.timeline.discovery_layer import DiscoveryLayer
from devices.timeline.field_texts import Vitals
from devices.timeline.gateway_format import (
    AddressingGatewayFormat,
    DialectGatewayFormat,
    GatewayFormat,
    OwnGatewayFormat,
)
from devices.timeline.native_format import NativeFormat
from devices.timeline.wire_format import WireFormat
from edgewire.dialects.encoder import AddressingEncoder, GatewayEncoder
from edgewire.dialects.encodings import find_encoding

USUAL_RSSI_DBM = -65.0
"""Of a radio of which nothing is said: good enough, as most are."""


def make_wire_formats(scenario: Scenario) -> dict[int, WireFormat]:
    """Return, by the `id` of the group, the formats of those that speak a dialect or their own, or have a discovery."""
    formats: dict[int, WireFormat] = {}
    for group in scenario.devices:
        encoder, encoding = group.make_encoder(), find_encoding(group.encoding)
        if encoder is not None:
            firmware = scenario.build(group).firmware
            vitals = Vitals(
                firmware=firmware.version,
                rssi_dbm=USUAL_RSSI_DBM if firmware.rssi is None else firmware.rssi,
                battery_life_ms=firmware.battery_life,
                zone=ZoneInfo(group.timezone),
            )
            formats[id(group)] = DialectFormat(
                group.kind, encoder, device_names, vitals, group.make_decoder(), encoding
            )
        elif encoding is not None:
            formats[id(group)] = NativeFormat.encoded(encoding)
        if (writer := group.make_discovery(encoder)) is not None:
            inner = formats.get(id(group), NativeFormat())
            told = None if group.gateway is None else group.gateway.availability
            spoken = spoken_by(group.kind, encoder, group.device)
            formats[id(group)] = DiscoveryLayer(inner, writer, spoken, device_names, told)
    return formats


def dialect_format(wire_format: WireFormat) -> DialectFormat:
    """Return the format of a dialect, without the discovery that may be around it."""
    inner = wire_format.inner if isinstance(wire_format, DiscoveryLayer) else wire_format
    assert isinstance(inner, DialectFormat)
    return inner


def make_gateway_format(group: DeviceGroup, devices: Sequence[Device], device_format: WireFormat) -> GatewayFormat:
    """Return what a gateway says that has these devices of a group, which speak in `device_format`."""
    encoder = group.make_encoder()
    if encoder is None:
        return GatewayFormat(devices, device_format)
    if isinstance(encoder, GatewayEncoder):
        return DialectGatewayFormat(devices, device_format, encoder, dialect_format(device_format).device_names)
    if isinstance(encoder, AddressingEncoder):
        return AddressingGatewayFormat(devices, device_format, encoder)
    assert group.gateway is not None
    return OwnGatewayFormat(devices, device_format, group.gateway.availability)
