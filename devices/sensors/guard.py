"""Watches over the sensor of a plug-in: what it does wrong is said in a sentence that names it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from devices.sensors.base import Events, EventSensor, HasLookback, Population, Sensor
from devices.sensors.columns import Columns
from devices.sensors.kind import DeviceKind
from devices.world.random import Ints
from devices.world.world import World
from edgewire.errors import ConfigError

Answer = TypeVar("Answer")


def guarded(kind: DeviceKind, fields: frozenset[str], said: str) -> DeviceKind:
    """Return a kind whose sensor raises `ConfigError` for whatever it does wrong.

    `fields` are those that its reading may have, and `said` is what its plug-in is called.
    """
    told = f"{said}: the sensor of kind '{kind.name}'"

    def build(settings: Any, population: Population) -> Sensor:
        sensor = _called(told, lambda: kind.sensor(settings, population))
        bases: list[type] = [_EventsGuard] if isinstance(sensor, EventSensor) else []
        bases += [_LookbackGuard] if isinstance(sensor, HasLookback) else []
        found: Sensor = type("GuardedSensor", (*bases, _Guard), {})(sensor, fields, told)
        return found

    return replace(kind, sensor=build)


class _Guard:
    def __init__(self, sensor: Any, fields: frozenset[str], told: str) -> None:
        self._sensor = sensor
        self._fields = fields
        self._told = told

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return its readings, where each column is one of the message and has a value a row."""
        columns: Columns = _called(self._told, lambda: self._sensor.sample(world, ids, times))
        if not isinstance(columns, dict):
            raise ConfigError(f"{self._told} answers with a {type(columns).__name__}, and has to with columns by name")
        for name, column in columns.items():
            if name not in self._fields:
                raise ConfigError(f"{self._told} measures '{name}', which is no field of its reading")
            if len(column) != len(ids):
                raise ConfigError(f"{self._told} has {len(column)} values of '{name}' for {len(ids)} readings")
        return columns


class _EventsGuard(_Guard):
    def events(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Events:
        """Return its events."""
        found: Events = _called(self._told, lambda: self._sensor.events(world, ids, start_ms, stop_ms))
        return found

    def event_count(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Ints:
        """Return how many they are."""
        return _called(self._told, lambda: self._sensor.event_count(world, ids, start_ms, stop_ms))


class _LookbackGuard(_Guard):
    @property
    def lookback_ms(self) -> int:
        """Return how far back its readings reach."""
        return _called(self._told, lambda: int(self._sensor.lookback_ms))


def _called(told: str, function: Callable[[], Answer]) -> Answer:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{told} fails: {type(error).__name__}: {error}") from error
