"""What an operator is told of a bridge's way to its broker before anything comes."""

import pytest
from pydantic import ValidationError

from bridge.config import BridgeConfig
from bridge.source.advice import format_warnings, password_warning


@pytest.mark.parametrize(
    ("broker", "keys", "warned"),
    [
        ("mqtt://u:p@h", {}, True),
        (["mqtt://127.0.0.1", "ws://u:p@h"], {}, True),
        ("mqtt://u:p@h", {"allow_plain_password": True}, False),
        ("mqtts://u:p@h", {}, False),
        ("mqtt://u:p@127.0.0.1", {}, False),
    ],
)
def test_a_password_that_goes_unencrypted_is_told(broker: object, keys: dict[str, object], warned: bool) -> None:
    config = BridgeConfig.model_validate({"broker": broker, "mqtt": keys, "http": {"url": "http://127.0.0.1:1"}})
    warning = password_warning(config)
    assert (warning is not None) == warned
    assert warning is None or "mqtt.allow_plain_password: true" in warning


@pytest.mark.parametrize(
    ("subscriptions", "said"),
    [
        ([{"filter": "+/sensor/+/state", "decode": "esphome"}], "add {filter: homeassistant/#, decode: esphome}"),
        (
            [{"filter": "x/#", "decode": {"dialect": "homeassistant", "discovery_prefix": "ha"}}],
            "add {filter: ha/#, decode: homeassistant}",
        ),
        (
            [
                {"filter": "+/sensor/+/state", "decode": "esphome"},
                {"filter": "homeassistant/sensor/+/+/config", "decode": "esphome"},
            ],
            None,
        ),
        ([{"filter": "tele/#", "decode": "tasmota"}], None),
    ],
)
def test_values_whose_description_nobody_brings_are_told(subscriptions: list[object], said: str | None) -> None:
    config = BridgeConfig.model_validate({"subscriptions": subscriptions, "http": {"url": "http://127.0.0.1:1"}})
    found = format_warnings(config)
    assert len(found) == (said is not None)
    assert said is None or found[0].endswith(said)


@pytest.mark.parametrize(
    ("key", "value", "decode"),
    [("timezone", "Europe/Berlin", "edgefleet"), ("kind", "x", "edgefleet"), ("roles", ["state"], "none")],
)
def test_a_key_that_says_nothing_of_a_format_is_refused(key: str, value: object, decode: str) -> None:
    entry = {"filter": "x/#", "decode": decode, key: value}
    with pytest.raises(ValidationError, match=f"is of no use with decode: {decode}"):
        BridgeConfig.model_validate({"subscriptions": [entry], "http": {"url": "http://127.0.0.1:1"}})
