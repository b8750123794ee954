"""What holds a secret never shows it in its own text, which a traceback, a log line or a failing test would print."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import bridge
import devices
import edgefleet
import edgewire
from bridge.config import BridgeConfig
from bridge.message.template import Template
from devices.scenario.scenario import Scenario
from edgewire.redact import is_secret_name

CANARY = "C4N4RY"
URL = f"https://fleet:{CANARY}@host.example/path?key={CANARY}"

HOLDERS = re.compile(r"(^|_)(urls?|brokers?|headers?|endpoint|sas_key|upload)$")
"""Names of what may have a secret in it: a password in a URL, a key in its query, the value of a header."""

SHOWS_TEXT = re.compile(r"\b(str|bytes|Any|AnyHttpUrl)\b")
"""In the type of a field that shows what is in it; `SecretStr`, `BrokerUrl` and `Template` do not."""

KEYS = re.compile(r"(?<=dict\[)str(?=, )")

HARMLESS = {
    "bridge.admin.Readiness.brokers": "texts of BrokerUrl",
    "bridge.sinks.http.response.Response.url": "by show_url",
    "bridge.sinks.kafka.record.KafkaRecord.headers": "of a message, as its templates say",
    "edgefleet.control.bridge_status.BridgeStatus.url": "by show_url",
    "edgefleet.control.store_status.StoreStatus.url": "by show_url",
    "edgefleet.demo.Services.broker": "on loopback, without a password",
    "edgefleet.report.status_series._Head.brokers": "texts of BrokerUrl",
    "edgewire.http_index.IndexPage.headers": "of an answer of ours",
    "edgewire.run_record.RunRecord.broker": "the text of a BrokerUrl",
}
"""Fields of such a name that hold no secret, and why."""


def modules() -> Iterator[ModuleType]:
    for package in (edgewire, devices, bridge, edgefleet):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def classes() -> list[type[Any]]:
    """Every class of ours that is a dataclass, a model or a named tuple."""
    found = {
        one: None
        for module in modules()
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__ and [*fields(one)]
    }
    return [*found]


def fields(one: type[Any]) -> Iterator[tuple[str, str, bool]]:
    """Name, type, and whether the text of an instance has it."""
    if issubclass(one, tuple) and hasattr(one, "_fields"):
        shown = CANARY in repr(one(*[URL] * len(one._fields)))
        yield from ((name, str(one.__annotations__.get(name, "Any")), shown) for name in one._fields)
    elif dataclasses.is_dataclass(one):
        yield from ((field.name, str(field.type), field.repr) for field in dataclasses.fields(one))
    elif issubclass(one, BaseModel):
        yield from ((name, str(info.annotation), info.repr) for name, info in one.model_fields.items())


@pytest.mark.slow
def test_no_field_that_may_hold_a_secret_is_shown() -> None:
    found = classes()
    assert len(found) > 300
    shown = {
        f"{one.__module__}.{one.__qualname__}.{name}"
        for one in found
        for name, annotation, is_shown in fields(one)
        if (is_secret_name(name) or HOLDERS.search(name)) and SHOWS_TEXT.search(KEYS.sub("", annotation)) and is_shown
    }
    assert shown == HARMLESS.keys()


@pytest.mark.parametrize("model", [BridgeConfig, Scenario])
def test_a_configuration_shows_no_password_of_its_broker(model: type[BridgeConfig] | type[Scenario]) -> None:
    broker = f"mqtts://fleet:{CANARY}@broker.example"
    config = model.model_validate(
        {"broker": broker, "http": {}} if model is BridgeConfig else {"broker": broker, "devices": [{"kind": "gps"}]}
    )
    assert CANARY in str(config.broker)
    assert CANARY not in repr(config)


def test_a_bridge_shows_no_secret_of_its_sinks() -> None:
    """Headers, queries and properties of Kafka's client, which are texts."""
    config = BridgeConfig.model_validate(
        {
            "http": {"url": "https://host.example", "headers": {"X-Api-Key": CANARY}},
            "kafka": {"properties": {"sasl.password": CANARY}},
            "routes": [{"topic": "edge/#", "http": {"url": f"https://host.example/?key={CANARY}"}}],
            "tracing": {"endpoint": f"https://host.example/?key={CANARY}"},
        }
    )
    assert "host.example" not in repr(Template(URL))
    assert CANARY not in repr(config)
