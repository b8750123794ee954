"""Stands before the routes of the control interface: not everybody is let in, and nobody too often."""

import asyncio
from collections.abc import Iterable

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgefleet.control.run_page import is_page
from edgewire.http_guard import (
    BODY_S,
    CHANGING,
    MOST_BODY,
    RequestGuard,
    RequestRefused,
    check_content,
    too_large,
    too_slow,
)
from edgewire.paced_listener import RateLimit

REQUESTS_PER_S = 100.0
WAIT_S = 5.0


class ControlGuard:
    """Stands before the routes. With a token everything needs it; without one, hosts are checked instead."""

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: Iterable[str] = ()) -> None:
        """Let requests pass that name one of `hosts`, beside localhost and addresses of loopback."""
        self._app = app
        self._guard = RequestGuard(token, hosts)
        self._pace = RateLimit(REQUESTS_PER_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with why not."""
        if scope["type"] != "http":
            return
        try:
            if not await self._pace.take(WAIT_S):
                raise RequestRefused(429, "too many requests: try again later", **{"retry-after": "5"})
            headers = _headers(scope)
            self._guard.check_origin(headers)
            if not is_page(scope["method"], scope["path"]):
                self._guard.check_token(headers)
            if scope["method"] in CHANGING:
                check_content(headers)
                receive = _replay(await _read_body(receive))
        except RequestRefused as refused:
            await _refuse(send, refused)
            return
        await self._app(scope, receive, send)


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False) and len(body) <= MOST_BODY
    except TimeoutError:
        raise too_slow() from None
    if len(body) > MOST_BODY:
        raise too_large()
    return bytes(body)


def _replay(body: bytes) -> Receive:
    """Return what hands a body that is read on, and then waits: nobody asks again before the answer."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError

    return receive


async def _refuse(send: Send, refused: RequestRefused) -> None:
    body = orjson.dumps({"error": str(refused)})
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
