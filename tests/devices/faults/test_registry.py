"""The fault calendar: what is read, and what a user is told about one that is wrong."""

import pytest

from devices.faults.base import Fault
from devices.faults.schedule import FOREVER_MS, RandomWindows, SingleWindow
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.fields import numeric_fields, time_fields
from devices.sensors.registry import KINDS
from devices.timeline.timeline import Timeline
from edgewire import config
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError


def parse(*faults: str) -> Scenario:
    lines = "".join(f"\n  - {fault}" for fault in faults)
    text = f"devices: [{{kind: bme280, count: 3}}, {{kind: gps, count: 2}}, {{kind: people, count: 1}}]\nfaults:{lines}"
    return config.parse_config(text, Scenario, name="fleet.yaml")


def one(text: str) -> Fault:
    return parse(text).faults[0]


AT = "from: 2026-03-01T10:00:00Z"


@pytest.mark.parametrize(
    ("when", "schedule"),
    [
        (AT, SingleWindow(parse_ms("2026-03-01T10:00:00Z"), FOREVER_MS)),
        (
            f"{AT}, to: 2026-03-01T12:00:00+01:00",
            SingleWindow(parse_ms("2026-03-01T10:00:00Z"), parse_ms("2026-03-01T11:00Z")),
        ),
        (
            "from: 2026-03-01, to: 2026-03-02 06:00:00",
            SingleWindow(parse_ms("2026-03-01"), parse_ms("2026-03-02T06:00:00Z")),
        ),
        ("rate: 2/day, duration: 5m..1h", RandomWindows(2, 300_000, 3_600_000)),
        ("rate: 0.5/h, duration: 90s", RandomWindows(12, 90_000, 90_000)),
        ("rate: 3, duration: 1s", RandomWindows(3, 1000, 1000)),
    ],
)
def test_when(when: str, schedule: object) -> None:
    assert one(f"{{type: bias, kind: bme280, field: humidity, offset: 1, {when}}}").schedule == schedule


def test_what_a_fault_says_of_itself() -> None:
    fault = one(f"{{type: spike, kind: bme280, field: humidity, size: 3, {AT}}}")
    assert (fault.affected_fields, fault.parameters) == (("humidity",), {"size": 3.0, "chance": 0.05, "tail": 1.5})
    assert one(f"{{type: clock_step, kind: gps, offset: -90s, {AT}}}").parameters == {"offset": -90_000}
    assert one(f"{{type: dropout, kind: gps, {AT}}}").affected_fields == ()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (f"{{type: tired, kind: gps, {AT}}}", r"faults\[0\].*'tired'.*'bias'"),
        (f"{{type: bias, kind: gps, field: humidity, offset: 1, {AT}}}", r"faults\[0\].*'humidity' is no number in a"),
        (f"{{type: bias, kind: gps, field: vehicle_id, offset: 1, {AT}}}", "'vehicle_id' is no number.*there are lat"),
        (f"{{type: bias, kind: gps, field: seq, offset: 1, {AT}}}", "'seq' is no number"),
        (f"{{type: bias, kind: gps, field: hdop, {AT}}}", r"faults\[0\].offset' is missing"),
        (f"{{type: bias, kind: gps, field: hdop, offset: .inf, {AT}}}", r"faults\[0\].offset"),
        (f"{{type: bias, kind: gps, field: hdop, offset: 1, size: 3, {AT}}}", r"unknown key 'faults\[0\].size'"),
        (f"{{type: dropout, kind: toaster, {AT}}}", "'toaster' is not a kind of device; there are bme280"),
        (f"{{type: dropout, kind: traffic, {AT}}}", "there is no traffic among the devices"),
        (f"{{type: dropout, kind: gps, devices: [gps-0001], share: 0.5, {AT}}}", "leave one out"),
        ("{type: dropout, kind: gps}", "needs either from"),
        (f"{{type: dropout, kind: gps, {AT}, rate: 1/day, duration: 1m}}", "needs either from"),
        ("{type: dropout, kind: gps, rate: 1/day}", "needs rate and duration together"),
        (f"{{type: dropout, kind: gps, {AT}, to: 2026-03-01T10:00:00Z}}", "to: must come after from"),
        ("{type: dropout, kind: gps, rate: 30/day, duration: 5m..1h}", "longer than from one time to the next"),
        ("{type: dropout, kind: gps, rate: 2/fortnight, duration: 5m}", "'2/fortnight' is no rate"),
        ("{type: dropout, kind: gps, rate: two/day, duration: 5m}", "'two' in rate"),
        ("{type: dropout, kind: gps, rate: 1/day, duration: 1h..5m}", "the shorter one first"),
        (f"{{type: clip, kind: gps, field: hdop, {AT}}}", "needs low or high"),
        (f"{{type: clip, kind: gps, field: hdop, low: 3, high: 1, {AT}}}", "low must not be above high"),
        (f"{{type: code_fault, kind: gps, {AT}}}", r"faults\[0\].kind"),
        (f"{{type: gps_loss, kind: bme280, {AT}}}", r"faults\[0\].kind"),
    ],
)
def test_a_wrong_calendar_is_refused_in_one_sentence(fault: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        parse(fault)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("fleet.yaml:3: ")


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("bme280-0009", r"faults\[0\].devices: 'bme280-0009' is not the id of a gps"),
        ("bme280-0001", r"faults\[0\].devices: 'bme280-0001' is a bme280, not a gps"),
    ],
)
def test_a_device_that_is_not_there(device: str, sentence: str) -> None:
    scenario = parse(f"{{type: dropout, kind: gps, devices: [{device}], {AT}}}")
    with pytest.raises(ConfigError, match=sentence):
        Timeline(scenario, 0)


def test_a_device_of_another_shard_is_there() -> None:
    scenario = parse(f"{{type: dropout, kind: gps, devices: [gps-0002], {AT}}}")
    for index in range(6):
        Timeline(scenario, 0, Shard(index, 6))


def test_fields_are_told_by_the_contract() -> None:
    assert all(numeric_fields(kind) for kind in KINDS)
    assert numeric_fields("bme280") == ("temperature_c", "humidity", "pressure_hpa")
    assert {"entries", "occupancy"} < set(numeric_fields("people"))
    assert time_fields("telematics") == ("ts",)
    assert set(time_fields("people")) == {"entry_time", "exit_time", "time"}
