"""A kind of one's own that measures what a maker's sensor does speaks that maker's dialect."""

import orjson
import pytest
from pydantic import ValidationError

from bridge.message.config import SubscriptionConfig
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.dialects.base import Arrival
from edgewire.dialects.own_format import OwnFormat, OwnFormatDecoder

MONDAY = parse_ms("2026-03-02")
AIR = {"temperature_c": {"constant": 21.5}, "humidity": {"constant": 40}, "pressure_hpa": {"constant": 1001.5}}


@pytest.mark.parametrize("dialect", ["tasmota", "zigbee2mqtt", "shelly"])
def test_it_says_its_own_values(dialect: str) -> None:
    scenario = Scenario.model_validate(
        {"kinds": {"cellar_air": {"fields": AIR}}, "devices": [{"kind": "cellar_air", "dialect": dialect}]}
    )
    said = Timeline(scenario, MONDAY, in_dialects=True).batch(MONDAY, MONDAY + 600_000).payload
    assert any(b"21.5" in payload and b"40" in payload for payload in said)


@pytest.mark.parametrize("dialect", ["tasmota", "zigbee2mqtt", "shelly"])
def test_one_that_lacks_something_is_refused(dialect: str) -> None:
    with pytest.raises(ValueError, match="cellar_air"):
        Scenario.model_validate(
            {
                "kinds": {"cellar_air": {"fields": {"temperature_c": {"constant": 21.5}}}},
                "devices": [{"kind": "cellar_air", "dialect": dialect}],
            }
        )


PUMP = {"fields": {"load": {"constant": 3.5}, "running": {"constant": True}, "mode": {"choice": {"of": {"eco": 1}}}}}
PAYLOAD = {
    "at": {"from": "timestamp", "as": "epoch_ms"},
    "l": {"from": "load", "round": 1},
    "on": "running",
    "m": "mode",
}


def test_what_it_says_in_a_format_of_ones_own_is_read_where_its_fields_are_named() -> None:
    group = {"kind": "pump", "topic": "works/{id}", "payload": PAYLOAD}
    scenario = Scenario.model_validate({"kinds": {"pump": PUMP}, "devices": [group]})
    said = Timeline(scenario, MONDAY, in_dialects=True).batch(MONDAY, MONDAY + 60_000).payload[0]
    fields = ("load", "running", "mode")
    decoder = OwnFormatDecoder(OwnFormat(topic="works/{id}", payload=PAYLOAD, own_fields=fields))
    read = decoder.decode("works/pump-1", said, Arrival(MONDAY))
    assert dict(read.values) == {"load": 3.5, "running": True, "mode": "eco"}
    assert read.time_ms == orjson.loads(said)["at"]


@pytest.mark.parametrize(
    ("own_fields", "said"),
    [
        ([], "there is no field 'load'.* is named in own_fields, beside payload"),
        (["load", "running", "mode", "starts"], "own_fields: 'starts' stands nowhere in payload"),
        (["Load"], r"own_fields\[0\]: should be a text"),
    ],
)
def test_names_that_are_none_are_refused(own_fields: list[str], said: str) -> None:
    decode = {"topic": "works/{id}", "payload": PAYLOAD, "own_fields": own_fields}
    with pytest.raises(ValidationError, match=said):
        SubscriptionConfig.model_validate({"filter": "works/#", "decode": decode})
