"""Populations of devices, and readings as the rows that consumers see."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from devices.sensors.base import Population, Sensor
from devices.sensors.columns import Columns
from devices.world.random import hash_bits
from devices.world.world import World

Row = dict[str, Any]
PopulationOf = Callable[..., Population]
Read = Callable[[Sensor, World, int, np.ndarray], list[Row]]


@pytest.fixture
def population() -> PopulationOf:
    """A population of `count` devices, spread over `sites` sites."""

    def make(count: int, interval_ms: int = 10_000, sites: int = 1, first: int = 0) -> Population:
        numbers = np.arange(first, first + count)
        return Population(hash_bits(1, "test/key", numbers), numbers % sites, np.full(count, interval_ms), numbers)

    return make


@pytest.fixture
def table() -> Callable[[Columns], list[Row]]:
    return rows_of


@pytest.fixture
def read() -> Read:
    """The readings of one device of a sensor at these times."""

    def sample(sensor: Sensor, world: World, device: int, times: np.ndarray) -> list[Row]:
        return rows_of(sensor.sample(world, np.full(len(times), device), times))

    return sample


def rows_of(columns: Columns) -> list[Row]:
    values = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
