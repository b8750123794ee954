"""The dialect of a make of meters: `meters/ID/measure` with {"P": watts, "E": kilowatt hours, "at": seconds}."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgefleet.plugin_dialects import (
    Arrival,
    CommandOutcome,
    Config,
    DeviceNames,
    Dialect,
    DialectCommand,
    DialectError,
    DialectMessage,
    MessageRole,
    MessageTemplate,
    Publication,
    TimeSource,
    fill_names,
)

_TOPIC = re.compile(r"meters/([^/]+)/(measure|state)")


class MeterbusOptions(Config):
    """Says how the meters are set up."""


class MeterbusDecoder:
    """Reads what meters publish."""

    def __init__(self, options: MeterbusOptions) -> None:
        self.filters: Sequence[str] = ("meters/+/measure", "meters/+/state")

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        found = _TOPIC.fullmatch(topic)
        if found is None:
            raise DialectError(f"topic '{topic}' is none of a meter's")
        device, what = found.groups()
        if what == "state":
            values: dict[str, Any] = {"online": payload == b"up"}
            return DialectMessage(device, MessageRole.AVAILABILITY, arrival.received_ms, TimeSource.ARRIVAL, values)
        try:
            body = json.loads(payload)
            power, energy, seconds = float(body["P"]), float(body["E"]) * 1000, float(body["at"])
        except (ValueError, KeyError, TypeError) as error:
            raise DialectError(f"payload is no measure of a meter: {error}") from None
        values = {"power_w": power, "energy_wh": energy}
        return DialectMessage(device, MessageRole.READING, round(seconds * 1000), TimeSource.DEVICE, values)


class MeterbusEncoder:
    """Writes what a meter publishes at each reading, and whether it is up."""

    events: Sequence[MessageTemplate] = ()

    def __init__(self, options: MeterbusOptions, kind: str) -> None:
        """Raises `DialectError` for a kind that is no meter."""
        if kind != "energy":
            raise DialectError(f"meters measure power, and a {kind} measures something else; use energy")
        at = {"from": "timestamp", "as": "epoch_s", "round": 3}
        self.messages = (MessageTemplate("meters/{id}/measure", {"P": "power_w", "E": "energy_kwh", "at": at}),)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterable[Publication]:
        """Return the retained state."""
        return (self._state(names, b"up" if status["state"] == "online" else b"down"),)

    def will(self, names: DeviceNames) -> Publication:
        """Return what the broker says when the meter is gone."""
        return self._state(names, b"down")

    def command_topics(self, names: DeviceNames) -> Sequence[str]:
        """Return none: a meter takes no commands."""
        return ()

    def answer_filters(self, names: DeviceNames) -> Sequence[str]:
        """Return none."""
        return ()

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return none."""
        return None

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterable[Publication]:
        """Return nothing."""
        return ()

    def _state(self, names: DeviceNames, payload: bytes) -> Publication:
        return Publication(fill_names("meters/{id}/state", names), payload, retain=True)


DIALECT = Dialect("meterbus", MeterbusOptions, MeterbusDecoder, MeterbusEncoder)
