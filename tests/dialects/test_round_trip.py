"""What a device of any kind measures is what is read of what it says, in every dialect and in a format of one's own:
within half a step of the last decimal that its messages have.

The cases are those of the registries, so that a further dialect, or a further kind, is tested as soon as it is there.
"""

import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Union, get_args, get_origin

import annotated_types
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from devices.scenario.devices import device_names
from devices.sensors.derived import spoken_fields
from devices.sensors.registry import KINDS
from devices.timeline.wire_format import WireFormat
from edgewire.dialects.base import Arrival, DialectDecoder, DialectError, MessageRole, TimeSource
from edgewire.dialects.encoder import MessageTemplate
from edgewire.dialects.own_format import MappedField, OwnFormat, OwnFormatDecoder, mapped_fields
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.units import linear_of
from edgewire.messages import CONTRACT, Channel
from tests.dialects.speaking import DEVICE, NAMING, NOON_MS, ONLINE, device_of, format_of, reading_of, said

OWN = "a format of one's own"
OTHER_UNITS = {"temperature_c": "°F", "pressure_hpa": "Pa", "altitude_m": "ft", "speed_kmh": "m/s", "battery_v": "mV"}
RANGES: dict[str, tuple[float, float]] = {
    "temperature_c": (-40, 85), "humidity": (0, 100), "pressure_hpa": (300, 1100), "latitude": (-90, 90),
    "longitude": (-180, 180), "altitude_m": (-400, 9000), "heading_deg": (0, 359), "signal_dbm": (-120, -40),
}  # fmt: skip
"""What can be measured, where the contract does not say; else from 0 to three times the example."""
_EXACT = 1e-9
EUI = f"0000{device_names(DEVICE)['mac'].lower()}"
"""By which devices are known that a network server speaks for."""
NAMES = {"id", "site", "kind", "mac", "n", "tail"}


def message_of(kind: str) -> Any:
    return next(one for one in CONTRACT[kind].messages if one.channel is KINDS[kind].channel)


def own_format(kind: str) -> dict[str, Any]:
    """A mapping with all that a kind measures: nested, in other units, with decimals and a time in milliseconds."""
    fields: dict[str, Any] = {}
    for name, value in reading_of(kind).items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        unit = {"unit": OTHER_UNITS[name]} if name in OTHER_UNITS else {}
        fields[f"k_{name}"] = {"from": name, "round": 4, **unit} if is_number else {"from": name}
    role = "event" if KINDS[kind].channel is Channel.EVENT else "reading"
    return {
        "topic": "plant/{site}/{id}/state",
        "payload": {"ts": {"from": "timestamp", "as": "epoch_ms"}, "of": {"values": fields}, "fw": {"const": "1"}},
        "role": role,
    }


def cases() -> Iterator[Any]:
    for kind in KINDS:
        yield pytest.param(OWN, kind, id=f"own-{kind}")
        for name, dialect in DIALECTS.items():
            if dialect.encoder is None:
                continue
            try:
                dialect.encoder(dialect.options(), kind)
            except DialectError:
                continue  # what is refused is in docs/dialects.md, which a test compares with the encoders
            yield pytest.param(name, kind, id=f"{name}-{kind}")


@lru_cache
def spoken(dialect: str, kind: str) -> tuple[WireFormat, tuple[MessageTemplate, ...]]:
    if dialect == OWN:
        asked = own_format(kind)
        messages = (MessageTemplate(asked["topic"], asked["payload"]),)
        group = {key: asked[key] for key in ("topic", "payload")}
        if KINDS[kind].channel is not Channel.EVENT and len(CONTRACT[kind].messages) > 1:
            group["events"] = [{"topic": "plant/{id}/event", "payload": {"what": "event_type"}}]
        return format_of(kind, "edgefleet", **group), messages
    known = DIALECTS[dialect]
    assert known.encoder is not None
    encoder = known.encoder(known.options(), kind)
    return format_of(kind, {"dialect": dialect, **NAMING.get(dialect, {})}), tuple(encoder.messages)


def decoder_of(dialect: str, kind: str) -> DialectDecoder:
    if dialect == OWN:
        return OwnFormatDecoder(OwnFormat(**own_format(kind)))
    return DIALECTS[dialect].decoder(DIALECTS[dialect].options())


def values_of(kind: str) -> Any:
    """Draw a reading: numbers within the limits of the contract, and none where it allows none."""
    model = message_of(kind).model
    strategies = {name: st.just(value) for name, value in reading_of(kind).items()}
    for name, value in reading_of(kind).items():
        found = model.model_fields[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number:
            continue
        least, most = limits(name, found.metadata, value)
        one = st.integers(round(least), round(most)) if isinstance(value, int) else st.floats(least, most)
        is_optional = get_origin(found.annotation) in (Union, types.UnionType)
        may_lack = is_optional and type(None) in get_args(found.annotation)
        strategies[name] = st.none() | one if may_lack else one
    return st.fixed_dictionaries(strategies)


def limits(name: str, metadata: list[Any], example: float) -> tuple[float, float]:
    usual = RANGES.get(name, (0, abs(example) * 3 + 1))
    least = next((float(one.ge) for one in metadata if isinstance(one, annotated_types.Ge)), usual[0])
    most = next((float(one.le) for one in metadata if isinstance(one, annotated_types.Le)), usual[1])
    return max(least, usual[0]), min(most, usual[1])


def step_of(field: MappedField) -> float:
    """Half a step of the last decimal, in the unit of the field's name."""
    factor = 1.0
    if field.unit and (linear := linear_of(field.name, field.unit)) is not None:
        factor = linear[0]
    return (0.5 * 10.0**-field.decimals * abs(factor) if field.decimals is not None else 0) * 1.001 + _EXACT


@pytest.mark.slow
@pytest.mark.parametrize(("dialect", "kind"), list(cases()))
def test_what_is_measured_is_what_is_read(dialect: str, kind: str) -> None:
    wire, templates = spoken(dialect, kind)
    names = NAMES | set(spoken_fields(kind, KINDS[kind].channel))
    mapped = [mapped_fields(one.payload, names) for one in templates]

    @settings(max_examples=12, deadline=None, database=None, phases=(Phase.generate,))  # no hunt for the least case
    @given(values_of(kind))
    def check(row: dict[str, Any]) -> None:
        decoder = decoder_of(dialect, kind)
        for one in wire.status(device_of(kind), ONLINE):
            decoder.decode(one.topic, one.payload, Arrival(NOON_MS))
        found: list[tuple[str, Any]] = []
        messages = said(kind, wire, row, row)
        for one in messages[: len(messages) // 2]:
            message = decoder.decode(one.topic, one.payload, Arrival(NOON_MS + 500))
            if message.role not in (MessageRole.READING, MessageRole.EVENT):
                continue
            assert "porch-07" in message.device_id or message.device_id == EUI
            assert message.time_source is TimeSource.ARRIVAL or abs(message.time_ms - NOON_MS) < 1000
            read = [*message.values.items(), *(item for part in message.parts.values() for item in part.items())]
            found += read
            if len(read) == 1:
                found.append((message.sensor, read[0][1]))
        for template, fields in zip(templates, mapped, strict=True):
            if not messages or any(row.get(name, 0) is None for name in template.needs):
                continue
            for field in fields:
                if field.name in row:
                    step = max(step_of(one) for one in fields if one.name == field.name)
                    check_field(field, row[field.name], found, step)

    check()


def check_field(field: MappedField, measured: Any, found: list[tuple[str, Any]], step: float) -> None:
    # A bare value has the name that its topic gives it.
    here = [value for name, value in found if name == field.name or not field.path]
    if measured is None:
        assert not [value for name, value in found if name == field.name]
    elif isinstance(measured, int | float) and not isinstance(measured, bool):
        numbers = [one for one in here if isinstance(one, int | float)]
        assert any(abs(one - measured) <= step for one in numbers), (field, measured, found)
    else:
        assert measured in here, (field, measured, found)
