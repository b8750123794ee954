"""Decides who may post and read: whoever has one of the service's tokens."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

_BEARER = HTTPBearer(auto_error=False, description="One of the tokens that the service was started with.")


def guard(tokens: Sequence[str]) -> Callable[..., Awaitable[None]]:
    """Return a dependency of routes that answers 401 without `Authorization: Bearer` and one of `tokens`."""
    known = [token.encode() for token in tokens]

    async def check(given: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> None:
        secret = b"" if given is None else given.credentials.encode()
        # All are compared, each in constant time, so that the time of an answer tells nothing.
        matches = [hmac.compare_digest(secret, one) for one in known]
        if not any(matches):
            reason = "no bearer token" if given is None else "not a token of this service"
            raise HTTPException(401, f"{reason}; send Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    return check
