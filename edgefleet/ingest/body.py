"""Reads a request body within its limits."""

from fastapi import Request

from edgewire.errors import EdgefleetError

_DRAINED = 16
"""A body of up to so many times the limit is read to its end before it is refused: a sender that is cut off while it
sends may see a reset connection instead of the answer that tells it to split."""


class BodyRefused(EdgefleetError):
    """A body is too large or of the wrong type; `status` is the HTTP status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def read_body(request: Request, limit: int, *, content_type: str | None = None) -> bytes:
    """The whole body, of at most `limit` bytes and, where given, of this content type; raises `BodyRefused`."""
    given_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type is not None and given_type != content_type:
        raise BodyRefused(415, f"content type is '{given_type}', but this path takes {content_type}")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise BodyRefused(415, f"content encoding '{encoding}' is not taken; send the body as it is")
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
