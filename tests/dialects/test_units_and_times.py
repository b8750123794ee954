"""Units, times and what stands for no value, which all dialects share."""

from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.clock import parse_ms
from edgewire.dialects.base import Arrival, DialectError, TimeSource
from edgewire.dialects.plain_values import plain_value
from edgewire.dialects.times import device_time
from edgewire.dialects.units import QUANTITIES, from_canonical, quantity_of, to_canonical, unit_suffix
from edgewire.dialects.values import number, read_json, scaled

NOW = Arrival(1_790_000_000_000)
BERLIN = Arrival(1_790_000_000_000, zone=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("name", "value", "unit", "expected"),
    [
        ("temperature_c", 59, "°F", 15.0),
        ("temperature_c", 273.15, "K", 0.0),
        ("temperature_c", 20, "º C", 20),
        ("temperature_c", 20, "℃", 20),
        ("pressure_hpa", 29.92, "inHg", 1013.2075888),
        ("pressure_hpa", 760, "mmHg", 1013.250144354),
        ("pressure_hpa", 101325, "Pa", 1013.25),
        ("pressure_hpa", 101.325, "kPa", 1013.25),
        ("speed_kmh", 10, "m/s", 36.0),
        ("speed_kmh", 1, "kn", 1.852),
        ("speed_kmh", 60, "mph", 96.56064),
        ("battery_v", 2995, "mV", 2.995),
        ("energy_wh", 1.5, "kWh", 1500.0),
        ("power_w", 1, "MW", 1e6),
        ("power_w", 1, "mW", 0.001),
        ("energy_wh", 600, "Wmin", 10.0),
        ("humidity", 50, "%", 50),
        ("temperature_c", 20, "hPa", None),
        ("pressure_hpa", 1, "atm", None),
        ("uptime", 1, "s", None),
    ],
)
def test_a_value_is_brought_to_the_unit_of_its_name(name: str, value: float, unit: str, expected: float | None) -> None:
    assert to_canonical(name, value, unit) == expected


@given(
    st.sampled_from([f"x_{quantity}" for quantity in QUANTITIES]).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(sorted(quantity_of(name))))
    ),
    st.floats(-1000, 1000),
)
def test_a_conversion_can_be_taken_back(named: tuple[str, str], value: float) -> None:
    name, unit = named
    converted = to_canonical(name, value, unit)
    assert converted is not None
    back = from_canonical(name, converted, unit)
    factor = quantity_of(name)[unit][0]
    assert back == pytest.approx(value, abs=2e-9 / min(factor, 1) + 1e-9)


@given(st.integers(-(2**70), 2**70), st.sampled_from([1, 1000, 3_600_000, 0.001]))
def test_a_whole_number_can_be_written_in_any_unit(value: int, factor: float) -> None:
    written = orjson.loads(orjson.dumps([scaled(value, factor, 0), plain_value(value)]))
    assert written == pytest.approx([value * factor, value], rel=1e-12, abs=1e-8)


def test_an_unknown_unit_can_end_a_name() -> None:
    assert [unit_suffix(unit) for unit in ("µg/m³", "%", "atm", "  ", "l/h")] == ["ug_m3", "pct", "atm", "unit", "l_h"]


@pytest.mark.parametrize(
    ("written", "arrival", "at", "source"),
    [
        ("2024-07-01T12:00:00", BERLIN, "2024-07-01T10:00:00.000Z", TimeSource.ZONE),
        ("2024-01-01T12:00:00", BERLIN, "2024-01-01T11:00:00.000Z", TimeSource.ZONE),
        ("2024-01-01T12:00:00+05:30", BERLIN, "2024-01-01T06:30:00.000Z", TimeSource.DEVICE),
        ("2024-01-01T12:00:00Z", NOW, "2024-01-01T12:00:00.000Z", TimeSource.DEVICE),
        (1_704_110_400, NOW, "2024-01-01T12:00:00.000Z", TimeSource.DEVICE),
        (1_704_110_400.25, NOW, "2024-01-01T12:00:00.250Z", TimeSource.DEVICE),
        (1_704_110_400_250, NOW, "2024-01-01T12:00:00.250Z", TimeSource.DEVICE),
        (1_704_110_400_250_000, NOW, "2024-01-01T12:00:00.250Z", TimeSource.DEVICE),
        ("1704110400", NOW, "2024-01-01T12:00:00.000Z", TimeSource.DEVICE),
    ],
)
def test_a_time_is_placed(written: object, arrival: Arrival, at: str, source: TimeSource) -> None:
    assert device_time(written, arrival) == (parse_ms(at), source, "")


@pytest.mark.parametrize(
    ("written", "remark"),
    [
        (None, ""),
        ("2024-07-01T12:00:00", "local time without a zone: set timezone"),
        ("1970-01-01T00:01:00", "the device's clock is not set"),
        (12, "the device's clock is not set: it shows 12"),
        ("yesterday", "time 'yesterday' is no ISO 8601"),
        (float("nan"), "time nan is out of range"),
        (10**30, f"time {10**30} is out of range"),
        (-5, "time -5 is out of range"),
        (True, "time True is none"),
        ([], "time is neither a text nor a number"),
        ("9" * 65, "time is neither a text nor a number"),
    ],
)
def test_a_time_that_cannot_be_placed_is_that_of_the_arrival_and_told(written: object, remark: str) -> None:
    assert device_time(written, NOW) == (NOW.received_ms, TimeSource.ARRIVAL, remark)


def test_the_hours_in_which_clocks_change_are_told() -> None:
    twice, never = (device_time(text, BERLIN) for text in ("2024-10-27T02:30:00", "2024-03-31T02:30:00"))
    assert twice == (
        parse_ms("2024-10-27T00:30:00Z"),
        TimeSource.ZONE,
        "this local time comes twice: the earlier is taken",
    )
    assert never[2] == "this local time does not exist"


@pytest.mark.parametrize("text", ["", "nan", "NaN", "None", "null", "unavailable", "unknown", "-inf", None])
def test_what_stands_for_no_value_is_none(text: object) -> None:
    assert number(text) is None


@pytest.mark.parametrize("value", ["warm", "1_000", "١", "1,5", "0x10", [], {}, True, "--1", "."])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(DialectError, match="is no number"):
        number(value)


@pytest.mark.parametrize(("text", "expected"), [("21.5", 21.5), (" 100 ", 100), ("-4e2", -400.0), (3, 3), ("+7", 7)])
def test_numbers_may_be_texts(text: object, expected: float) -> None:
    assert number(text) == expected


def test_bare_nan_is_null_where_it_is_allowed_and_a_text_keeps_its_own() -> None:
    assert read_json(b'{"a":nan,"b":[-inf,1],"c":"nan, nan","d":NaN}', lenient=True) == {
        "a": None, "b": [None, 1], "c": "nan, nan", "d": None
    }  # fmt: skip
    with pytest.raises(DialectError, match="payload is not JSON"):
        read_json(b'{"a":nan}')
