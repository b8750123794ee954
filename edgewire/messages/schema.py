"""The contract for other programs: JSON Schema of every message, and one AsyncAPI 3.0 document of all.

Both are generated from the models, so they cannot say anything else than what is checked.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic.json_schema import models_json_schema

from edgewire.messages.base import ContractError, Examples, Payload
from edgewire.messages.contract import CONTRACT, DEVICE_CONTRACT
from edgewire.messages.control import COMMAND_EXAMPLES, RESULT_EXAMPLES, STATUS_EXAMPLES, Command, Result, Status
from edgewire.messages.topics import ROOT, Channel

JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
CONTRACT_VERSION = "1.0.0"


class ControlType(NamedTuple):
    """One message that every kind of device has."""

    model: type[Payload]
    examples: Examples


CONTROL: Mapping[str, ControlType] = MappingProxyType(
    {
        "status": ControlType(Status, STATUS_EXAMPLES),
        "cmd": ControlType(Command, COMMAND_EXAMPLES),
        "result": ControlType(Result, RESULT_EXAMPLES),
    }
)
"""By the channel they travel on."""


def schema_names() -> tuple[str, ...]:
    """Return the names that `message_schema` takes."""
    return (*CONTRACT, *CONTROL)


Json = dict[str, Any]


def message_schema(name: str) -> Json:
    """Return the JSON Schema of a kind, or of `status`, `cmd` or `result`; raises `ContractError` for others."""
    if name in CONTRACT:
        schema = CONTRACT[name].json_schema()
    elif name in CONTROL:
        schema = CONTROL[name].model.model_json_schema()
    else:
        raise ContractError(f"there is no message '{name}'; there are {', '.join(schema_names())}")
    return {"$schema": JSON_SCHEMA, **schema}


def asyncapi() -> Json:
    """Return the AsyncAPI 3.0 document, as a device sees it: it sends measurements and receives commands."""
    everything: dict[type[Payload], Examples] = {
        message.model: message.examples for contract in CONTRACT.values() for message in contract.messages
    }
    everything |= {control.model: control.examples for control in CONTROL.values()}
    _, schemas = models_json_schema(
        [(model, "validation") for model in everything], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Edge devices on MQTT",
            "version": CONTRACT_VERSION,
            "description": "What devices of the fleet, emulated or real, send and receive. "
            "A message is known everywhere by its id, `{device_id}:{boot}:{seq}`.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "mqtt",
                "protocolVersion": "5",
                "variables": {"host": {"default": "127.0.0.1:1883", "description": "Host and port of the broker."}},
            }
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "parameters": _parameters(),
            "messages": {model.__name__: _message(model, examples) for model, examples in everything.items()},
            "schemas": schemas["$defs"],
        },
    }


def _parameters() -> Json:
    return {
        "site": {"description": "Where the device is."},
        "kind": {
            "description": "What kind of device it is; one with several parts is a device.",
            "enum": [*CONTRACT, DEVICE_CONTRACT.kind],
        },
        "device_id": {"description": "The name of the device, unique in the fleet; also its MQTT client id."},
    }


def _channels() -> Json:
    channels: Json = {}
    for kind, contract in CONTRACT.items():
        for channel in _measured_on(kind):
            models = [message.model for message in contract.messages if message.channel is channel]
            address = f"{ROOT}/{{site}}/{kind}/{{device_id}}/{channel.value}"
            channels[f"{kind}.{channel.value}"] = _channel(address, models, ("site", "device_id"))
    for name, control in CONTROL.items():
        channels[name] = _channel(
            f"{ROOT}/{{site}}/{{kind}}/{{device_id}}/{name}", [control.model], tuple(_parameters())
        )
    return channels


def _measured_on(kind: str) -> list[Channel]:
    """Return the channels on which a kind sends its measurements."""
    return sorted({message.channel for message in CONTRACT[kind].messages})


def _channel(address: str, models: Iterable[type[Payload]], parameters: Iterable[str]) -> Json:
    return {
        "address": address,
        "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in models},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in parameters},
    }


def _message(model: type[Payload], examples: Examples) -> Json:
    name = model.__name__
    message: Json = {
        "name": name,
        "title": name,
        "summary": (model.__doc__ or "").partition("\n")[0],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "examples": [{"payload": payload} for payload in examples],
    }
    if model in (Command, Result):
        message["correlationId"] = {"location": "$message.payload#/id"}
    return message


def _operations() -> Json:
    operations: Json = {}
    for kind in CONTRACT:
        for channel in _measured_on(kind):
            operations[f"send.{kind}.{channel.value}"] = _operation("send", f"{kind}.{channel.value}")
    # The status is what a newcomer must learn at once, so the broker keeps the last one.
    operations["send.status"] = _operation("send", "status", retain=True)
    operations["receive.cmd"] = _operation("receive", "cmd") | {"reply": {"channel": {"$ref": "#/channels/result"}}}
    return operations


def _operation(action: str, channel: str, *, retain: bool = False) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}},
    }
