"""The names that a kind of device in a package of its own is made of; they stay: see docs/your-own-kind.md."""

from devices.sensors.base import Events, EventSensor, HasLookback, Population, Sensor
from devices.sensors.columns import Columns, DictionaryColumn, nullable
from devices.sensors.kind import DeviceKind, KindPlugin
from devices.world.components import components
from devices.world.noise import fractal_noise, smooth_noise
from devices.world.random import hash_bits, normal, poisson, uniform
from devices.world.world import DAY_MS, HOUR_MS, MINUTE_MS, World
from edgewire.config import Config, DurationMs
from edgewire.dialects.entities import FieldEntity, KindEntities
from edgewire.messages.base import Measurement, example_head
from edgewire.messages.contract import KindContract, MessageType
from edgewire.messages.topics import Channel

__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "MINUTE_MS",
    "Channel",
    "Columns",
    "Config",
    "DeviceKind",
    "DictionaryColumn",
    "DurationMs",
    "EventSensor",
    "Events",
    "FieldEntity",
    "HasLookback",
    "KindContract",
    "KindEntities",
    "KindPlugin",
    "Measurement",
    "MessageType",
    "Population",
    "Sensor",
    "World",
    "components",
    "example_head",
    "fractal_noise",
    "hash_bits",
    "normal",
    "nullable",
    "poisson",
    "smooth_noise",
    "uniform",
]
