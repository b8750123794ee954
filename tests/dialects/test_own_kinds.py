"""A kind of one's own that measures what a maker's sensor does speaks that maker's dialect."""

import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms

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
