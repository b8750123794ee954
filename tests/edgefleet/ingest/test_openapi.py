"""The ingest is what its OpenAPI says, whatever is posted and asked."""

import asyncio
from pathlib import Path

import pytest

from edgefleet.ingest.server import IngestConfig, serve
from tests.schemathesis_run import schemathesis

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

NOT_CHECKED = ["positive_data_acceptance"]  # of two messages of one id with other contents the second is a conflict


async def test_the_interface_is_what_its_openapi_says(tmp_path: Path) -> None:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    config = IngestConfig(host="127.0.0.1", port=0, store=f"sqlite:///{tmp_path / 'ingest.db'}")
    service = asyncio.create_task(serve(config, stop, ready.set_result))
    try:
        url = await ready
        said = await asyncio.to_thread(schemathesis, url, tmp_path, examples=15, checks=NOT_CHECKED)
    finally:
        stop.set()
        await service
    assert not said, said
