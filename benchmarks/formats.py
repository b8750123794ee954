"""What the devices of the benchmarks speak."""

from collections.abc import Mapping
from typing import Any

FORMATS: Mapping[str, Mapping[str, Any]] = {
    "message contract": {},
    "format of one's own": {
        "topic": "plant/{site}/{id}/state",
        "payload": {
            "t": "temperature_c",
            "rh": {"from": "humidity", "round": 1},
            "p": {"from": "pressure_hpa", "unit": "Pa", "round": 0},
            "ts": {"from": "timestamp", "as": "epoch_ms"},
            "fw": "1.4.2",
            "meta": {"site": "site", "line": "{n}"},
        },
    },
    "tasmota": {"dialect": "tasmota"},
    "esphome": {"dialect": "esphome"},
    "shelly": {"dialect": "shelly"},
    "senml": {"dialect": "senml"},
    "influx": {"dialect": "influx"},
    "cloudevents": {"dialect": "cloudevents"},
    "homie": {"dialect": "homie"},
    "chirpstack": {"dialect": "chirpstack"},
    "lorawan-tts": {"dialect": "lorawan-tts"},
    "aws-iot": {"dialect": "aws-iot"},
    "azure-iot": {"dialect": "azure-iot"},
    "thingsboard": {"dialect": {"dialect": "thingsboard", "prefix": "{id}/"}},
}
"""Name -> keys of their entry in the scenario."""
