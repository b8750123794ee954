"""Devices with Tasmota: how they come and go; what they say of readings is in test_dialect_format.py."""

import orjson

from edgewire.dialects.base import Arrival
from edgewire.dialects.encoder import Publication
from edgewire.dialects.tasmota import TasmotaDecoder
from tests.dialects.speaking import ONLINE, device_of, format_of, reading_of, said

SENSOR = device_of("bme280")


def test_a_device_introduces_itself_once_a_boot() -> None:
    spoken = format_of("bme280", "tasmota")
    first, again = (spoken.status(SENSOR, ONLINE, is_first=is_first) for is_first in (True, False))
    assert first[0] == again[0] == Publication("tele/porch-07/LWT", b"Online", retain=True, qos=0)
    info = {f"tele/porch-07/INFO{number}" for number in (1, 2, 3)}
    assert {one.topic for one in first} - {one.topic for one in again} == info
    assert {one.qos for one in first} == {0}, "the firmware publishes all at QoS 0"
    assert not spoken.repeated_status(SENSOR, ONLINE), "STATE goes with each reading"
    will = spoken.will(SENSOR, ONLINE)
    assert will is not None
    assert (will.payload, will.retain, will.qos) == (b"Offline", True, 1)


def test_a_battery_shows_where_there_is_one() -> None:
    mains, battery = (format_of("bme280", "tasmota", firmware=one) for one in ({}, {"battery_life": "90d"}))
    message = said("bme280", battery, reading_of("bme280"))[0]
    state = orjson.loads(message.payload)
    assert 3.0 <= state["Vcc"] <= 4.2
    read = TasmotaDecoder().decode(message.topic, message.payload, Arrival(0)).values
    assert (read["supply_v"], read["battery_pct"]) == (state["Vcc"], state["BatteryPercentage"])
    assert "Vcc" not in orjson.loads(said("bme280", mains, reading_of("bme280"))[0].payload)
    config = next(one for one in battery.status(SENSOR, ONLINE | {"battery_pct": 50.0}) if one.topic.endswith("config"))
    assert orjson.loads(config.payload)["bat"] == 1
