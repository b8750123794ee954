"""A running ingest service on a free port, and messages to send to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edgefleet.ingest.server import IngestConfig, serve
from edgewire.messages.bme280 import Bme280Reading
from edgewire.messages.examples import EXAMPLES
from edgewire.messages.gps import GpsPosition

MAX_BODY_BYTES = 20_000


@pytest.fixture
def bme280() -> Callable[..., dict[str, Any]]:
    """Makes a valid bme280 message with this seq, and other fields as given."""
    return lambda seq=0, **fields: EXAMPLES[Bme280Reading][0] | {"seq": seq} | fields


@pytest.fixture
def gps() -> Callable[..., dict[str, Any]]:
    """Makes a valid gps message with this seq, and other fields as given."""
    return lambda seq=0, **fields: EXAMPLES[GpsPosition][0] | {"seq": seq} | fields


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a service with a new store."""
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    config = IngestConfig(port=0, store=f"sqlite:///{tmp_path / 'ingest.db'}", max_body_bytes=MAX_BODY_BYTES)
    server = asyncio.create_task(serve(config, stop, url.set_result))
    try:
        async with aiohttp.ClientSession(await url) as session:
            yield session
    finally:
        stop.set()
        await server
