"""Names the quantities of each kind of device as Home Assistant and ESPHome show them: class, unit, decimals.

Device classes, state classes and units are those of home-assistant.io (sensor), number of decimals by ESPHome's
components bme280 and gps.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

_ODD = re.compile(r"[^A-Za-z0-9_-]")


class FieldEntity(NamedTuple):
    """Says how a field of a kind's readings is shown."""

    field: str
    """Its canonical name."""
    name: str
    """For people."""
    device_class: str = ""
    unit: str = ""
    decimals: int = 1
    state_class: str = "measurement"
    is_diagnostic: bool = False
    """Whether it tells of the device and not of what it measures."""

    @property
    def object_id(self) -> str:
        """Return the name in small letters, as it stands in topics."""
        return self.name.lower().replace(" ", "_")


class KindEntities(NamedTuple):
    """Says what is shown of a kind."""

    numbers: Sequence[FieldEntity] = ()
    """In the order in which they are said."""
    texts: Sequence[FieldEntity] = ()
    """What it says in words."""
    flags: Sequence[FieldEntity] = ()
    """What is so or not."""


_POSITION = (
    FieldEntity("latitude", "Latitude", unit="°", decimals=6),
    FieldEntity("longitude", "Longitude", unit="°", decimals=6),
)
_SUPPLY = (
    FieldEntity("battery_v", "Supply Voltage", "voltage", "V", 2, is_diagnostic=True),
    FieldEntity("signal_dbm", "Modem Signal", "signal_strength", "dBm", 0, is_diagnostic=True),
)

ENTITIES: Mapping[str, tuple[FieldEntity, ...]] = MappingProxyType(
    {
        "bme280": (
            FieldEntity("temperature_c", "Temperature", "temperature", "°C"),
            FieldEntity("humidity", "Humidity", "humidity", "%"),
            FieldEntity("pressure_hpa", "Pressure", "atmospheric_pressure", "hPa"),
            FieldEntity("dew_point_c", "Dew Point", "temperature", "°C"),
        ),
        "traffic": (
            FieldEntity("vehicle_count", "Vehicle Count", decimals=0),
            FieldEntity("avg_speed", "Average Speed", "speed", "km/h"),
            FieldEntity("min_speed", "Lowest Speed", "speed", "km/h"),
            FieldEntity("max_speed", "Highest Speed", "speed", "km/h"),
            FieldEntity("traffic_density_score", "Traffic Density", decimals=3),
            FieldEntity("uptime", "Camera Uptime", decimals=3, is_diagnostic=True),
        ),
        "gps": (
            *_POSITION,
            FieldEntity("altitude_m", "Altitude", unit="m"),
            FieldEntity("speed_kmh", "Speed", "speed", "km/h"),
            FieldEntity("heading_deg", "Heading", unit="°"),
            FieldEntity("hdop", "HDOP", decimals=2, is_diagnostic=True),
            FieldEntity("satellites", "Satellites", decimals=0, is_diagnostic=True),
            *_SUPPLY,
        ),
        "telematics": (
            *_POSITION,
            FieldEntity("speed_mph", "Speed", "speed", "mph"),
            FieldEntity("heading_deg", "Heading", unit="°", decimals=0),
            FieldEntity("braking_g", "Braking", unit="g", decimals=2),
            FieldEntity("lateral_g", "Lateral Acceleration", unit="g", decimals=2),
            *_SUPPLY,
        ),
        "people": (
            FieldEntity("entries", "Entries", decimals=0),
            FieldEntity("exits", "Exits", decimals=0),
            FieldEntity("total_entries", "Total Entries", decimals=0, state_class="total_increasing"),
            FieldEntity("total_exits", "Total Exits", decimals=0, state_class="total_increasing"),
            FieldEntity("occupancy", "Occupancy", decimals=0),
        ),
    }
)
"""Kind -> its quantities, in the order in which they are said."""
TEXTS: Mapping[str, tuple[FieldEntity, ...]] = MappingProxyType(
    {
        "gps": (FieldEntity("fix", "Fix", state_class="", is_diagnostic=True),),
        "telematics": (FieldEntity("event_type", "Last Event", state_class=""),),
    }
)
"""Kind -> what it says in words."""
_ADDED: dict[str, KindEntities] = {}


def entities_of(kind: str) -> KindEntities:
    """Return what Home Assistant and ESPHome show of a kind; nothing of one that nobody has described."""
    return _ADDED.get(kind) or KindEntities(ENTITIES.get(kind, ()), TEXTS.get(kind, ()))


def add_entities(kind: str, entities: KindEntities) -> None:
    """Say what is shown of a kind that was added."""
    _ADDED[kind] = entities


VITALS: Sequence[FieldEntity] = (
    FieldEntity("rssi_dbm", "WiFi Signal", "signal_strength", "dBm", 0, is_diagnostic=True),
    FieldEntity("battery_pct", "Battery", "battery", "%", 0, is_diagnostic=True),
)
"""What any device may say of itself."""


def topic_level(device_id: str) -> str:
    """Return an id as a level of a discovery topic, which has letters, digits, `_` and `-` only."""
    return _ODD.sub("_", device_id)
