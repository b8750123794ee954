"""What Home Assistant reads in a Tasmota's SENSOR is what we read: its library `hatasmota` is asked about each capture.

Without it these tests are skipped, with a sentence that says how to get it; in CI they fail.
"""

from typing import Any

import pytest

from edgewire.dialects.base import Arrival
from edgewire.dialects.tasmota import TasmotaDecoder
from edgewire.dialects.units import to_canonical
from edgewire.dialects.values import number, read_object
from tests.dialects.test_captures import captures
from tests.services.fixtures import require_package

QUANTITIES = {
    "temperature": "temperature_c", "dewpoint": "dew_point_c", "humidity": "humidity", "pressure": "pressure_hpa",
    "illuminance": "illuminance_lx", "carbondioxide": "co2_ppm", "moisture": "moisture_pct", "battery": "battery_pct",
    "voltage": "voltage_v", "current": "current_a", "power": "power_w", "total": "energy_wh",
    "yesterday": "energy_yesterday_wh", "today": "energy_today_wh", "frequency": "frequency_hz",
    "apparentpower": "apparent_power_va", "reactivepower": "reactive_power_var",
}  # fmt: skip
"""Quantity there -> its name here."""
WITHOUT_A_UNIT = {"illuminance_lx", "co2_ppm", "frequency_hz", "apparent_power_va", "reactive_power_var"}


def readings() -> list[Any]:
    found = []
    for parameters in captures():
        dialect, entry = parameters.values
        is_reading = entry.get("role") == "reading" and "error" not in entry and "options" not in entry
        # It knows no firmware before 9, and no names of units but English ones.
        is_known = "firmware 5" not in entry["from"] and "ru_RU" not in entry["from"] and "ENERGY" not in entry["topic"]
        if dialect == "tasmota" and is_reading and is_known and "ZbReceived" not in entry["payload"]:
            found.append(pytest.param(entry, id=parameters.id))
    return found


def judged(body: dict[str, Any]) -> list[tuple[str, float]]:
    """Name here and value, in the unit here, of what hatasmota finds."""
    from hatasmota.sensor import get_sensor_entities
    from hatasmota.utils import get_value_by_path

    device = {"mac": "AABBCC001122", "dslp": 0, "t": "x", "ft": "%prefix%/%topic%/", "tp": ["cmnd", "stat", "tele"],
              "hn": "x", "ofln": "Offline", "onln": "Online", "state": ["OFF", "ON", "TOGGLE", "HOLD"]}  # fmt: skip
    found = []
    for entity, _ in get_sensor_entities({"sn": body, "ver": 1}, device):
        name = QUANTITIES.get(entity.quantity.lower())
        if name is None or (value := number(get_value_by_path(body, entity.value_path))) is None:
            continue
        if "ESP32" in entity.value_path or "BL09XX" in entity.value_path:
            name = "chip_temperature_c"
        if name in WITHOUT_A_UNIT:
            found.append((name, value))
        elif (converted := to_canonical(name, value, str(entity.unit))) is not None:
            found.append((name, converted))
    return found


@pytest.mark.parametrize("entry", readings())
def test_hatasmota_reads_the_same(entry: dict[str, Any]) -> None:
    require_package("hatasmota")
    message = TasmotaDecoder().decode(entry["topic"], entry["payload"].encode(), Arrival(0))
    body = read_object(entry["payload"].encode(), lenient=True)
    ours = [
        ("".join(letter for letter in name if not letter.isdigit() or "pm" in name or "co2" in name), value)
        for values in (message.values, *message.parts.values())
        for name, value in values.items()
    ]
    # Of the chips we keep one; there they are several.
    theirs = [one for one in judged(body.get("StatusSNS", body)) if one[0] != "chip_temperature_c"]
    assert [one for one in theirs if one not in ours] == []
