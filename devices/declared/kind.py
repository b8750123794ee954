"""Makes of a declaration what every other kind is: a contract, a sensor, and what people are shown of it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import Field, ValidationError, create_model

from devices.declared.config import MAX_KINDS, KindConfig, check_kind_name
from devices.declared.plan import KindPlan, PlannedField, plan_kind
from devices.declared.sensor import DeclaredSensor
from devices.sensors.kind import DeviceKind, KindPlugin
from devices.sensors.registry import KINDS
from edgewire.config import Config
from edgewire.config_errors import located_error, nested_error
from edgewire.dialects.entities import FieldEntity, KindEntities
from edgewire.errors import ConfigError
from edgewire.messages.declared import DeclaredField, declared_contract

_MEMORY_BYTES = 2**10
"""An estimate: no field keeps anything of a device."""
_COLOUR = "magenta"
_FIRST_S, _FIELD_S = 3e-6, 5e-6
"""Processor time of a reading, and of each of its fields: measured with six generators, 64 readings at once."""


def declared_kinds(values: Any) -> dict[str, KindConfig]:
    """Return what stands under `kinds:`, and make it known under its names.

    Raises `ValueError`, of which pydantic's is one, with the key that is at fault.
    """
    if not isinstance(values, Mapping):
        raise located_error(("kinds",), "should be a mapping of names to kinds: {fridge: {fields: {…}}}")
    if len(values) > MAX_KINDS:
        raise located_error(("kinds",), f"has {len(values)} kinds, more than {MAX_KINDS}")
    found: dict[str, KindConfig] = {}
    plugins: list[KindPlugin] = []
    for name, value in values.items():
        plan = _plan(str(name), value)
        found[plan.name] = plan.config
        plugins.append(_plugin(plan))
    for plugin in plugins:
        try:
            KINDS.declare(plugin)
        except ConfigError as error:
            raise located_error(("kinds", plugin.kind.name), str(error)) from None
    return found


def announce_kinds(kinds: Mapping[str, KindConfig]) -> None:
    """Make kinds known that have been checked: in another process than that which read their scenario."""
    for name, config in kinds.items():
        KINDS.declare(_plugin(plan_kind(name, config)))


def _plan(name: str, value: Any) -> KindPlan:
    try:
        check_kind_name(name)
    except ValueError as error:
        raise located_error(("kinds", name), str(error)) from None
    try:
        config = value if isinstance(value, KindConfig) else KindConfig.model_validate(value)
    except ValidationError as error:
        raise _below(error, name) from None
    try:
        return plan_kind(name, config)
    except ValidationError as error:
        raise _below(error, name) from None


def _below(error: ValidationError, name: str) -> ValidationError:
    """Return an error of a kind as one of the scenario."""
    inner = nested_error(error, KindConfig, name)
    return nested_error(inner, KindConfig, "kinds")


def _plugin(plan: KindPlan) -> KindPlugin:
    sent = plan.sent
    description = plan.config.description or f"A reading of a {plan.name}."
    contract = declared_contract(
        plan.name,
        [DeclaredField(one.name, one.type, one.is_nullable, _described(one)) for one in sent],
        description,
    )
    definitions: dict[str, Any] = {name: (float, Field(value)) for name, value in plan.config.settings.items()}
    settings = create_model(f"{plan.name.capitalize()}Settings", __base__=Config, **definitions)
    numbers = [one for one in sent if one.type in ("number", "whole")]
    shown = [one for one in sent if one.type != "text"] or list(sent)
    kind = DeviceKind(
        plan.name,
        settings,
        partial(DeclaredSensor, plan),
        counts_interval=any(one.config.poisson is not None for one in plan.fields),
        asks_neighbours=plan.asks_neighbours,
        recorded={one.name: one.config.recorded for one in plan.fields if one.config.recorded is not None},
        decimals={one.name: one.config.decimals for one in numbers if one.config.decimals is not None},
        plot_labels={one.name: _labelled(one) for one in numbers},
        summary={one.name: f"{_called(one)} {{}}{_spaced(one.config.unit)}" for one in shown[:6]},
        colour=_COLOUR,
        memory_bytes=_MEMORY_BYTES,
        reading_s=_FIRST_S + _FIELD_S * len(plan.fields),
    )
    return KindPlugin(kind, contract, _entities(sent))


def _entities(sent: tuple[PlannedField, ...]) -> KindEntities:
    entities: dict[str, list[FieldEntity]] = {"numbers": [], "flags": [], "texts": []}
    for one in sent:
        config = one.config
        is_number = one.type in ("number", "whole")
        of = "numbers" if is_number else f"{one.type}s"
        grows = config.counter is not None
        state_class = ("total_increasing" if grows else "measurement") if is_number else ""
        decimals = 0 if one.type == "whole" else 3 if config.decimals is None else config.decimals
        called = config.label or one.name.replace("_", " ").title()
        entities[of].append(FieldEntity(one.name, called, config.device_class, config.unit, decimals, state_class))
    return KindEntities(**entities)


def _called(one: PlannedField) -> str:
    return one.config.label or one.name


def _described(one: PlannedField) -> str:
    return one.config.label + (f", in {one.config.unit}" if one.config.label and one.config.unit else one.config.unit)


def _labelled(one: PlannedField) -> str:
    return f"{_called(one)} ({one.config.unit})" if one.config.unit else _called(one)


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""
