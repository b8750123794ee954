"""Nodes of ESPHome: each quantity has a topic of its own, and what it is stands in its discovery."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.dialects.base import Arrival, MessageRole
from edgewire.dialects.encoder import Publication
from edgewire.dialects.entities import ENTITIES
from edgewire.dialects.esphome import EsphomeDecoder, EsphomeOptions
from tests.dialects.speaking import NOON_MS, ONLINE, device_of, format_of, reading_of, said

KINDS = ("bme280", "traffic", "gps", "people")
DECODED = {"latitude": "latitude_deg", "longitude": "longitude_deg", "signal_dbm": "rssi_dbm", "battery_v": "voltage_v",
           "avg_speed": "speed_kmh", "min_speed": "speed_kmh", "max_speed": "speed_kmh",
           "traffic_density_score": "traffic_density", "uptime": "camera_uptime"}  # fmt: skip
"""What a reader makes of the names of the contract, by class or by the sensor's own name."""


def reader(kind: str, spoken: Any, **options: Any) -> EsphomeDecoder:
    """Return a reader that has seen the birth of a node."""
    decoder = EsphomeDecoder(EsphomeOptions(**options))
    for one in spoken.status(device_of(kind), ONLINE | {"battery_pct": 50.0}):
        assert decoder.decode(one.topic, one.payload, Arrival(0)).role in (
            MessageRole.AVAILABILITY, MessageRole.DESCRIPTION,
        )  # fmt: skip
    return decoder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"topic_prefix": "home", "discovery_prefix": "ha"}])
def test_every_quantity_is_read_as_it_was_measured(kind: str, options: dict[str, Any]) -> None:
    spoken = format_of(kind, {"dialect": "esphome"} | options)
    decoder = reader(kind, spoken, **options)
    entities = [one for one in ENTITIES[kind] if one.field != "dew_point_c"]

    @given(st.lists(st.none() | st.floats(-150, 2000), min_size=len(entities), max_size=len(entities)))
    def round_trip(values: list[float | None]) -> None:
        row = reading_of(kind) | {one.field: value for one, value in zip(entities, values, strict=True)}
        messages = said(kind, spoken, row)
        assert len(messages) == len(entities)
        for one, entity, value in zip(messages, entities, values, strict=True):
            assert one.retain
            found = decoder.decode(one.topic, one.payload, Arrival(NOON_MS))
            assert (found.device_id, found.sensor, found.role) == ("porch-07", entity.object_id, MessageRole.READING)
            if value is None:
                assert (one.payload, found.values) == (b"nan", {})
            else:
                assert len(one.payload.partition(b".")[2]) == entity.decimals
                name = DECODED.get(entity.field, entity.field)
                assert found.values == {name: pytest.approx(value, abs=0.51 * 10**-entity.decimals)}
            assert found.remarks == ()

    round_trip()


def test_birth_will_and_discovery_are_as_the_firmware_writes_them() -> None:
    spoken = format_of("bme280", "esphome")
    node = device_of("bme280")
    status, discover, *configurations = spoken.status(node, ONLINE)
    assert status == Publication("porch-07/status", b"online", retain=True, qos=0)
    assert spoken.will(node, ONLINE) == Publication("porch-07/status", b"offline", retain=True, qos=0)
    assert spoken.status(node, ONLINE | {"state": "offline"}) == (spoken.will(node, ONLINE),)
    assert (discover.topic, discover.retain, discover.qos) == ("esphome/discover/porch-07", True, 2)
    assert {"ip", "name", "mac", "version", "platform", "board"} <= orjson.loads(discover.payload).keys()
    assert [one.topic for one in configurations] == [
        f"homeassistant/sensor/porch-07/{name}/config" for name in ("temperature", "humidity", "pressure")
    ]
    mac = orjson.loads(discover.payload)["mac"]
    assert orjson.loads(configurations[0].payload) == {
        "dev_cla": "temperature", "unit_of_meas": "°C", "stat_cla": "measurement", "name": "Temperature",
        "stat_t": "porch-07/sensor/temperature/state", "avty_t": "porch-07/status",
        "uniq_id": f"{mac}-sensor-{fnv1('Temperature')}",
        "dev": {"ids": mac, "name": "porch-07", "sw": "2024.11.0 (Nov 20 2024, 10:00:00)", "mdl": "nodemcuv2",
                "mf": "Espressif", "cns": [["mac", mac]]},
    }  # fmt: skip
    assert len({orjson.loads(one.payload)["uniq_id"] for one in configurations}) == 3
    assert spoken.command_topics(node) == ()


def fnv1(text: str) -> str:
    found = 0x811C9DC5
    for letter in text.encode():
        found = ((found * 0x01000193) % 2**32) ^ letter
    return f"{found:08x}"


def test_radio_and_battery_are_sensors_where_there_are_such() -> None:
    spoken = format_of("bme280", {"dialect": "esphome", "wifi_signal": True}, firmware={"battery_life": "90d"})
    names = [one.topic.split("/")[2] for one in said("bme280", spoken, reading_of("bme280"))]
    assert names == ["temperature", "humidity", "pressure", "wifi_signal", "battery"]
    described = {
        one.topic.split("/")[3] for one in spoken.status(device_of("bme280"), ONLINE | {"battery_pct": 1.0})[2:]
    }
    assert described == set(names)
    plain = format_of("bme280", {"dialect": "esphome", "discovery": False})
    assert len(said("bme280", plain, reading_of("bme280"))) == 3
    assert len(plain.status(device_of("bme280"), ONLINE)) == 1


def test_counts_are_numbered_without_the_events_that_have_no_word() -> None:
    group = {"kind": "people", "count": 2, "interval": "1m", "dialect": "esphome"}
    scenario = Scenario.model_validate({"devices": [group]})
    batch = Timeline(scenario, NOON_MS, in_dialects=True).batch(NOON_MS, NOON_MS + 600_000)
    for device in (0, 1):
        seqs = [seq for position, seq in zip(batch.device, batch.seq, strict=True) if position == device]
        assert seqs == list(range(seqs[0], seqs[0] + 50)), "five quantities at each of ten minutes"


def test_driving_events_are_refused() -> None:
    with pytest.raises(ValueError, match="telematics tells events; there are bme280, gps, people, traffic"):
        format_of("telematics", "esphome")
