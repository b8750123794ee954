"""Devices that speak Homie come in its order, and do what is set."""

import orjson
import pytest

from edgewire.dialects.base import Arrival, MessageRole
from edgewire.dialects.measured_names import measured_value, spoken_name
from edgewire.dialects.own_format import known_fields
from edgewire.dialects.registry import DIALECTS
from tests.dialects.speaking import ONLINE, ask, device_of, format_of, reading_of, said

FORMAT = format_of("bme280", "homie")
ROOT = "homie/5/porch-07"


def test_a_device_comes_with_its_description_between_init_and_ready() -> None:
    born = FORMAT.status(device_of("bme280"), ONLINE)
    assert [(one.topic, one.payload) for one in born if one.topic.endswith("$state")] == [
        (f"{ROOT}/$state", b"init"),
        (f"{ROOT}/$state", b"ready"),
    ]
    description = orjson.loads(born[1].payload)
    assert (born[1].topic, description["homie"]) == (f"{ROOT}/$description", "5.0")
    assert description["nodes"]["bme280"]["properties"]["temperature"] == {
        "name": "temperature_c", "datatype": "float", "unit": "°C"
    }  # fmt: skip
    assert all(one.retain and one.qos == 2 for one in born)
    # Who describes the same has the same version.
    again = FORMAT.status(device_of("bme280"), ONLINE | {"boot": 1})
    assert orjson.loads(again[1].payload)["version"] == description["version"]
    will = FORMAT.will(device_of("bme280"), ONLINE)
    assert will is not None
    assert (will.topic, will.payload, will.retain) == (f"{ROOT}/$state", b"lost", True)


def test_a_value_that_is_not_there_is_not_said() -> None:
    row = reading_of("gps", latitude=None, longitude=None)
    topics = [one.topic.rpartition("/")[2] for one in said("gps", format_of("gps", "homie"), row, row)]
    assert "latitude" not in topics
    assert "satellites" in topics


def test_what_is_set_is_done_and_said_as_it_is_then() -> None:
    topics = FORMAT.command_topics(device_of("bme280"))
    assert topics == (f"{ROOT}/device/interval/set", f"{ROOT}/device/reboot/set")
    request, answers = ask("bme280", FORMAT, topics[0], b"60")
    assert (request.action, request.arguments) == ("set_interval", {"interval": "60000ms"})
    (answer,) = answers
    assert (answer.topic, answer.payload, answer.retain) == (f"{ROOT}/device/interval", b"60", True)
    request, answers = ask("bme280", FORMAT, topics[0], b"warm", error="key 'interval': 'warm' is no duration")
    assert request.arguments == {"interval": "warm"}
    assert [(one.topic, one.retain) for one in answers] == [(f"{ROOT}/$log/warn", False)]
    request, answers = ask("bme280", FORMAT, topics[1], b"true")
    assert (request.action, answers) == ("reboot", [])
    assert ask("bme280", FORMAT, topics[1], b"TRUE") == (None, [])
    assert ask("bme280", FORMAT, f"{ROOT}/bme280/temperature/set", b"1") == (None, [])


def test_a_device_is_lost_as_long_as_its_root_is() -> None:
    decoder = DIALECTS["homie"].decoder(None)
    decoder.decode("homie/5/child/$description", b'{"homie":"5.0","root":"hub"}', Arrival(0))

    def state_of(device: str, state: bytes) -> object:
        message = decoder.decode(f"homie/5/{device}/$state", state, Arrival(0))
        assert message.role is MessageRole.AVAILABILITY
        return message.values["state"]

    assert state_of("hub", b"lost") == "lost"
    assert state_of("child", b"ready") == "lost"
    assert state_of("hub", b"ready") == "ready"
    assert state_of("child", b"ready") == "ready"


@pytest.mark.parametrize("field", sorted(known_fields()))
def test_what_a_field_is_called_with_its_unit_gives_the_field_back(field: str) -> None:
    word, unit = spoken_name(field)
    assert measured_value(word.replace("-", "_"), 12.5, unit) == (field, 12.5, "")


@pytest.mark.parametrize(
    ("word", "unit", "value", "found"),
    [
        ("temperature", "K", 300.0, ("temperature_c", 26.85, "")),
        ("avg_speed", "m/s", 10.0, ("avg_speed", 36.0, "")),
        ("load", "kW", 1.5, ("load_w", 1500.0, "")),
        ("load", "furlong", 2.0, ("load_furlong", 2.0, "load_furlong: unit 'furlong' is kept")),
        ("people", "#", 3, ("people", 3, "")),
    ],
)
def test_units_become_ours(word: str, unit: str, value: float, found: object) -> None:
    assert measured_value(word, value, unit) == found
