"""The sensor of a declared kind: computes its fields in their order, and writes them as they are sent."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.declared.config import (
    LARGEST,
    ChoiceConfig,
    CounterConfig,
    FieldConfig,
    MissingConfig,
    NoiseConfig,
    OnOffConfig,
    PoissonConfig,
)
from devices.declared.generators import (
    Counter,
    Course,
    OnOff,
    choice,
    in_stretches,
    mean_count,
    noise,
    sine,
    walk,
)
from devices.declared.plan import KindPlan, PlannedField
from devices.declared.profile import Profile
from devices.declared.signals import Rows, SignalName, SignalReader
from devices.sensors.base import Population
from devices.sensors.columns import Column, Columns, DictionaryColumn, nullable
from devices.world.random import Flags, Floats, Ints, normal, poisson
from devices.world.world import World
from edgewire.config import Config

DECIMALS = 3
_Found = dict[str, Floats | DictionaryColumn]
_Compute = Callable[[World, Rows, _Found], Floats | DictionaryColumn]


class DeclaredSensor:
    """Many devices of a declared kind with the same settings."""

    def __init__(self, plan: KindPlan, settings: Config, population: Population) -> None:
        self._plan = plan
        self._population = population
        self._settings = {name: np.float64(getattr(settings, name)) for name in plan.config.settings}
        self._reader = SignalReader(population)
        self._compute = [(field, self._generator(field)) for field in plan.fields]

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return the fields that are sent."""
        population = self._population
        rows = Rows(world, population.keys[ids], population.sites[ids], times, population.interval_ms[ids])
        count = len(rows)
        found: _Found = {name: np.full(count, value) for name, value in self._settings.items()}
        played = self._played(ids, times)
        for signal in self._plan.signals:
            found[signal.signal] = self._reader.read(signal, rows)
        for field, compute in self._compute:
            values = played[field.name] if field.config.recorded else compute(world, rows, found)
            found[field.name] = _held(field, values, self._own(field, world, rows))
        return {
            field.name: _column(field, found[field.name], self._missing(field, world, rows))
            for field in self._plan.sent
        }

    def _played(self, ids: Ints, times: Ints) -> _Found:
        """Return the fields that are out of a file; numbers that are missing are not a number."""
        if self._population.recorded is None:
            return {}
        return {name: _numbers(column) for name, column in self._population.recorded.read(ids, times).items()}

    def check_places(self, world: World) -> None:
        """Raise `ConfigError` where a field asks for a site or a device that is not there."""
        for field in self._plan.fields:
            for signal in field.signals:
                self._reader.check(signal, world)

    def _course(self, name: str, world: World) -> Course:
        return Course(world.seed, f"declared/{self._plan.name}/{name}")

    def _own(self, field: PlannedField, world: World, rows: Rows) -> Floats | None:
        """Return by how much each device differs."""
        if field.config.vary is None:
            return None
        return field.config.vary * normal(self._course(field.name, world).part("vary").bits(rows.keys))

    def _missing(self, field: PlannedField, world: World, rows: Rows) -> Flags | None:
        missing = field.config.missing
        if missing is None:
            return None
        if not isinstance(missing, MissingConfig):
            missing = MissingConfig(share=missing)
        return in_stretches(self._course(field.name, world).part("missing"), missing.share, missing.stretch, rows)

    def _generator(self, field: PlannedField) -> _Compute:
        """Return what computes a field."""
        name, config = field.name, field.config
        if config.choice is not None:
            return self._choice(field, config.choice)
        if config.noise is not None:
            return self._noise(name, config.noise)
        if config.on_off is not None:
            return self._on_off(name, config.on_off)
        if config.counter is not None:
            return self._counter(name, config.counter)
        if config.poisson is not None:
            return self._poisson(field, config.poisson)
        if (bounds := config.walk) is not None:
            return lambda world, rows, found: walk(bounds, self._course(name, world), rows)
        if (course := config.sine) is not None:
            return lambda world, rows, found: sine(course, rows)
        if config.profile is not None:
            profile = Profile(config.profile)
            return lambda world, rows, found: profile.at(rows)
        if config.world is not None:
            signal = SignalName.parse(config.world)
            return lambda world, rows, found: self._reader.read(signal, rows)
        if (formula := field.formula) is not None:
            return lambda world, rows, found: formula.evaluate(found, len(rows))
        if config.recorded is not None:
            return _nothing
        return _constant(config.constant)

    def _choice(self, field: PlannedField, config: ChoiceConfig) -> _Compute:
        values = config.values
        if field.type == "text":
            return lambda world, rows, found: DictionaryColumn(
                choice(config, self._course(field.name, world), rows), list(values)
            )
        numbers = np.array([float(one) for one in values])
        return lambda world, rows, found: numbers[choice(config, self._course(field.name, world), rows)]

    def _noise(self, name: str, config: NoiseConfig) -> _Compute:
        def compute(world: World, rows: Rows, found: _Found) -> Floats:
            other = None
            if config.along is not None:
                beside = self._plan.config.fields[config.along].noise
                assert beside is not None, "the plan said so"
                other = self._course(config.along, world), beside
            return noise(config, self._course(name, world), other, rows)

        return compute

    def _on_off(self, name: str, config: OnOffConfig) -> _Compute:
        says = config.says

        def compute(world: World, rows: Rows, found: _Found) -> Floats | DictionaryColumn:
            state = OnOff(config, self._course(name, world)).state(rows)
            if says is None:
                return state.astype(np.float64)
            return DictionaryColumn(np.where(state, 0, 1), list(says))

        return compute

    def _counter(self, name: str, config: CounterConfig) -> _Compute:
        of = None if config.of is None else self._plan.config.fields[config.of].on_off

        def compute(world: World, rows: Rows, found: _Found) -> Floats:
            state = None if of is None else OnOff(of, self._course(str(config.of), world))
            counter = Counter(config, self._course(name, world), state)
            return counter.value(rows, self._population.powered_on_ms)

        return compute

    def _poisson(self, field: PlannedField, config: PoissonConfig) -> _Compute:
        profile = None if config.profile is None else Profile(config.profile)
        formula = field.formula

        def compute(world: World, rows: Rows, found: _Found) -> Floats:
            if formula is not None:
                per_hour = formula.evaluate(found, len(rows))
            else:
                per_hour = np.full(len(rows), float(config.per_hour))
            mean = np.nan_to_num(mean_count(per_hour, profile, rows), nan=0.0, posinf=0.0)
            bits = self._course(field.name, world).bits(rows.keys, rows.times)
            return poisson(bits, np.minimum(mean, LARGEST)).astype(np.float64)

        return compute


def _numbers(column: Column) -> Floats | DictionaryColumn:
    if isinstance(column, DictionaryColumn):
        return column
    return np.array([np.nan if one is None else float(one) for one in column])


def _nothing(world: World, rows: Rows, found: _Found) -> Floats:
    """Return nothing for a field whose values are out of a file."""
    return np.full(len(rows), np.nan)


def _constant(value: Any) -> _Compute:
    if isinstance(value, str):
        return lambda world, rows, found: DictionaryColumn(np.zeros(len(rows), dtype=np.int64), [value])
    number = float(value)
    return lambda world, rows, found: np.full(len(rows), number)


def _held(field: PlannedField, values: Floats | DictionaryColumn, own: Floats | None) -> Floats | DictionaryColumn:
    """Return the values within their bounds, with what is peculiar to each device."""
    if isinstance(values, DictionaryColumn):
        return values
    if own is not None:
        values = values + own
    config: FieldConfig = field.config
    if config.min is not None:
        values = np.maximum(values, config.min)
    if config.max is not None:
        values = np.minimum(values, config.max)
    return values


def _column(field: PlannedField, values: Floats | DictionaryColumn, missing: Flags | None) -> Column:
    """Return what is sent: numbers with their decimals, None where there is no value."""
    if isinstance(values, DictionaryColumn):
        if missing is None:
            return values
        indices = np.where(missing, len(values.dictionary), values.indices)
        return DictionaryColumn(indices, [*values.dictionary, None])
    known = np.abs(values) <= LARGEST  # not of NaN
    if missing is not None:
        known &= ~missing
    safe = values if known.all() else np.where(known, values, 0.0)
    written = _written(field, safe)
    return written if known.all() else nullable(written, known)


def _written(field: PlannedField, values: Floats) -> NDArray[Any]:
    match field.type:
        case "flag":
            return np.asarray(values != 0)
        case "whole":
            return np.rint(values).astype(np.int64)
    decimals = DECIMALS if field.config.decimals is None else field.config.decimals
    return np.asarray(np.round(values, decimals) + 0.0)
