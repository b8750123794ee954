"""The one table of device kinds: kind -> settings, sensor, and the channel its readings travel on.

A new kind is a sensor in a file of its own, its messages in `edgewire.messages`, and one entry here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from devices.sensors.base import Population, Sensor
from devices.sensors.bme280.sensor import Bme280Sensor, Bme280Settings
from devices.sensors.gps.sensor import GpsSensor, GpsSettings
from devices.sensors.people.sensor import PeopleSensor, PeopleSettings
from devices.sensors.telematics.sensor import TelematicsSensor, TelematicsSettings
from devices.sensors.traffic.sensor import TrafficSensor, TrafficSettings
from edgewire.config import Config
from edgewire.messages import Channel


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """A kind of device. `sensor` is called with the group's settings and its devices."""

    settings: type[Config]
    sensor: Callable[[Any, Population], Sensor]
    channel: Channel
    """Of the reading at every interval; what happens in between is always an event."""


KINDS: Mapping[str, DeviceKind] = MappingProxyType(
    {
        "bme280": DeviceKind(Bme280Settings, Bme280Sensor, Channel.TELEMETRY),
        "traffic": DeviceKind(TrafficSettings, TrafficSensor, Channel.TELEMETRY),
        "gps": DeviceKind(GpsSettings, GpsSensor, Channel.TELEMETRY),
        "telematics": DeviceKind(TelematicsSettings, TelematicsSensor, Channel.EVENT),
        "people": DeviceKind(PeopleSettings, PeopleSensor, Channel.TELEMETRY),
    }
)
