"""A running ingest service on a free port, and messages to send to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edgefleet.ingest.body import BodyLimits
from edgefleet.ingest.server import IngestConfig, serve
from edgewire.messages.bme280 import BME280_EXAMPLES
from edgewire.messages.gps import GPS_EXAMPLES

MAX_BODY_BYTES = 20_000


@pytest.fixture
def bme280() -> Callable[..., dict[str, Any]]:
    """Makes a valid bme280 message with this seq, and other fields as given."""
    return lambda seq=0, **fields: BME280_EXAMPLES[0] | {"seq": seq} | fields


@pytest.fixture
def gps() -> Callable[..., dict[str, Any]]:
    """Makes a valid gps message with this seq, and other fields as given."""
    return lambda seq=0, **fields: GPS_EXAMPLES[0] | {"seq": seq} | fields


@asynccontextmanager
async def serving(config: IngestConfig) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a service that runs as long as the block."""
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(config, stop, url.set_result))
    try:
        async with aiohttp.ClientSession(await url) as session:
            yield session
    finally:
        stop.set()
        await server


@pytest.fixture
def config(tmp_path: Path) -> IngestConfig:
    """A new store, a free port, small limits."""
    return IngestConfig(
        port=0, store=f"sqlite:///{tmp_path / 'ingest.db'}", limits=BodyLimits(bytes=MAX_BODY_BYTES, seconds=5)
    )


@pytest.fixture
async def service(config: IngestConfig) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a service with a new store."""
    async with serving(config) as session:
        yield session
