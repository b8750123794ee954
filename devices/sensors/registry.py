"""The one table of device kinds: kind -> settings, sensor, and the channel its readings travel on.

A new kind is a sensor in a file of its own, its messages in `edgewire.messages`, and one entry here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from devices.sensors.base import Population, Sensor
from devices.sensors.bme280 import sensor as bme280
from devices.sensors.gps import sensor as gps
from devices.sensors.people import sensor as people
from devices.sensors.telematics import sensor as telematics
from devices.sensors.traffic import sensor as camera
from edgewire.config import Config
from edgewire.messages import Channel


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A kind of device. `sensor` is called with the group's settings and its devices."""

    settings: type[Config]
    sensor: Callable[[Any, Population], Sensor]
    channel: Channel
    """Of the reading at every interval; what happens in between is always an event."""


CATALOG: Mapping[str, CatalogEntry] = MappingProxyType(
    {
        "bme280": CatalogEntry(bme280.Settings, bme280.Bme280Sensor, Channel.TELEMETRY),
        "traffic": CatalogEntry(camera.Settings, camera.CameraSensor, Channel.TELEMETRY),
        "gps": CatalogEntry(gps.Settings, gps.GpsSensor, Channel.TELEMETRY),
        "telematics": CatalogEntry(telematics.Settings, telematics.TelematicsSensor, Channel.EVENT),
        "people": CatalogEntry(people.Settings, people.PeopleSensor, Channel.TELEMETRY),
    }
)
