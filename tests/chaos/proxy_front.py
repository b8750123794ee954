"""The HTTP endpoint that the bridge posts to: passes requests on to ingest, keeps its own log, and answers as told.

The log is the checker's raw evidence: every request that ingest stored, in order, with the ids as they stood in it.
"""

import asyncio
import gzip
import random
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
import orjson
from aiohttp import web

from edgefleet.embedded import free_port
from tests.chaos.records import Arrival

_BOMB = gzip.compress(bytes(1 << 20)) * 1024
"""A gigabyte of zeros, in members."""


class Act(StrEnum):
    """What becomes of a request."""

    REFUSE = "refuse"
    """Answered with `status`; ingest never sees it."""
    REFUSE_BATCH = "refuse-batch"
    """The same where it has more than one message; others go to ingest."""
    STORE_AND_DENY = "store-and-deny"
    """Ingest stores it, and it is answered with `status` all the same."""
    STORE_AND_DROP = "store-and-drop"
    """Ingest stores it, and the connection ends without an answer."""
    STORE_AND_WAIT = "store-and-wait"
    """Ingest stores it, and the answer comes `wait_s` later."""
    WAIT_AND_STORE = "wait-and-store"
    """It is held for `wait_s` before ingest sees it."""
    STORE_AND_CONFLICT = "store-and-conflict"
    """Ingest stores it and the connection ends without an answer; whatever comes under the same key again is answered
    409, and ingest does not see it."""
    STORE_AND_FLOOD = "store-and-flood"
    """Ingest stores it, and the answer of 200 never ends."""
    STORE_AND_BOMB = "store-and-bomb"
    """Ingest stores it, and the answer of 200 is gzip of a gigabyte."""
    LIE_HTML = "lie-html"
    """Answered 200 with a login page; ingest never sees it."""
    LIE_ERRORS = "lie-errors"
    """Answered 200 with `errors: true`; ingest never sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Misbehaviour: of `share` of all requests, drawn with `rng`."""

    act: Act
    status: int = 503
    share: float = 1.0
    wait_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    rng: random.Random = field(default_factory=random.Random)


class ProxyFront:
    """Listens on `port` between `start` and `close`."""

    def __init__(self, ingest_url: str) -> None:
        self.port = free_port()
        self.script: Script | None = None
        self.log: list[Arrival] = []
        """Every message of every request that ingest has stored, in order."""
        self.misbehaved = 0
        """Requests that got an answer of the script's."""
        self.upstream = ingest_url
        """Of the ingest that requests go to."""
        self._taken_keys: set[str] = set()  # of requests that were stored and not answered
        self._client: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        self._client = aiohttp.ClientSession()
        application = web.Application(client_max_size=1 << 26)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def close(self) -> None:
        """Stop listening."""
        if self._client:
            await self._client.close()
        if self._runner:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        key = request.headers.get("Idempotency-Key", "")
        if key in self._taken_keys:
            self.misbehaved += 1
            return web.json_response({"error": "this key was used before"}, status=409)
        script = self.script
        if script is None or script.rng.random() >= script.share:
            return await self._store(request, body)
        if script.act is Act.REFUSE_BATCH and b"\n" not in body.strip():
            return await self._store(request, body)
        self.misbehaved += 1
        if script.act in (Act.REFUSE, Act.REFUSE_BATCH):
            return web.Response(status=script.status, headers=script.headers, text="refused by the chaos suite")
        if script.act is Act.LIE_HTML:
            return web.Response(text="<!doctype html><title>log in</title>", content_type="text/html")
        if script.act is Act.LIE_ERRORS:
            return web.json_response({"took": 3, "errors": True, "items": []})
        if script.act is Act.WAIT_AND_STORE:
            await asyncio.sleep(script.wait_s)
        answer = await self._store(request, body)
        if script.act is Act.STORE_AND_WAIT:
            await asyncio.sleep(script.wait_s)
        elif script.act is Act.STORE_AND_DENY:
            return web.Response(status=script.status, headers=script.headers, text="stored, and denied")
        elif script.act is Act.STORE_AND_DROP and request.transport:
            request.transport.abort()
        elif script.act is Act.STORE_AND_CONFLICT and answer.status < 300 and request.transport:
            self._taken_keys.add(key)
            request.transport.abort()
        elif script.act is Act.STORE_AND_FLOOD:
            return await self._flood(request, {})
        elif script.act is Act.STORE_AND_BOMB:
            return await self._flood(request, {"Content-Encoding": "gzip"})
        return answer

    async def _flood(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        """Answer without an end, or with what becomes a gigabyte, until the client has had enough."""
        response = web.StreamResponse(headers=headers)
        with suppress(ConnectionError):
            await response.prepare(request)
            if headers:
                await response.write(_BOMB)
                await response.write_eof()
            while not headers:
                await response.write(bytes(1 << 16))
        return response

    async def _store(self, request: web.Request, body: bytes) -> web.Response:
        assert self._client is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        url = self.upstream + request.path_qs
        try:
            async with self._client.request(request.method, url, data=body, headers=headers) as answer:
                said = await answer.read()
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"ingest is not there: {error}")
        if 200 <= answer.status < 300:
            self._record(request.headers.get("Idempotency-Key"), body, orjson.loads(said))
        return web.Response(status=answer.status, body=said, content_type=answer.content_type)

    def _record(self, key: str | None, body: bytes, said: dict[str, object]) -> None:
        items = said.get("items")
        rejected = {item["line"] for item in items} if isinstance(items, list) else set()
        for number, line in enumerate(body.split(b"\n")):
            if number not in rejected:
                self.log.append(Arrival.of(line, self._single_key(key, said)))

    @staticmethod
    def _single_key(key: str | None, said: dict[str, object]) -> str | None:
        """The key of a single post is the message's id; that of a batch is the batch's."""
        return key if "id" in said else None
