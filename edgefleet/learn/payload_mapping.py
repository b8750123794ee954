"""Learns the payload of a topic: a mapping as a format of one's own has it, and what makes each value in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from devices.declared.config import LARGEST, MAX_CHOICES
from devices.world.random import Floats
from edgefleet.learn.change_beat import fill_series
from edgefleet.learn.field_models import (
    Configs,
    Series,
    choice_model,
    number_model,
    state_model,
)
from edgefleet.learn.payload_values import PayloadValues
from edgefleet.learn.privacy import (
    is_known_text,
    is_sensitive_key,
    words_of,
)
from edgefleet.learn.slot_names import FieldNames

_MOST_TEXTS = 12
_NEAR_MS = 2 * 86_400_000
_EPOCHS = (("epoch_s", 1000.0), ("epoch_ms", 1.0), ("epoch_us", 0.001))
_COUNTS = words_of(
    """
    seq sequence seqno seq_no n cnt count counter msgid msg_id frame fcnt
    """
)
_MADE_UP_LATITUDE, _MADE_UP_LONGITUDE = 48.8566, 2.3522
_POSITIONS: Mapping[str, float] = {
    **dict.fromkeys(("lat", "latitude"), _MADE_UP_LATITUDE),
    **dict.fromkeys(("lon", "lng", "long", "longitude"), _MADE_UP_LONGITUDE),
}


@dataclass(slots=True)
class LearnedField:
    """Holds a number of a kind, or another value, and what was seen of it."""

    name: str
    configs: Configs
    says: str
    captured: list[Floats] = field(default_factory=list)
    """The numbers of each device; none of what is no number, or may not be told."""


class MappingLearner:
    """Learns the fields of the payloads of one topic of a group."""

    def __init__(
        self,
        names: FieldNames,
        interval_ms: int,
        remarks: Counter[str],
        *,
        is_numbered: bool,
        tells_changes: bool = False,
    ) -> None:
        """Count what was changed, for the sake of privacy or of the notation, in `remarks`.

        Of devices that tell changes alone, a value is learned as it was in between as well.
        """
        self._tells_changes = tells_changes
        self.fields: list[LearnedField] = []
        self._names = names
        self._interval_ms = interval_ms
        self._remarks = remarks
        self._is_numbered = is_numbered

    def learn(self, values: PayloadValues, ids: Mapping[str, str], sites: Mapping[str, str]) -> Any:
        """Return what stands at this place of the payload; `ids` and `sites` are what devices have in topics."""
        if not values.series:
            return None
        keys = [part for part in values.path if isinstance(part, str)]
        if (named := _named(values, ids, sites)) is not None:
            return named
        if any(map(is_sensitive_key, keys)):
            return self._hidden(values)
        if (time := _time(values)) is not None:
            return time
        every = values.values
        if all(isinstance(one, bool) for one in every):
            return self._state(values, on=True, says=None)
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in every):
            return self.number(values)
        return self._text(values)

    def _hidden(self, values: PayloadValues) -> Any:
        self._remarks["values under keys of persons, accounts and networks were replaced"] += 1
        first = values.values[0]
        if isinstance(first, bool):
            return False
        return {"const": "hidden"} if isinstance(first, str) else 0

    def number(self, values: PayloadValues) -> Any:
        """Learn a number, and return what stands for it."""
        key = str(values.path[-1]).lower() if values.path else ""
        if self._is_numbered and key in _COUNTS and _counts_messages(values):
            return "seq"
        if any(abs(float(str(one))) > LARGEST for one in values.values):
            self._remarks["numbers beyond 10^12 were replaced"] += 1
            return 0
        if key in _POSITIONS:
            self._remarks["positions were moved to a made-up place"] += 1
            values = _moved(values, _POSITIONS[key])
        name = self._names.take(values.path)
        model = number_model(name, self._measured(values), self._interval_ms)
        captured = [np.array(told, dtype=np.float64) for _, told in values.series.values()]
        if all(len(set(one.tolist())) == 1 for one in captured):
            # It may be a number by which somebody knows the device: it is not told as it is.
            captured = []
        return self._field(name, model.configs, model.says, values, captured)

    def _state(self, values: PayloadValues, *, on: Any, says: Sequence[str] | None) -> Any:
        name = self._names.take(values.path)
        series = self._measured(values)
        if len(set(values.values)) == 1:
            said = says[0] if says else values.values[0]
            return self._field(name, {name: {"constant": said}}, "constant", values, [])
        model = state_model(name, series, self._interval_ms, on, says)
        return self._field(name, model.configs, model.says, values, [])

    def _text(self, values: PayloadValues) -> Any:
        texts = {device: (times, list(map(str, told))) for device, (times, told) in values.series.items()}
        distinct = sorted({text for _, told in texts.values() for text in told})
        if len(distinct) > _MOST_TEXTS:
            self._remarks["texts were replaced: free text is never copied"] += 1
            return self._constant_text(values, "text")
        shown = self._shown(distinct)
        series: dict[str, Series] = {
            device: (times, [shown[text] for text in told]) for device, (times, told) in texts.items()
        }
        changed = PayloadValues(values.path, series, values.present)
        known = sorted(set(shown.values()))
        if len(known) == 1:
            return self._constant_text(values, known[0])
        if len(known) == 2:
            return self._state(changed, on=known[1], says=(known[1], known[0]))
        name = self._names.take(values.path)
        model = choice_model(name, self._measured(changed), self._interval_ms, known[:MAX_CHOICES])
        return self._field(name, model.configs, model.says, changed, [])

    def _measured(self, values: PayloadValues) -> list[Series]:
        series = list(values.series.values())
        return [fill_series(one, self._interval_ms) for one in series] if self._tells_changes else series

    def _constant_text(self, values: PayloadValues, text: str) -> Any:
        """Return a text; one that is all of a payload is a field, as it would stand in quotes otherwise."""
        if values.path:
            return {"const": text}
        name = self._names.take(values.path)
        return self._field(name, {name: {"constant": text}}, "constant", values, [])

    def _shown(self, distinct: Sequence[str]) -> dict[str, str]:
        """Return what stands for each text: itself where states have such words."""
        shown = {}
        for text in distinct:
            if is_known_text(text):
                shown[text] = text
            else:
                shown[text] = f"text-{len(shown) + 1}"
                self._remarks["texts were replaced: free text is never copied"] += 1
        return shown

    def _field(
        self, name: str, configs: Configs, says: str, values: PayloadValues, captured: list[Floats]
    ) -> str | dict[str, Any]:
        missing = 1 - values.present
        if missing > 0.001:
            configs[name]["missing"] = min(1.0, float(f"{missing:.2g}"))
        self.fields.append(LearnedField(name, configs, says, captured))
        return name


def _named(values: PayloadValues, ids: Mapping[str, str], sites: Mapping[str, str]) -> str | None:
    for known, written in ((ids, "{id}"), (sites, "{site}")):
        if all(device in known and {str(one) for one in told} == {known[device]}
               for device, (_, told) in values.series.items()):  # fmt: skip
            return written
    return None


def _time(values: PayloadValues) -> Any:
    """Return the time of a message, where all that stands there is near when it was heard."""
    rows = [(int(at), value) for times, told in values.series.values() for at, value in zip(times, told, strict=True)]
    if all(isinstance(value, str) for _, value in rows):
        try:
            moments = [datetime.fromisoformat(str(value)) for _, value in rows if len(str(value)) >= 16]
        except ValueError:
            return None
        if len(moments) < len(rows):
            return None
        return "timestamp" if all(one.tzinfo for one in moments) else {"from": "timestamp", "as": "local"}
    if any(isinstance(value, bool | str) for _, value in rows):
        return None
    for name, scale in _EPOCHS:
        if all(abs(float(value or 0) * scale - at) < _NEAR_MS for at, value in rows):
            has_parts = name == "epoch_s" and any(isinstance(value, float) for _, value in rows)
            return {"from": "timestamp", "as": name} | ({"round": 3} if has_parts else {})
    return None


def _counts_messages(values: PayloadValues) -> bool:
    steps = [np.diff(np.array(told, dtype=np.float64)) for _, told in values.series.values() if len(told) > 1]
    found = np.concatenate(steps) if steps else np.empty(0)
    return len(found) >= 3 and bool((found == 1).mean() > 0.95)


def _moved(values: PayloadValues, to: float) -> PayloadValues:
    """Return positions about another place."""
    middle = float(np.mean([float(str(one)) for one in values.values]))
    series: dict[str, Series] = {
        device: (times, [round(float(one) - middle + to, 5) for one in told])
        for device, (times, told) in values.series.items()
    }
    return PayloadValues(values.path, series, values.present)
