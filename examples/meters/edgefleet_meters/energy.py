"""Energy meter of a house: most power in the evening, more on cold days, and a load that comes and goes."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgefleet.plugin_kinds import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    Channel,
    Columns,
    Config,
    DeviceKind,
    FieldEntity,
    KindContract,
    KindEntities,
    KindPlugin,
    Measurement,
    MessageType,
    Population,
    World,
    components,
    example_head,
    smooth_noise,
)

Ints = NDArray[np.int64]
_COURSE = 0.6
"""Share of the mean by which the evening lies above it, and the morning below."""
_HEATED_BELOW_C = 15.0
_WATTS_A_DEGREE = 40.0


class EnergyReading(Measurement):
    """One reading of an energy meter."""

    power_w: Annotated[float, Field(ge=0)]
    """Power drawn at the moment."""
    energy_kwh: Annotated[float, Field(ge=0)]
    """Energy that is drawn without heating, since the power-on."""
    heating: bool
    """Whether the house is heated."""


class EnergySettings(Config):
    """Says what an operator of an energy meter may choose."""

    mean_w: float = Field(default=800, gt=0, le=1_000_000)
    """Power on average over a day, without heating."""


class EnergySensor:
    """Many energy meters with the same settings. A reading is a function of seed, device and time alone."""

    def __init__(self, settings: EnergySettings, population: Population) -> None:
        self._mean_w = settings.mean_w
        self._population = population

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return a row for each of the devices `ids` (positions in the population) and `times` (ms since 1970 UTC)."""
        population = self._population
        load = smooth_noise(world.seed, "energy/load", population.keys[ids], times, 10 * MINUTE_MS)
        outdoors = components(world).atmosphere.outdoor_air(population.sites[ids], times).temperature_c
        heating = np.maximum(_HEATED_BELOW_C - outdoors, 0) * _WATTS_A_DEGREE
        course = 1 + _COURSE * np.cos(2 * np.pi * (times - 18 * HOUR_MS) / DAY_MS)
        power = self._mean_w * course * np.exp(0.2 * load) + heating
        energy = self._drawn_kwh(times) - self._drawn_kwh(np.full_like(times, population.powered_on_ms))
        return {
            "power_w": power.round(1),
            "energy_kwh": np.maximum(energy, 0).round(3),
            "heating": heating > 0,
        }

    def _drawn_kwh(self, times: Ints) -> NDArray[np.float64]:
        course = _COURSE * DAY_MS / (2 * np.pi) * np.sin(2 * np.pi * (times - 18 * HOUR_MS) / DAY_MS)
        return np.asarray(self._mean_w / 1000 * (times + course) / HOUR_MS)


PLUGIN = KindPlugin(
    DeviceKind(
        "energy",
        EnergySettings,
        EnergySensor,
        decimals={"power_w": 1},
        plot_labels={"power_w": "power (W)"},
        summary={"power_w": "{} W", "energy_kwh": "{} kWh"},
    ),
    KindContract(
        "energy",
        "power_w",
        "/ingest/energy",
        (
            MessageType(
                EnergyReading,
                Channel.TELEMETRY,
                "energy_readings",
                (example_head("energy-0001", 12) | {"power_w": 412.5, "energy_kwh": 1834.207, "heating": False},),
            ),
        ),
    ),
    KindEntities(
        numbers=(
            FieldEntity("power_w", "Power", "power", "W"),
            FieldEntity("energy_kwh", "Energy", "energy", "kWh", 3, "total_increasing"),
        ),
        flags=(FieldEntity("heating", "Heating", "heat", state_class=""),),
    ),
)
