"""What other makers' devices say is shown in words, and what cannot be read as it is."""

import re

import pytest

from edgefleet.report.dialect_reader import DialectReader
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError

NOW_MS = parse_ms("2026-03-04T12:00:10Z")
SENSOR = (
    b'{"Time":"2026-03-04T13:00:00","BME280":{"Temperature":21.5,"Humidity":40.1,"Pressure":1002.4},"TempUnit":"C"}'
)
TWO = b'{"Time":"2026-03-04T13:00:00","DS18B20-1":{"Temperature":3.5},"DS18B20-2":{"Temperature":4}}'


def line(topic: str, payload: bytes, *, retained: bool = False, dialect: str = "tasmota") -> str:
    reader = DialectReader(dialect, "Europe/Berlin")
    return " ".join(reader.read(topic, payload, retained=retained, now_ms=NOW_MS).line(NOW_MS).plain.split())


def test_a_line_has_device_role_age_and_values() -> None:
    values = "temperature_c 21.5 humidity 40.1 pressure_hpa 1002.4"
    assert line("tele/cellar/SENSOR", SENSOR) == f"cellar reading 10.00 s {values}"
    assert line("tele/cellar/LWT", b"Online", retained=True) == "R cellar availability – online True"
    assert line("tele/cellar/SENSOR", TWO).endswith("DS18B20-1: temperature_c 3.5 DS18B20-2: temperature_c 4")


def test_what_is_not_of_the_dialect_is_shown_as_it_is_with_the_reason() -> None:
    said = line("plant/x", b"\x00\x01")
    assert said.startswith("plant/x b'\\x00\\x01' topic 'plant/x' is not of the form")


def test_json_has_the_time_and_where_it_is_from() -> None:
    read = DialectReader("tasmota").read("tele/cellar/SENSOR", TWO, retained=True, now_ms=NOW_MS).as_json()
    assert read == {
        "topic": "tele/cellar/SENSOR", "retained": True, "device": "cellar", "role": "reading",
        "time": "2026-03-04T12:00:10.000Z", "time_source": "arrival", "values": {},
        "parts": {"DS18B20-1": {"temperature_c": 3.5}, "DS18B20-2": {"temperature_c": 4}},
        "remarks": ["local time without a zone: set timezone"],
    }  # fmt: skip
    broken = DialectReader("tasmota").read("tele/cellar/SENSOR", b"{", retained=False, now_ms=NOW_MS).as_json()
    assert broken["payload"] == "{"
    assert "not JSON" in str(broken["error"])


@pytest.mark.parametrize(
    ("dialect", "zone", "said"),
    [("tasmotta", None, "did you mean 'tasmota'?"), ("tasmota", "Mars/Base", "there is no zone 'Mars/Base'")],
)
def test_a_dialect_or_zone_that_there_is_not_is_refused(dialect: str, zone: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        DialectReader(dialect, zone)
