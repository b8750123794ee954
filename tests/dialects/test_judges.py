"""What emulated devices say, judged by software that is not ours: hatasmota runs here, of others there are extracts.

An extract is a file in `judges`, which says where its facts are from.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.dialects.encoder import Publication
from edgewire.dialects.zigbee2mqtt import Zigbee2MqttOptions
from edgewire.dialects.zigbee2mqtt_encoder import Zigbee2MqttEncoder
from tests.dialects.speaking import ONLINE, device_of, format_of, reading_of, said
from tests.services.fixtures import require_package

JUDGES = Path(__file__).parent / "judges"
FIELDS = orjson.loads((JUDGES / "home_assistant_fields.json").read_bytes())
ABBREVIATIONS = FIELDS["abbreviations"]
AIR = {"temperature_c": 21.5, "humidity": 40.25, "pressure_hpa": 1013.0}
KIND_NAMES = ("bme280", "traffic", "gps", "people", "telematics")
OWN = {"topic": "plant/{site}/{id}/state", "payload": {"t": {"from": "temperature_c", "unit": "°F"}}}


def configurations() -> list[Any]:
    """Every description for Home Assistant: platform and body, of all kinds and dialects in both forms."""
    groups: list[tuple[str, Any, dict[str, Any]]] = [
        ("bme280", "esphome", {}), ("gps", "esphome", {}), ("people", "esphome", {}), ("traffic", "esphome", {}),
    ]  # fmt: skip
    for form in ("single", "device"):
        discovery = {"discovery": {"form": form}}
        groups += [(kind, "edgefleet", discovery) for kind in KIND_NAMES]
        groups += [("bme280", one, discovery) for one in ("tasmota", "shelly")]
        groups += [("gps", "owntracks", discovery), ("bme280", None, {**OWN, **discovery})]
    found = []
    for kind, dialect, group in groups:
        named = {"dialect": dialect} if dialect else {}
        spoken = format_of(kind, **({"dialect": "edgefleet"} | named), **group)
        for one in spoken.status(device_of(kind), ONLINE | {"battery_pct": 40.0, "battery_v": 3.9, "rssi_dbm": -60}):
            levels = one.topic.split("/")
            if levels[0] == "homeassistant" and levels[-1] == "config" and one.payload:
                found.append(pytest.param(levels[1], orjson.loads(one.payload), id=f"{kind}-{dialect}-{one.topic}"))
    return found


def expanded(body: dict[str, Any], abbreviations: dict[str, str]) -> dict[str, Any]:
    return {abbreviations.get(key, key): value for key, value in body.items()}


def check_entity(platform: str, body: dict[str, Any], shared: dict[str, Any]) -> None:
    """Home Assistant drops keys that it does not know without a word, and refuses what lacks a required one."""
    full = {key.replace("~", ""): value for key, value in expanded(body, ABBREVIATIONS).items() if key != "platform"}
    full.pop("", None)
    known = FIELDS["platforms"][platform]
    assert full.keys() <= {*known["fields"], *FIELDS["common"]}
    assert {*known["required"], "unique_id"} <= full.keys() | shared.keys()
    for one in full.get("availability", []):
        assert expanded(one, ABBREVIATIONS).keys() <= set(FIELDS["availability"])
    assert full.get("state_class", "measurement") in FIELDS["state_classes"]


@pytest.mark.parametrize(("platform", "body"), configurations())
def test_home_assistant_knows_every_field_of_what_is_described_to_it(platform: str, body: dict[str, Any]) -> None:
    full = expanded(body, ABBREVIATIONS)
    device = expanded(full["device"], FIELDS["device"]["abbreviations"])
    assert device.keys() <= set(FIELDS["device"]["fields"])
    assert {"identifiers", "connections"} & device.keys()
    if "origin" in full:
        origin = expanded(full["origin"], FIELDS["origin"]["abbreviations"])
        assert set(FIELDS["origin"]["required"]) <= origin.keys() <= set(FIELDS["origin"]["fields"])
    if platform != "device":
        check_entity(platform, body, {})
        return
    assert "origin" in full  # of the device's form it is required
    shared = {key: value for key, value in full.items() if key not in ("device", "origin", "components")}
    assert shared.keys() <= set(FIELDS["common"])
    assert full["components"]
    for component in full["components"].values():
        check_entity(expanded(component, ABBREVIATIONS)["platform"], component, shared)


def test_a_gateway_exposes_what_the_converters_of_zigbee2mqtt_do() -> None:
    theirs = orjson.loads((JUDGES / "zigbee_wsdcgq11lm.json").read_bytes())
    gateway = Zigbee2MqttEncoder(Zigbee2MqttOptions(), "bme280")
    names = [{"id": "porch-07", "mac": "02AABBCCDD02"}]
    told = gateway.gateway_state({"gateway": "g", "mac": "02AABBCCDD01"}, names, ONLINE)
    listed = next(one for one in told if one.topic.endswith("bridge/devices"))
    (ours,) = (one["definition"] for one in orjson.loads(listed.payload) if one["type"] == "EndDevice")
    assert {key: ours[key] for key in ("model", "vendor", "description")} == {
        key: theirs[key] for key in ("model", "vendor", "description")
    }
    # The last one is added by Zigbee2MQTT itself.
    exposed = {one["property"]: one for one in ours["exposes"] if one["property"] != "linkquality"}
    assert exposed == {one["property"]: one for one in theirs["exposes"]}


@pytest.mark.parametrize(
    ("options", "units"),
    [
        ({}, {"temperature": "C", "humidity": "%", "pressure": "hPa", "dewpoint": "C"}),
        (
            {"temperature_unit": "F", "pressure_unit": "mmHg"},
            {"temperature": "F", "humidity": "%", "pressure": "mmHg", "dewpoint": "F"},
        ),
    ],
    ids=["metric", "other units"],
)
def test_hatasmota_finds_the_sensors_of_an_emulated_tasmota_and_reads_them(
    options: dict[str, str], units: dict[str, str]
) -> None:
    require_package("hatasmota")
    spoken = format_of("bme280", {"dialect": "tasmota", **options})
    status = list(spoken.status(device_of("bme280"), ONLINE | {"rssi_dbm": -60}))
    readings = said("bme280", spoken, reading_of("bme280", **AIR))
    will = spoken.will(device_of("bme280"), ONLINE | {"state": "offline"})
    states, available, quantities = asyncio.run(read_by_hatasmota(status, [*readings, *([will] if will else [])]))
    assert {name: quantities[name] for name in units} == units
    body = orjson.loads(readings[-1].payload)["BME280"]
    assert {name.lower(): value for name, value in body.items()} == {
        name.lower(): states[name.lower()] for name in body
    }
    assert available == [True, False]


async def read_by_hatasmota(
    status: list[Publication], later: list[Publication]
) -> tuple[dict[str, Any], list[bool], dict[str, str]]:
    """Let it discover the device of these messages; return what it says of states, of availability, and of units."""
    from hatasmota.discovery import TasmotaDiscovery, get_entity
    from hatasmota.mqtt import ReceiveMessage, TasmotaMQTTClient

    callbacks: dict[str, list[Callable[[Any], Awaitable[None] | None]]] = {}

    async def subscribe(_state: object, topics: dict[str, Any]) -> dict[str, Any]:
        for one in topics.values():
            callbacks.setdefault(one["topic"], []).append(one["msg_callback"])
        return topics

    async def nothing(*_: Any, **__: Any) -> dict[str, Any]:
        return {}

    async def feed(messages: list[Publication]) -> None:
        for one in messages:
            for topic, called in list(callbacks.items()):
                if topic == one.topic or (topic.endswith("/#") and one.topic.startswith(topic[:-1])):
                    for callback in list(called):
                        answer = callback(ReceiveMessage(one.topic, one.payload.decode(), 0, one.retain))
                        if answer is not None:
                            await answer

    client = TasmotaMQTTClient(nothing, subscribe, nothing)
    found: list[Any] = []

    async def on_sensors(sensors: list[Any], _mac: str) -> None:
        found.extend(sensors)

    await TasmotaDiscovery("tasmota/discovery", client).start_discovery(nothing, on_sensors)
    await feed(status)
    states: dict[str, Any] = {}
    available: list[bool] = []
    units: dict[str, str] = {}
    for config, _ in found:
        entity = get_entity(config, client)
        name = str(getattr(entity, "quantity", "")).lower()

        async def on_availability(now: bool, name: str = name) -> None:
            if name == "temperature":
                available.append(now)

        def on_state(value: Any, name: str = name, **_: Any) -> None:
            states[name] = value

        entity.set_on_availability_callback(on_availability)
        entity.set_on_state_callback(on_state)
        units[name] = str(getattr(entity, "unit", ""))
        await entity.subscribe_topics()
    await feed([one for one in [*status, *later] if "tasmota/discovery" not in one.topic])
    return states, available, units
