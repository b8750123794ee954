"""Decides who may ask an HTTP service that changes something: who runs on this machine, or has the token. Pure.

A browser sends the requests of any page to any address. So a request that names another host than ours has come by a
name that somebody else has given our address (DNS rebinding), one with another origin is of another site, and one that
changes something has a content type that no form can send.
"""

import hmac
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

MOST_BODY = 64 << 10
BODY_S = 10.0
SHORTEST_TOKEN = 16
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Headers = Mapping[str, Sequence[str]]
"""Name in small letters -> its values."""


class RequestRefused(Exception):
    """Says that a request does not get as far as the routes; `status` is the HTTP status for it."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens at a host's name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class RequestGuard:
    """Looks at the heads of requests. With a token everything needs it; without one, hosts are checked instead."""

    def __init__(self, token: str | None, hosts: Iterable[str] = ()) -> None:
        """Let requests pass that name one of `hosts`, beside localhost and addresses of loopback."""
        self._token = None if token is None else token.encode()
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    def check_origin(self, headers: Headers) -> None:
        """Raise `RequestRefused` for a request that a page of another site has made."""
        hosts = headers.get("host", [])
        if len(hosts) != 1:
            raise RequestRefused(400, "a request names one host, in the header Host")
        if self._token is None and not self._is_ours(hosts[0]):
            raise RequestRefused(
                421, f"the host '{_shown(hosts[0])}' is not this machine: use localhost or the address itself"
            )
        origins = headers.get("origin", [])
        if any(_netloc(origin) != hosts[0].lower() for origin in origins):
            origin = _shown(origins[0])
            raise RequestRefused(403, f"the origin '{origin}' is another site: only pages from here may ask")
        if headers.get("sec-fetch-site", ["none"])[0] not in ("none", "same-origin"):
            raise RequestRefused(403, "the request is of a page of another site: only pages from here may ask")

    def check_token(self, headers: Headers) -> None:
        """Raise `RequestRefused` for a request without the token, where one is needed."""
        if self._token is None:
            return
        given = headers.get("authorization", [])
        scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if not hmac.compare_digest(_encoded(secret.strip()), self._token) or scheme.lower() != "bearer":
            reason = "not the token that is asked for" if given else "no token"
            raise RequestRefused(401, f"{reason}; send Authorization: Bearer TOKEN", **{"www-authenticate": "Bearer"})

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._hosts or is_loopback(name)


def _encoded(value: str) -> bytes:
    """Return a value of a header as bytes: of those that are no UTF-8, aiohttp makes surrogates."""
    return value.encode("utf-8", "backslashreplace")


def _shown(value: str) -> str:
    return _encoded(value[:100]).decode()


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def check_content(headers: Headers) -> None:
    """Raise `RequestRefused` for a body that is no JSON, as a form of another site could send it, or is too large."""
    types = [text.partition(";")[0].strip().lower() for text in headers.get("content-type", [])]
    if types != ["application/json"]:
        raise RequestRefused(415, "what changes something is sent as Content-Type: application/json")
    if headers.get("content-encoding"):
        raise RequestRefused(415, "no content encoding is taken: send the body as it is")
    length = headers.get("content-length", ["0"])[0]
    if length.isdecimal() and int(length) > MOST_BODY:
        raise too_large()


def too_large() -> RequestRefused:
    """Return what is said to a body of more than `MOST_BODY` bytes."""
    return RequestRefused(413, f"the body is larger than {MOST_BODY >> 10} KiB", connection="close")


def too_slow() -> RequestRefused:
    """Return what is said to a body that takes more than `BODY_S` seconds."""
    return RequestRefused(408, f"the body was not complete after {BODY_S:g} s", connection="close")
