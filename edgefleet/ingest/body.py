"""Reads a request body within its limits of size and time."""

import asyncio
import zlib
from collections.abc import Collection
from dataclasses import dataclass

from fastapi import Request

from edgewire.errors import EdgefleetError

_DRAINED = 16
"""A body of up to so many times the limit is read to its end before it is refused: a sender that is cut off while it
sends may see a reset connection instead of the answer that tells it to split."""

_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Says what a sender may ask of the service."""

    bytes: int
    """Size of a body, also after decompression."""
    seconds: float
    """Time from the head of a request to the end of its body."""


class BodyRefused(EdgefleetError):
    """Says that a body is too large, too slow, of the wrong type or damaged; `status` is the HTTP status for it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def content_type(request: Request) -> str:
    """Return the media type of the body without its parameters, or an empty text."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, limits: BodyLimits, *, types: Collection[str] = ()) -> bytes:
    """Return the whole body, decompressed and, where given, of one of these types; raises `BodyRefused`."""
    if types and content_type(request) not in types:
        raise BodyRefused(415, f"content type is '{content_type(request)}', but this path takes {', '.join(types)}")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise BodyRefused(415, f"content encoding '{encoding}' is not taken; send the body as it is or as gzip")
    try:
        async with asyncio.timeout(limits.seconds):
            body = await _read(request, limits.bytes)
    except TimeoutError:
        raise BodyRefused(408, f"the body was not complete after {limits.seconds:g} s; send smaller batches") from None
    # In a thread: a large body takes milliseconds, in which the others would wait.
    return body if encoding == "identity" else await asyncio.to_thread(_inflate, body, limits.bytes)


async def _read(request: Request, limit: int) -> bytes:
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit * _DRAINED:
            break
    if size > limit:
        raise BodyRefused(413, f"body is larger than {limit} bytes; send smaller batches")
    return b"".join(chunks)


def _inflate(body: bytes, limit: int) -> bytes:
    """Return a gzip body of one or more members, of which no more than `limit` bytes are ever made."""
    parts: list[bytes] = []
    room = limit
    try:
        while body:
            member = zlib.decompressobj(_GZIP)
            parts.append(member.decompress(body, room + 1))
            room -= len(parts[-1])
            if room < 0:
                raise BodyRefused(413, f"body is larger than {limit} bytes when decompressed; send smaller batches")
            if not member.eof:
                raise BodyRefused(400, "body is cut short: its gzip stream has no end")
            body = member.unused_data
    except zlib.error as error:
        raise BodyRefused(400, f"body is not gzip: {error}") from None
    return b"".join(parts)
