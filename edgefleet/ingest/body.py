"""Reads request bodies within what one sender may ask for, and within what all of them together may hold in memory."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from edgewire.errors import EdgefleetError

Result = TypeVar("Result")

_DRAINED = 16
"""A body of up to so many times the limit is read to its end before it is refused: a sender that is cut off while it
sends may see a reset connection instead of the answer that tells it to split."""

_AT_ONCE = 16
"""As many bodies of the largest size may be held at the same time; a sender beyond that is asked to come again."""
_SMALL = 64 << 10
"""Bytes of each body that are always let in, whatever others hold, and that are decoded without waiting for a turn."""
_DECODED_AT_ONCE = 2
"""Larger bodies are decoded by turns: JSON takes many times its own size in memory, and all share one interpreter."""

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MEMBERS = 10_000
"""Of a body; whoever compresses message by message has one each."""
_STEP = 16 << 10
"""Of a gzip body at a time: what is left of a step is copied at the end of a member."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Says what a sender may ask of the service."""

    bytes: int
    """Size of a body, also after decompression."""
    seconds: float
    """Time from the head of a request to the end of its body."""


class BodyRefused(EdgefleetError):
    """Says that a body is too large, too slow, of the wrong type or damaged; `status` is the HTTP status for it."""

    def __init__(self, status: int, reason: str, *, unread: bool = False) -> None:
        """Refuse a body; where it is `unread`, the connection is of no more use."""
        super().__init__(reason)
        self.status = status
        self.unread = unread


def content_type(request: Request) -> str:
    """Return the media type of the body without its parameters, or an empty text."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class BodyReader:
    """Reads and decodes the bodies of all requests to one application."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._held = 0
        self._turns = asyncio.Semaphore(_DECODED_AT_ONCE)

    @asynccontextmanager
    async def read(self, request: Request, types: Collection[str], most: int | None = None) -> AsyncIterator[bytes]:
        """Yield the whole body, decompressed and of one of these types; raises `BodyRefused`.

        `most` is its limit in bytes where that is lower than that of all. Its room is given back after the block.
        """
        _check_type(request, types)
        compressed = _is_gzip(request)
        limit = min(self._limits.bytes, most or self._limits.bytes)
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if taken + size > _SMALL and self._held + size > self._limits.bytes * _AT_ONCE:
                raise BodyRefused(503, "too many large bodies are being received; try again in a second", unread=True)
            taken += size
            self._held += size

        try:
            body = await self._receive(request, limit, take)
            if compressed:
                body = await self.decode(len(body) + _SMALL, _inflate, body, limit)
                take(len(body))
            yield body
        finally:
            self._held -= taken

    async def decode(self, size: int, work: Callable[..., Result], *arguments: object) -> Result:
        """Return `work(*arguments)` on a body of this size, in a thread: others would wait for milliseconds.

        Large ones take turns.
        """
        if size <= _SMALL:
            return await asyncio.to_thread(work, *arguments)
        async with self._turns:
            return await asyncio.to_thread(work, *arguments)

    async def _receive(self, request: Request, limit: int, take: Callable[[int], None]) -> bytes:
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit * _DRAINED:
            raise _too_large(limit, unread=True)
        seconds = self._limits.seconds
        try:
            async with asyncio.timeout(seconds):
                return await _read(request, limit, take)
        except TimeoutError:
            reason = f"the body was not complete after {seconds:g} s; send smaller batches"
            raise BodyRefused(408, reason, unread=True) from None


def _check_type(request: Request, types: Collection[str]) -> None:
    given = request.headers.getlist("content-type")
    if len(given) > 1:
        raise BodyRefused(415, f"content type is given {len(given)} times; give it once")
    if not given:
        raise BodyRefused(415, f"no content type is given; this path takes {', '.join(types)}")
    if content_type(request) not in types:
        raise BodyRefused(
            415, f"content type is '{content_type(request)[:100]}', but this path takes {', '.join(types)}"
        )
    for parameter in given[0].lower().split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' \t"') not in ("utf-8", "utf8", "us-ascii"):
            raise BodyRefused(415, f"charset '{value.strip()[:100]}' is not taken; JSON is written in UTF-8")


def _is_gzip(request: Request) -> bool:
    encoding = ", ".join(request.headers.getlist("content-encoding")).strip().lower() or "identity"
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise BodyRefused(
            415, f"content encoding '{encoding[:100]}' is not taken; send the body as it is or as gzip, once"
        )
    return encoding != "identity"


async def _read(request: Request, limit: int, take: Callable[[int], None]) -> bytes:
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            take(len(chunk))
            chunks.append(chunk)
        elif size > limit * _DRAINED:
            break
        else:
            chunks.clear()
    if size > limit:
        raise _too_large(limit, unread=size > limit * _DRAINED)
    return b"".join(chunks)


def _too_large(limit: int, *, unread: bool) -> BodyRefused:
    return BodyRefused(413, f"body is larger than {limit} bytes; send smaller batches", unread=unread)


def _inflate(body: bytes, limit: int) -> bytes:
    """Return a gzip body of one or more members, of which no more than `limit` bytes are ever made."""
    content = bytearray()
    members = position = begun = 0
    member = zlib.decompressobj(_GZIP)
    view = memoryview(body)
    try:
        while position < len(body):
            step = view[position : position + _STEP]
            content += member.decompress(step, limit - len(content) + 1)
            if len(content) > limit:
                raise BodyRefused(413, f"body is larger than {limit} bytes when decompressed; send smaller batches")
            position += len(step) - len(member.unused_data)
            if member.eof:
                members += 1
                if members > _GZIP_MEMBERS:
                    raise BodyRefused(413, f"body has more than {_GZIP_MEMBERS} gzip members; send smaller batches")
                member, begun = zlib.decompressobj(_GZIP), position
    except zlib.error as error:
        where = f" behind its gzip member {members}" if members else ""
        raise BodyRefused(400, f"body is not gzip{where}: {error}") from None
    if not members or begun < len(body):
        raise BodyRefused(400, "body is cut short: its gzip stream has no end")
    return bytes(content)
