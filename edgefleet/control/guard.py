"""Lets in who may come: whoever runs on this machine, or has the token, and never a page of another site.

A browser sends the requests of any page to any address. So a request that names another host than ours has come by a
name that somebody else has given our address (DNS rebinding), one with another origin is of another site, and one that
changes something has a content type that no form can send.
"""

import asyncio
import hmac
import ipaddress
import math
from collections.abc import Iterable
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgefleet.control.run_page import is_page

MOST_BODY = 64 << 10
BODY_S = 10.0
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


REQUESTS_PER_S = 100.0
WAIT_S = 5.0


class RateLimit:
    """Lets so much through a second, and as much at once after a rest; the others wait."""

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s
        self._next_s = 0.0

    async def take(self, limit_s: float = math.inf) -> bool:
        """Wait for a turn; return whether there is one within so much time."""
        now_s = asyncio.get_running_loop().time()
        due_s = max(self._next_s, now_s - 1.0)
        if due_s - now_s > limit_s:
            return False
        self._next_s = due_s + self._gap_s
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)
        return True


class RequestRefused(Exception):
    """Says that a request does not get as far as the routes; `status` is the HTTP status for it."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


class ControlGuard:
    """Stands before the routes. With a token everything needs it; without one, hosts are checked instead."""

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: Iterable[str] = ()) -> None:
        """Let requests pass that name one of `hosts`, beside localhost and addresses of loopback."""
        self._app = app
        self._token = None if token is None else token.encode()
        self._pace = RateLimit(REQUESTS_PER_S)
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with why not."""
        if scope["type"] != "http":
            return
        try:
            if not await self._pace.take(WAIT_S):
                raise RequestRefused(429, "too many requests: try again later", **{"retry-after": "5"})
            headers = _headers(scope)
            self._check_origin(headers)
            if not is_page(scope["method"], scope["path"]):
                self._check_token(headers)
            if scope["method"] in CHANGING:
                receive = _replay(await _read_json(headers, receive))
        except RequestRefused as refused:
            await _refuse(send, refused)
            return
        await self._app(scope, receive, send)

    def _check_origin(self, headers: dict[str, list[str]]) -> None:
        hosts = headers.get("host", [])
        if len(hosts) != 1:
            raise RequestRefused(400, "a request names one host, in the header Host")
        if self._token is None and not self._is_ours(hosts[0]):
            raise RequestRefused(
                421, f"the host '{hosts[0][:100]}' is not this machine: use localhost or the address itself"
            )
        origins = headers.get("origin", [])
        if any(urlsplit(origin).netloc.lower() != hosts[0].lower() for origin in origins):
            raise RequestRefused(403, f"the origin '{origins[0][:100]}' is another site: only pages from here may ask")
        if headers.get("sec-fetch-site", ["none"])[0] not in ("none", "same-origin"):
            raise RequestRefused(403, "the request is of a page of another site: only pages from here may ask")

    def _is_ours(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name in self._hosts

    def _check_token(self, headers: dict[str, list[str]]) -> None:
        if self._token is None:
            return
        given = headers.get("authorization", [])
        scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if not hmac.compare_digest(secret.strip().encode(), self._token) or scheme.lower() != "bearer":
            reason = "not the token of this run" if given else "no token"
            raise RequestRefused(401, f"{reason}; send Authorization: Bearer TOKEN", **{"www-authenticate": "Bearer"})


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


async def _read_json(headers: dict[str, list[str]], receive: Receive) -> bytes:
    types = [text.partition(";")[0].strip().lower() for text in headers.get("content-type", [])]
    if types != ["application/json"]:
        raise RequestRefused(415, "what changes something is sent as Content-Type: application/json")
    length = headers.get("content-length", ["0"])[0]
    if headers.get("content-encoding"):
        raise RequestRefused(415, "no content encoding is taken: send the body as it is")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            more = not (length.isdecimal() and int(length) > MOST_BODY)
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False) and len(body) <= MOST_BODY
    except TimeoutError:
        raise RequestRefused(408, f"the body was not complete after {BODY_S:g} s", connection="close") from None
    if len(body) > MOST_BODY or (length.isdecimal() and int(length) > MOST_BODY):
        raise RequestRefused(413, f"the body is larger than {MOST_BODY >> 10} KiB", connection="close")
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
