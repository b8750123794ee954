"""Answers whoever changes a running bridge over HTTP: sinks are paused and resumed, it is drained, dead letters go.

All of it is for whoever runs on this machine, or has the token; see `edgewire.http_guard`. What is only looked at by
monitoring is in `admin`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import orjson
from aiohttp import HttpVersion11, web
from pydantic import Field, ValidationError, field_validator, model_validator

from bridge.config import AdminConfig
from bridge.spool.dead_letters import (
    DeadLetterSelection,
    dead_letter_document,
    discard_dead_letters,
    read_dead_letters,
    replay_dead_letters,
)
from edgewire import logs
from edgewire.clock import parse_ms
from edgewire.config import Config, describe_error
from edgewire.errors import ConfigError, EdgefleetError
from edgewire.http_guard import (
    BODY_S,
    CHANGING,
    MOST_BODY,
    RequestGuard,
    RequestRefused,
    check_content,
    is_loopback,
    too_large,
    too_slow,
)
from edgewire.mqtt.errors import Unsendable
from edgewire.mqtt.filters import check_filter

PREFIX = "/v1/"
MOST_NUMBERS = 1000
MOST_LETTERS = 200
"""In one answer."""
LARGEST_LIMIT = 10**18 - 1
"""The largest number that a query may have."""
PAYLOAD_SHOWN = 2000
"""Characters of a payload; `edgefleet bridge dead-letters show` has all of it."""

SENTENCES = {
    (
        "GET",
        "/v1/dead-letters",
    ): "Dead letters, the newest first: number (again and again), sink, topic, reason, since, until, limit.",
    (
        "POST",
        "/v1/dead-letters/replay",
    ): "Make dead letters pending again: numbers, sink, topic, reason, since, until, all.",
    ("POST", "/v1/dead-letters/drop"): "Delete dead letters for good; the same.",
    ("POST", "/v1/pause"): "Deliver nothing to a sink, or to all: messages are received, and wait in the spool.",
    ("POST", "/v1/resume"): "Deliver again to a sink, or to all.",
    ("POST", "/v1/drain"): "Take no new messages, deliver what is pending, end the session, and end.",
}
"""Method and path -> what it is for, as `/` says it."""

log = logs.get("admin")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SinkChoice(Config):
    """Says which sink is meant."""

    sink: str | None = Field(default=None, max_length=100)
    """None: all."""


class LetterChoice(Config):
    """Says which dead letters are meant: those that fit everything that is given."""

    numbers: tuple[Annotated[int, Field(ge=1, le=2**63 - 1)], ...] = Field(default=(), max_length=MOST_NUMBERS)
    sink: str | None = Field(default=None, max_length=100)
    topic: str | None = Field(default=None, max_length=1000)
    """Topic filter with the wildcards of MQTT."""
    reason: str | None = Field(default=None, max_length=1000)
    """A part of the reason; case does not matter."""
    since: str | None = None
    """Given up at this time (ISO 8601) or later."""
    until: str | None = None
    """Given up before this time."""

    @field_validator("topic")
    @classmethod
    def _is_filter(cls, topic: str | None) -> str | None:
        try:
            if topic:
                check_filter(topic)
        except Unsendable as error:
            raise ValueError(str(error)) from None
        return topic

    @field_validator("since", "until")
    @classmethod
    def _is_time(cls, text: str | None) -> str | None:
        try:
            if text is not None:
                parse_ms(text)
        except (ValueError, OverflowError):
            raise ValueError(f"'{str(text)[:100]}' is no time: write 2026-03-01 or 2026-03-01T12:00:00Z") from None
        return text

    def selection(self) -> DeadLetterSelection:
        """Return it as the spool takes it."""
        return DeadLetterSelection(
            numbers=self.numbers,
            sink=self.sink,
            topic=self.topic or None,
            reason=self.reason or None,
            since_ms=None if self.since is None else parse_ms(self.since),
            until_ms=None if self.until is None else parse_ms(self.until),
        )


class ChangedLetters(LetterChoice):
    """Says which dead letters are changed; without anything that says which, none are."""

    all: bool = False

    @model_validator(mode="after")
    def _says_which(self) -> "ChangedLetters":
        if self.all == (self.selection() != DeadLetterSelection()):
            raise ValueError("say which: numbers, sink, topic, reason, since, until, or all")
        return self


_BODIES = {one.__name__: one for one in (SinkChoice, LetterChoice, ChangedLetters)}


class OperatedBridge(Protocol):
    """Names what is asked of the bridge."""

    async def pause(self, sink: str | None) -> list[str]:
        """Deliver nothing to a sink, or all; return which are paused now. Raises `ConfigError`."""
        ...

    async def resume(self, sink: str | None) -> list[str]:
        """Deliver again to a sink, or all; return which are paused still. Raises `ConfigError`."""
        ...

    def request_drain(self) -> None:
        """Let the bridge deliver what it has, and end."""
        ...


class OperatorApi:
    """Holds the routes that change something."""

    def __init__(self, config: AdminConfig, spool: Path, bridge: OperatedBridge) -> None:
        self._spool = spool
        self._bridge = bridge
        self.configure(config)

    def configure(self, config: AdminConfig) -> None:
        """Go on with another token."""
        token = None if config.token is None else config.token.get_secret_value()
        self._guard = RequestGuard(token, [config.host])
        self._has_token = token is not None
        self._is_open = token is not None or is_loopback(config.host)

    @property
    def has_token(self) -> bool:
        """Return whether it asks for a token."""
        return self._has_token

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/v1/dead-letters"): self._letters,
            ("POST", "/v1/dead-letters/replay"): self._replay,
            ("POST", "/v1/dead-letters/drop"): self._drop,
            ("POST", "/v1/pause"): self._pause,
            ("POST", "/v1/resume"): self._resume,
            ("POST", "/v1/drain"): self._drain,
        }
        return [
            web.route(*name, self._guarded(handlers[name]), expect_handler=answer_expectation) for name in SENTENCES
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request)
                return await handler(request)
            except RequestRefused as refused:
                return _json({"error": str(refused)}, refused.status, refused.headers)
            except ValidationError as error:
                return _json({"error": describe_error(error, _BODIES.get(error.title))}, 422)
            except ConfigError as error:
                return _json({"error": str(error)}, 422)
            except EdgefleetError as error:
                return _json({"error": str(error)}, 503)

        return guarded

    def _check(self, request: web.Request) -> None:
        if not self._is_open:
            raise RequestRefused(
                403,
                "whoever reaches this address could change the bridge: set admin.token_file, or admin.host 127.0.0.1",
            )
        headers = {name.lower(): request.headers.getall(name) for name in request.headers}
        self._guard.check_origin(headers)
        self._guard.check_token(headers)
        if request.method in CHANGING:
            check_content(headers)

    async def _letters(self, request: web.Request) -> web.Response:
        query: dict[str, Any] = {name: request.query[name] for name in request.query if name not in ("number", "limit")}
        numbers = [_number("number", text) for text in request.query.getall("number", [])]
        limit = min(_number("limit", request.query.get("limit", "50")), MOST_LETTERS)
        chosen = LetterChoice.model_validate(query | {"numbers": numbers}).selection()
        found = await asyncio.to_thread(read_dead_letters, self._spool, chosen, limit=limit)
        return _json({"dead_letters": [_shown(dead_letter_document(letter)) for letter in found]})

    async def _replay(self, request: web.Request) -> web.Response:
        chosen = ChangedLetters.model_validate(await _read_object(request)).selection()
        change = await asyncio.to_thread(replay_dead_letters, self._spool, chosen)
        log.info("dead letters are replayed, as was asked for over HTTP", count=change.count)
        return _json({"replaying": change.count, "messages": change.names, "named": change.named})

    async def _drop(self, request: web.Request) -> web.Response:
        chosen = ChangedLetters.model_validate(await _read_object(request)).selection()
        change = await asyncio.to_thread(discard_dead_letters, self._spool, chosen)
        log.warning("dead letters are dropped, as was asked for over HTTP", count=change.count)
        return _json({"dropped": change.count, "messages": change.names, "named": change.named})

    async def _pause(self, request: web.Request) -> web.Response:
        return _json({"paused": await self._bridge.pause(await _read_sink(request))})

    async def _resume(self, request: web.Request) -> web.Response:
        return _json({"paused": await self._bridge.resume(await _read_sink(request))})

    async def _drain(self, request: web.Request) -> web.Response:
        Config.model_validate(await _read_object(request))
        self._bridge.request_drain()
        return _json({"draining": True})


async def answer_expectation(request: web.Request) -> web.StreamResponse | None:
    """Have the body come where a client waits to be told so, and refuse what else it may expect.

    aiohttp's own answer repeats what was sent, and is an error 500 where that is no text.
    """
    if request.version < HttpVersion11:
        return None
    if request.headers.get("Expect", "").lower() != "100-continue":
        return _json({"error": "the only expectation that is met is 100-continue: leave the header Expect out"}, 417)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0
    return None


async def _read_sink(request: web.Request) -> str | None:
    return SinkChoice.model_validate(await _read_object(request)).sink


async def _read_object(request: web.Request) -> object:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.content.iter_any():
                body += part
                if len(body) > MOST_BODY:
                    raise too_large()
    except TimeoutError:
        raise too_slow() from None
    try:
        return orjson.loads(bytes(body) or b"{}")
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"the body is not JSON: {error}") from None


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and 0 < int(text) <= LARGEST_LIMIT):
        raise ConfigError(f"{name}: '{text[:100]}' is no number of 1 or more")
    return int(text)


def _shown(letter: dict[str, Any]) -> dict[str, Any]:
    """Return a dead letter without the rest of a long payload."""
    for name in ("payload", "payload_base64"):
        if len(letter.get(name, "")) > PAYLOAD_SHOWN:
            letter |= {name: letter[name][:PAYLOAD_SHOWN], "payload_is_cut": True}
    return letter


def _json(document: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    found = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} | (headers or {})
    return web.Response(body=orjson.dumps(document), status=status, headers=found, content_type="application/json")
