"""The admin port is what its OpenAPI says, whatever is asked; and that says all that is served."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.bridge.fakes import ingest_stub
from tests.bridge.live import Publisher, staged
from tests.schemathesis_run import schemathesis

# Not checked is what is no mistake here:
NOT_CHECKED = [
    "positive_data_acceptance",  # a sink that is made up is not there, a text is no time
    "negative_data_rejection",  # "5" for 5 is taken, as in configuration files, by the same models
    "not_a_server_error",  # 503 is documented, and says that no messages are taken; 500 is not, and is found by that
]


@pytest.mark.services
async def test_every_path_that_is_served_is_described(mosquitto: Any, tmp_path: Path) -> None:
    async with (
        ingest_stub() as ingest,
        staged(mosquitto.url, tmp_path, ingest) as stage,
        aiohttp.ClientSession(stage.bridge.admin.url) as client,
    ):
        async with client.get("/") as answer:
            listed = {(one["method"], one["path"]) for one in (await answer.json())["paths"]}
        async with client.get("/openapi.json") as answer:
            document = await answer.json()
    described = {(method.upper(), path) for path, one in document["paths"].items() for method in one}
    assert described == listed | {("GET", "/")}
    assert "securitySchemes" not in document["components"]


@pytest.mark.services
async def test_a_token_that_is_asked_for_is_described(mosquitto: Any, tmp_path: Path) -> None:
    admin = {"port": 0, "token": "a-token-of-a-bridge-0123"}
    async with (
        ingest_stub() as ingest,
        staged(mosquitto.url, tmp_path, ingest, admin=admin) as stage,
        aiohttp.ClientSession(stage.bridge.admin.url) as client,
        client.get("/openapi.json") as answer,
    ):
        paths = (await answer.json())["paths"]
    asks = {path for path, one in paths.items() for operation in one.values() if "security" in operation}
    assert asks == {path for path in paths if path.startswith("/v1/")}
    assert all("401" in operation["responses"] for path in asks for operation in paths[path].values())


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.services
async def test_the_admin_port_is_what_its_openapi_says(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        ingest.poison = {f"d1:1:{number}": 400 for number in range(1, 20)}
        publisher = Publisher(mosquitto.url, stage.site)
        await publisher.more(30)
        await publisher.finish()
        # A drain would end it.
        said = await asyncio.to_thread(
            schemathesis, stage.bridge.admin.url, tmp_path, examples=30, leave_out=["/v1/drain"], checks=NOT_CHECKED
        )
        assert not said, said
