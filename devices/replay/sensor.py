"""A sensor of which some fields are played back, and the others are what it measures itself."""

import numpy as np

from devices.replay.player import ReplayPlayer
from devices.sensors.base import Sensor
from devices.sensors.columns import Column, Columns
from devices.world.random import Flags, Ints
from devices.world.world import World

_FIXED = {"hdop": 1.0, "satellites": 9}
"""Of a receiver that has a fix where the emulated one has none."""


class ReplaySensor:
    """A sensor whose readings have fields out of a recording."""

    def __init__(self, sensor: Sensor, player: ReplayPlayer) -> None:
        self._sensor = sensor
        self._player = player

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return the readings, with what was recorded in the place of what was measured."""
        measured = self._sensor.sample(world, ids, times)
        played = self._player.read(ids, times)
        found = {name: played.get(name, column) for name, column in measured.items()} | played
        if "latitude" in played and "fix" in measured and "fix" not in played:
            _agree_on_fix(found, measured, played)
        return found


def _agree_on_fix(found: Columns, measured: Columns, played: Columns) -> None:
    """Let there be a fix where a position was recorded, and none where none was."""
    has_position = np.array([one is not None for one in played["latitude"]], dtype=bool)
    lacked = np.array([one == "none" for one in measured["fix"]], dtype=bool)
    found["fix"] = _chosen(measured["fix"], has_position & lacked, "3d", ~has_position, "none")
    for name, value in _FIXED.items():
        if name in measured and name not in played:
            found[name] = _chosen(measured[name], has_position & lacked, value)


def _chosen(column: Column, where: Flags, value: object, other: Flags | None = None, instead: object = None) -> Column:
    rows = [value if is_there else one for one, is_there in zip(column, where.tolist(), strict=True)]
    if other is not None:
        rows = [instead if is_there else one for one, is_there in zip(rows, other.tolist(), strict=True)]
    return np.array(rows) if isinstance(column, np.ndarray) else rows
