"""Puts the fields of a declared kind into an order in which each can be computed, and reads their formulas."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from devices.declared.config import FieldConfig, KindConfig
from devices.declared.formula import CONSTANTS, FUNCTION_NAMES, Formula, read_formula
from devices.declared.signals import SIGNALS, SignalName
from edgewire.config_errors import closest, located_error
from edgewire.messages.declared import FieldType


@dataclass(frozen=True, slots=True)
class PlannedField:
    """Holds a field with its type, and the formula in it where it has one."""

    name: str
    config: FieldConfig
    type: FieldType
    formula: Formula | None

    @property
    def signals(self) -> tuple[SignalName, ...]:
        """Return what it asks the world."""
        if self.config.world is not None:
            return (SignalName.parse(self.config.world),)
        names = () if self.formula is None else sorted(self.formula.names)
        return tuple(SignalName.parse(name) for name in names if name in SIGNALS)

    @property
    def is_nullable(self) -> bool:
        """Return whether it may have no value: by its formula, its file, or because it is missing now and then."""
        return self.config.formula is not None or self.config.missing is not None or self.config.recorded is not None


@dataclass(frozen=True, slots=True)
class KindPlan:
    """Holds all that is to be computed for a kind."""

    name: str
    config: KindConfig
    fields: tuple[PlannedField, ...]
    """In an order in which each comes behind those that it needs."""
    signals: tuple[SignalName, ...]
    """What formulas ask the world."""

    @property
    def sent(self) -> tuple[PlannedField, ...]:
        """Return the fields that are sent, in the order in which they are."""
        by_name = {field.name: field for field in self.fields}
        return tuple(by_name[name] for name, field in self.config.fields.items() if not field.hidden)

    @property
    def asks_neighbours(self) -> bool:
        """Return whether it tells of what cameras and people counters look at."""
        return any(SIGNALS[name.signal].place != "site" for field in self.fields for name in field.signals)


def plan_kind(name: str, config: KindConfig) -> KindPlan:
    """Return the plan of a kind. Raises `ValueError`, of which pydantic's is one, with the key that is at fault."""
    if twin := next((one for one in config.settings if one in config.fields), None):
        raise located_error(("settings", twin), "is a field as well: give one of the two another name")
    for taken in (one for one in (*config.settings, *config.fields) if one in CONSTANTS or one in FUNCTION_NAMES):
        where = "settings" if taken in config.settings else "fields"
        raise located_error((where, taken), "is a word of formulas: give it another name")
    if all(field.hidden for field in config.fields.values()):
        raise located_error(("fields",), "are all hidden: a reading needs one that is sent")
    planner = _Planner(config)
    for field in config.fields:
        planner.visit(field, ())
    ordered = tuple(planner.done.values())
    asked = {one for field in ordered if field.formula for one in field.formula.names if one in SIGNALS}
    return KindPlan(name, config, ordered, tuple(SignalName.parse(one) for one in sorted(asked)))


class _Planner:
    """Visits fields, those first that another one needs."""

    def __init__(self, config: KindConfig) -> None:
        self._config = config
        self._texts = {name: texts for name, field in config.fields.items() if (texts := _texts_of(field))}
        self.done: dict[str, PlannedField] = {}

    def visit(self, name: str, path: Sequence[str]) -> None:
        """Plan a field, and before it those that it needs; `path` are those that need it."""
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise located_error(self._key(path[-1]), f"needs itself: {circle}; let one of them be made otherwise")
        if name in self.done:
            return
        field = self._config.fields[name]
        formula = self._formula(name, field)
        for other in self._needed(name, field, formula):
            self.visit(other, [*path, name])
        try:
            found = field.type_of(is_flag=formula is not None and formula.is_flag)
        except ValueError as error:
            raise self._at(name, error) from None
        self.done[name] = PlannedField(name, field, found, formula)

    def _key(self, name: str, *below: str) -> tuple[str, ...]:
        return ("fields", name, self._config.fields[name].generator, *below)

    def _at(self, name: str, error: ValueError) -> ValueError:
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            return located_error(("fields", name, *first["loc"]), str(first["ctx"]["said"]))
        return located_error(("fields", name), str(error))

    def _needed(self, name: str, field: FieldConfig, formula: Formula | None) -> list[str]:
        """Return the fields that a field names."""
        if field.noise is not None and field.noise.along is not None:
            return [self._of(name, field.noise.along, "with", "noise")]
        if field.counter is not None and field.counter.of is not None:
            return [self._of(name, field.counter.of, "of", "on_off")]
        return [] if formula is None else [one for one in self._config.fields if one in formula.names]

    def _of(self, name: str, other: str, key: str, generator: str) -> str:
        found = self._config.fields.get(other)
        of_kind = [one for one, each in self._config.fields.items() if each.generator == generator]
        if found is None or found.generator != generator:
            hint = closest(other, of_kind) or (f"; there are {', '.join(of_kind)}" if of_kind else "; there is none")
            raise located_error(self._key(name, key), f"'{other}' is no field with {generator}{hint}")
        return other

    def _formula(self, name: str, field: FieldConfig) -> Formula | None:
        text = field.formula if field.poisson is None else field.poisson.per_hour
        if not isinstance(text, str):
            return None
        try:
            return read_formula(text, self._texts, {*self._config.fields, *self._config.settings, *SIGNALS})
        except ValueError as error:
            below = () if field.poisson is None else ("per_hour",)
            raise located_error(self._key(name, *below), str(error)) from None


def _texts_of(field: FieldConfig) -> tuple[str, ...]:
    """Return the texts that a field may say; none of one that is no text."""
    if isinstance(field.constant, str):
        return (field.constant,)
    if field.on_off is not None and field.on_off.says is not None:
        return field.on_off.says
    if field.choice is not None and all(isinstance(one, str) for one in field.choice.values):
        return field.choice.values
    return ()
