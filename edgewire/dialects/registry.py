"""The dialects there are, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgewire.config import Config
from edgewire.dialects.base import DialectDecoder
from edgewire.dialects.encoder import DialectEncoder
from edgewire.dialects.esphome import EsphomeDecoder, EsphomeEncoder, EsphomeOptions
from edgewire.dialects.home_assistant import HomeAssistantDecoder, HomeAssistantOptions
from edgewire.dialects.owntracks import OwnTracksDecoder, OwnTracksEncoder, OwnTracksOptions
from edgewire.dialects.shelly import ShellyDecoder, ShellyEncoder, ShellyOptions
from edgewire.dialects.tasmota import TasmotaDecoder, TasmotaEncoder, TasmotaOptions
from edgewire.dialects.zigbee2mqtt import Zigbee2MqttDecoder, Zigbee2MqttOptions
from edgewire.dialects.zigbee2mqtt_encoder import Zigbee2MqttEncoder


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect, as everything that lists dialects knows it."""

    name: str
    options: type[Config]
    decoder: Callable[[Any], DialectDecoder]
    """Called with the options; a decoder learns, so each use has its own."""
    encoder: Callable[[Any, str], DialectEncoder] | None = None
    """Called with the options and the kind of the devices; None where the dialect is only read. Raises `DialectError`
    for a kind that makes no sense in it."""
    qos: int = 1
    """Of the readings of emulated devices, where their group says nothing."""
    interval_ms: int | None = None
    """Between their readings, likewise; None: as for the message contract."""
    has_gateways: bool = False
    """Whether its devices speak over the connection of a gateway."""
    reports_on_change: bool = True
    """Whether its devices may tell a reading when it differs, and not only at an interval."""
    has_parts: bool = False
    """Whether sensors of several kinds in one device have messages of their own."""
    any_topic: bool = False
    """Whether devices may use topics beside the decoder's `filters`, which they describe themselves."""


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect(
                "tasmota",
                TasmotaOptions,
                TasmotaDecoder,
                TasmotaEncoder,
                qos=0,
                interval_ms=300_000,
                reports_on_change=False,
            ),
            Dialect(
                "esphome",
                EsphomeOptions,
                EsphomeDecoder,
                EsphomeEncoder,
                qos=0,
                interval_ms=60_000,
                has_parts=True,
                any_topic=True,
            ),
            Dialect("homeassistant", HomeAssistantOptions, HomeAssistantDecoder, any_topic=True),
            Dialect(
                "zigbee2mqtt", Zigbee2MqttOptions, Zigbee2MqttDecoder, Zigbee2MqttEncoder, qos=0, has_gateways=True
            ),
            Dialect("shelly", ShellyOptions, ShellyDecoder, ShellyEncoder, interval_ms=60_000),
            Dialect("owntracks", OwnTracksOptions, OwnTracksDecoder, OwnTracksEncoder, interval_ms=60_000),
        )
    }
)
"""Name -> dialect. A further one is a file and a line here."""
