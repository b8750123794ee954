"""Has the bridge behind a run do what is asked of it, at its admin interface."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from edgefleet.control.json_client import JsonClient, said_error
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable

ANSWER_S = 60.0
"""A sink that is paused finishes what it has begun; very many dead letters take their time."""


class BridgeClient:
    """Reaches one bridge. Methods raise `ConfigError` for what cannot be asked for, `ServiceUnavailable` otherwise."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Take the URL of its admin interface; raises `ConfigError` for what is none."""
        self._service = JsonClient(
            url, token, what="bridge", name="admin interface of a bridge", advice="name its admin.port with --bridge"
        )

    async def change(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a POST below `/v1/`."""
        return await self._ask("POST", f"/v1/{path}", orjson.dumps(body))

    async def read(self, path: str, query: Sequence[tuple[str, str]]) -> Any:
        """Return the answer to a GET below `/v1/`."""
        return await self._ask("GET", f"/v1/{path}" + (f"?{urlencode(query)}" if query else ""), None)

    async def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        status, content = await asyncio.to_thread(self._service.ask, method, path, body, ANSWER_S)
        if status == 200:
            return content
        said = said_error(status, content)
        if status == 401:
            raise EdgefleetError(f"the bridge: {said.partition(';')[0]}: begin the run with --bridge-token-file FILE")
        if status == 403:
            raise EdgefleetError(f"the bridge: {said}")
        if status in (400, 422):
            raise ConfigError(said)
        raise ServiceUnavailable(f"the bridge: {said}")
