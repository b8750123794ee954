"""The table of kinds, and what follows from a kind's messages where its `DeviceKind` does not say it."""

import pytest

from devices.sensors.base import Population, Sensor
from devices.sensors.kind import DeviceKind
from devices.sensors.registry import KINDS, load_kind
from edgewire.config import Config
from edgewire.messages import CONTRACT


def test_every_kind_of_the_contract_is_there_in_its_order() -> None:
    assert list(KINDS) == list(CONTRACT)
    assert all(kind.name == name for name, kind in KINDS.items())


@pytest.mark.parametrize("name", ["nothing", "base"])
def test_a_kind_without_a_sensor_is_an_error_that_says_what_is_missing(name: str) -> None:
    with pytest.raises(ImportError, match=f"kind '{name}' .* KIND = DeviceKind"):
        load_kind(name)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_a_kind_names_are_fields_of_its_messages(kind: DeviceKind) -> None:
    fields = {name for message in CONTRACT[kind.name].messages for name in message.model.model_fields}
    # Units with NMEA sentences send them beside the contract's fields.
    assert {*kind.decimals, *kind.plotted_fields, *kind.summary, *kind.driving_fields} - {"nmea"} <= fields


def test_what_a_kind_does_not_say_follows_from_its_reading() -> None:
    def no_sensor(settings: object, population: Population) -> Sensor:
        raise NotImplementedError

    kind = DeviceKind("people", Config, no_sensor)
    numbers = ("interval_s", "entries", "exits", "total_entries", "total_exits", "occupancy")
    assert kind.channel == "telemetry"
    assert kind.plotted_fields == tuple(kind.line_labels) == tuple(kind.summary_formats) == numbers
    assert kind.summary_formats["entries"].format(3) == "entries 3"
    assert (kind.decimals_of("interval_s"), kind.rides_in_vehicle, kind.counts_interval) == (3, False, False)
