"""The dialects there are, by name: edgefleet's own, and those of plug-ins."""

from collections.abc import Mapping
from types import MappingProxyType

from edgewire.dialects.aws_iot import AWS_LIMITS, AwsIotDecoder, AwsIotOptions
from edgewire.dialects.aws_iot_encoder import AwsIotEncoder
from edgewire.dialects.azure_iot import AZURE_IOT, AZURE_LIMITS, AzureIotDecoder, AzureIotOptions
from edgewire.dialects.azure_iot_encoder import AzureIotEncoder
from edgewire.dialects.chirpstack import ChirpStackDecoder, ChirpStackOptions
from edgewire.dialects.chirpstack_encoder import ChirpStackEncoder
from edgewire.dialects.cloudevents import CloudEventsDecoder, CloudEventsEncoder, CloudEventsOptions
from edgewire.dialects.dialect import Dialect
from edgewire.dialects.esphome import EsphomeDecoder, EsphomeEncoder, EsphomeOptions
from edgewire.dialects.home_assistant import HomeAssistantDecoder, HomeAssistantOptions
from edgewire.dialects.homie import HomieDecoder, HomieEncoder, HomieOptions
from edgewire.dialects.influx import InfluxDecoder, InfluxEncoder, InfluxOptions
from edgewire.dialects.lorawan_tts import TheThingsStackDecoder, TheThingsStackOptions
from edgewire.dialects.lorawan_tts_encoder import TheThingsStackEncoder
from edgewire.dialects.meshtastic import MeshtasticDecoder, MeshtasticOptions
from edgewire.dialects.owntracks import OwnTracksDecoder, OwnTracksEncoder, OwnTracksOptions
from edgewire.dialects.ruuvi_gateway import RuuviGatewayDecoder, RuuviGatewayOptions
from edgewire.dialects.senml import SenmlDecoder, SenmlEncoder, SenmlOptions
from edgewire.dialects.shelly import ShellyDecoder, ShellyEncoder, ShellyOptions
from edgewire.dialects.sparkplug import SparkplugDecoder, SparkplugOptions
from edgewire.dialects.sparkplug_encoder import SparkplugDeviceEncoder, SparkplugNodeEncoder
from edgewire.dialects.tasmota import TasmotaDecoder, TasmotaEncoder, TasmotaOptions
from edgewire.dialects.thingsboard import ThingsBoardDecoder, ThingsBoardOptions
from edgewire.dialects.thingsboard_encoder import ThingsBoardEncoder, ThingsBoardGatewayEncoder
from edgewire.dialects.zigbee2mqtt import Zigbee2MqttDecoder, Zigbee2MqttOptions
from edgewire.dialects.zigbee2mqtt_encoder import Zigbee2MqttEncoder
from edgewire.plugins import load_plugins

_OWN: Mapping[str, Dialect] = MappingProxyType(
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
            Dialect("senml", SenmlOptions, SenmlDecoder, SenmlEncoder, any_topic=True, is_platform=True),
            Dialect(
                "sparkplug",
                SparkplugOptions,
                SparkplugDecoder,
                SparkplugNodeEncoder,
                qos=0,
                gateway_encoder=SparkplugDeviceEncoder,
                has_fixed_qos=True,
                allows_standby=False,
                is_platform=True,
            ),
            Dialect("influx", InfluxOptions, InfluxDecoder, InfluxEncoder, any_topic=True, is_platform=True),
            Dialect(
                "cloudevents",
                CloudEventsOptions,
                CloudEventsDecoder,
                CloudEventsEncoder,
                any_topic=True,
                is_platform=True,
            ),
            Dialect("homie", HomieOptions, HomieDecoder, HomieEncoder, qos=2, is_platform=True),
            Dialect(
                "chirpstack",
                ChirpStackOptions,
                ChirpStackDecoder,
                ChirpStackEncoder,
                qos=0,
                interval_ms=600_000,
                has_gateways=True,
                is_platform=True,
            ),
            Dialect(
                "lorawan-tts",
                TheThingsStackOptions,
                TheThingsStackDecoder,
                TheThingsStackEncoder,
                qos=0,
                interval_ms=600_000,
                has_gateways=True,
                is_platform=True,
            ),
            Dialect(
                "thingsboard",
                ThingsBoardOptions,
                ThingsBoardDecoder,
                ThingsBoardEncoder,
                gateway_encoder=ThingsBoardGatewayEncoder,
                any_topic=True,
                is_platform=True,
            ),
            Dialect(
                "aws-iot",
                AwsIotOptions,
                AwsIotDecoder,
                AwsIotEncoder,
                any_topic=True,
                is_platform=True,
                limits=AWS_LIMITS,
            ),
            Dialect(
                AZURE_IOT,
                AzureIotOptions,
                AzureIotDecoder,
                AzureIotEncoder,
                any_topic=True,
                is_platform=True,
                limits=AZURE_LIMITS,
            ),
            Dialect("ruuvi-gateway", RuuviGatewayOptions, RuuviGatewayDecoder, is_platform=True),
            Dialect("meshtastic", MeshtasticOptions, MeshtasticDecoder, is_platform=True),
        )
    }
)
"""A further one is a file and a line here."""
_ADDED = load_plugins("edgefleet.dialects", Dialect).named(lambda dialect: dialect.name, [*_OWN, "edgefleet", "none"])

DIALECTS: Mapping[str, Dialect] = MappingProxyType({**_OWN, **_ADDED.values})
"""Name -> dialect."""


def unknown_dialect(name: str) -> str:
    """Return what is to be said behind the name of a dialect that there is not: why a plug-in's cannot be used."""
    return _ADDED.told(name)
