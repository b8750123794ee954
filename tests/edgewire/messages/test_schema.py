"""The generated documents: sound by themselves, and saying what the models say."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from edgewire.messages import CONTRACT, Command, ContractError, Result, Status, Topic
from edgewire.messages.schema import CONTROL, asyncapi, message_schema, schema_names

DOCUMENT = asyncapi()


def references(node: object) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: dict[str, Any], reference: str) -> Any:
    """What a local reference points to."""
    root, *path = reference.split("/")
    assert root == "#"
    node: Any = document
    for part in path:
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


@pytest.mark.parametrize("name", schema_names())
def test_a_message_schema_is_whole(name: str) -> None:
    schema = message_schema(name)
    assert schema["$schema"].endswith("2020-12/schema")
    for reference in references(schema):
        assert isinstance(resolve(schema, reference), dict)
    assert orjson.loads(orjson.dumps(schema)) == schema


def test_a_schema_has_the_fields_ranges_and_descriptions_of_the_model() -> None:
    schema = message_schema("bme280")
    assert schema["properties"]["temperature_c"]["minimum"] == -40
    assert schema["properties"]["temperature_c"]["description"] == "Degrees Celsius."
    assert {"device_id", "timestamp", "boot", "seq", "temperature_c"} <= set(schema["required"])
    assert (
        schema["properties"]["timestamp"] | {"type": "string", "format": "date-time"}
        == (schema["properties"]["timestamp"])
    )


def test_a_kind_of_several_messages_is_one_of_them() -> None:
    schema = message_schema("people")
    assert len(schema["oneOf"]) == 3
    assert schema["discriminator"]["propertyName"] == "event_type"


def test_a_name_of_no_message_is_refused() -> None:
    with pytest.raises(ContractError, match="'lidar'"):
        message_schema("lidar")


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 50
    for reference in found:
        assert isinstance(resolve(DOCUMENT, reference), dict), reference


def test_every_channel_is_a_topic_with_its_parameters_declared() -> None:
    for name, channel in DOCUMENT["channels"].items():
        levels = channel["address"].split("/")
        assert {level[1:-1] for level in levels if level.startswith("{")} == channel["parameters"].keys(), name
        filled = channel["address"].format(site="riverside", kind="gps", device_id="d-1")
        assert str(Topic.parse(filled)) == filled


def test_every_message_of_the_contract_travels_on_its_channel() -> None:
    for contract in CONTRACT.values():
        for message in contract.messages:
            channel = DOCUMENT["channels"][f"{contract.kind}.{message.channel.value}"]
            assert message.model.__name__ in channel["messages"]
            assert channel["address"] == f"edge/{{site}}/{contract.kind}/{{device_id}}/{message.channel.value}"
    for name, control in CONTROL.items():
        assert DOCUMENT["channels"][name]["messages"].keys() == {control.model.__name__}


def test_every_channel_has_an_operation() -> None:
    operations = DOCUMENT["operations"].values()
    used = {operation["channel"]["$ref"] for operation in operations}
    used |= {operation["reply"]["channel"]["$ref"] for operation in operations if "reply" in operation}
    assert used == {f"#/channels/{name}" for name in DOCUMENT["channels"]}
    assert {operation["action"] for operation in operations} == {"send", "receive"}
    assert (
        DOCUMENT["operations"]["send.status"]["bindings"]["mqtt"] | {"retain": True, "qos": 1}
        == (DOCUMENT["operations"]["send.status"]["bindings"]["mqtt"])
    )


def test_every_example_validates_against_its_model() -> None:
    models = {message.model.__name__: message.model for one in CONTRACT.values() for message in one.messages}
    models |= {model.__name__: model for model in (Status, Command, Result)}
    assert models.keys() == DOCUMENT["components"]["messages"].keys()
    for name, message in DOCUMENT["components"]["messages"].items():
        assert message["examples"]
        for example in message["examples"]:
            models[name].model_validate_json(orjson.dumps(example["payload"]))


def test_the_document_is_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"].keys() >= {"title", "version"}
    (server,) = DOCUMENT["servers"].values()
    assert server.keys() >= {"host", "protocol"}
