"""Sends all requests of the HTTP sink: credentials, TLS, proxies, timeouts, compression and limits are here."""

import asyncio
import gzip
import re
import ssl
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler

from bridge.sinks.base import NotConnected, Rejected, Retry
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.proxy import ProxyChooser
from bridge.sinks.http.response import Response, retry_after_s
from edgewire.clock import Clock, iso_ms
from edgewire.errors import ServiceUnavailable
from edgewire.redact import KnownSecrets, show_url
from edgewire.tls import RenewedContext, client_context, configured_context, explain_alert, explain_tls

_METHOD_NOT_ALLOWED = 405

_BODILESS = (b" 204", b" 304")
"""Of a status line, what says that no body follows."""
_INTERIM_ANSWERS, _INTERIM_BYTES = 20, 1000
"""At once; a server sends one or two before its answer."""
_ANNOUNCES_BODY = re.compile(rb"\r\n(content-length: *[^ 0]|transfer-encoding:)", re.IGNORECASE)

_BODY_SHOWN = 64 << 10
"""Bytes that are read of a body in which only a reason is looked for."""

_BODY_SHOWN_S = 1.0
"""How long is waited for these: what the status says is known already."""

_IN_THREAD_BYTES = 16 << 10
"""A larger body is compressed beside the event loop."""


class _ResponseHandler(ResponseHandler):
    """Reads no body where there is none by the standard, as of a 204, whatever the server says and sends.

    aiohttp would take it for the beginning of another answer, and refuse both. Nor are thousands of interim answers
    (100 Continue) taken at once, each of which costs kilobytes.
    """

    def data_received(self, data: bytes) -> None:
        """Cut off such a body where it comes with the head; where one is announced, use the connection no more."""
        if len(data) > _INTERIM_BYTES and data.count(b"\r\n\r\nHTTP/1.1 1") > _INTERIM_ANSWERS:
            self.set_exception(aiohttp.ClientPayloadError("there is no end of interim answers"))
            if self.transport is not None:
                self.transport.close()
            return
        if data[:5] == b"HTTP/" and data[8:12] in _BODILESS:
            head, _, body = data.partition(b"\r\n\r\n")
            if body or _ANNOUNCES_BODY.search(head):
                self.force_close()
                data = data[: len(data) - len(body)]
        super().data_received(data)


class _Connector(aiohttp.TCPConnector):
    """Makes connections with a `_ResponseHandler`."""

    def __init__(self) -> None:
        # The limits are our own: one of the connector would be waited for within the timeout of a request.
        super().__init__(limit=0)
        make: type[ResponseHandler] = _ResponseHandler
        self._factory = partial(make, loop=self._loop)


class HttpClient:
    """Sends requests between `open` and `close`."""

    def __init__(self, config: HttpSinkConfig, clock: Clock, secrets: Iterable[str] = ()) -> None:
        """Take the settings; the clock is for responses that name a time.

        A server may repeat what it was sent: `secrets`, and those of the settings, are hidden in its words. Raises
        `ConfigError` for an unfit proxy.
        """
        self._config = config
        self._secrets = KnownSecrets([*_credentials(config), *secrets])
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._tls: RenewedContext | None = None
        self._free = asyncio.Semaphore(config.connections)
        self.proxies = ProxyChooser(config.proxy)

    async def open_session(self) -> None:
        """Get ready; nothing is sent. Raises `ConfigError` for certificates that cannot be read."""
        config = self._config
        if self._session is not None:
            return
        self._tls = _renewed_tls(config)
        # What we can decompress within a limit, whatever is installed beside.
        headers = {"Accept-Encoding": "gzip, deflate"}
        if config.token:
            headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
        if config.username is not None and config.password:
            headers["Authorization"] = f"Basic {_basic(config.username, config.password.get_secret_value())}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=config.timeout / 1000, sock_connect=config.connect_timeout / 1000),
            connector=_Connector(),
            # No cookie of one answer goes with the messages of another device.
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Drop all connections."""
        session, self._session = self._session, None
        if session:
            await session.close()

    def require_open(self) -> aiohttp.ClientSession:
        """Return the open session. Raises `NotConnected` where it is closed."""
        if self._session is None:
            raise NotConnected(f"{show_url(str(self._config.url))} is not connected: it is being closed")
        return self._session

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, fate_in_body: bool
    ) -> Response | Rejected | Retry:
        """POST, and read the response: up to the limit where the fate of messages is in it, else its beginning.

        `Rejected` is a request that cannot be made. Raises `NotConnected`.
        """
        if self._config.compression == "gzip":
            headers = {**headers, "Content-Encoding": "gzip"}
            body = await _compressed(body)
        try:
            async with (
                self._free,
                # A redirected POST may arrive as a GET; a moved endpoint is for a person to look at.
                self.require_open().post(
                    url,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    proxy=self.proxies.proxy_for(url),
                    ssl=self._context(url),
                ) as response,
            ):
                return await self._read(url, response, to_the_end=fate_in_body and 200 <= response.status < 300)
        except aiohttp.ConnectionTimeoutError:
            limit_s = self._config.connect_timeout / 1000
            where = self.proxies.describe(url)
            return Retry(
                cause="connect_timeout", reason=f"{show_url(url)} was not connected within {limit_s:g} s{where}"
            )
        except TimeoutError:
            reason = f"{show_url(url)} did not answer within {self._config.timeout / 1000:g} s"
            return Retry(cause="timeout", reason=reason, maybe_taken=True)
        except aiohttp.ClientHttpProxyError as error:
            reason = f"{show_url(url)} cannot be reached: the proxy answers {error.status}{self.proxies.describe(url)}"
            return Retry(cause="proxy", reason=reason, needs_operator=400 <= error.status < 500)
        except aiohttp.ClientSSLError as error:
            reason = f"{show_url(url)} cannot be reached: {self._tls_fault(error)}"
            return Retry(cause="tls", reason=reason, needs_operator=True)
        except aiohttp.InvalidURL:
            return Rejected(f"{show_url(url)} is no URL that can be asked for")
        except aiohttp.ClientError as error:
            if said := explain_alert(error):
                return Retry(cause="tls", reason=f"{show_url(url)} cannot be reached: {said}", needs_operator=True)
            said = self._secrets.hide(_error_text(error))
            reason = f"{show_url(url)} cannot be reached: {said}{self.proxies.describe(url)}"
            sent = not isinstance(error, aiohttp.ClientConnectorError)
            return Retry(cause="network", reason=reason, maybe_taken=sent)
        except ValueError as error:  # aiohttp refuses what would be two headers, yarl what is no host
            return Rejected(f"{show_url(url)} cannot be asked: {self._secrets.hide(str(error))}")

    def _context(self, url: str) -> ssl.SSLContext | bool:
        """Return what to speak TLS with. For a plain URL none is made, as that reads the system's certificates."""
        if not url.startswith("https:"):
            return True
        if self._tls is None:
            self._tls = RenewedContext(client_context)
        return self._tls.current()

    def _tls_fault(self, error: aiohttp.ClientSSLError) -> str:
        return explain_tls(error, "http.ca_file", "http://") or self._secrets.hide(_error_text(error))

    async def _read(self, url: str, response: aiohttp.ClientResponse, *, to_the_end: bool) -> Response:
        """Return what is needed of a response. Raises `TimeoutError`, `aiohttp.ClientError`; where only a reason is
        looked for, neither of them: its status has said all.
        """
        parts: list[bytes] = []
        limit = self._config.answer_limit if to_the_end else _BODY_SHOWN

        async def collect() -> bool:
            size = 0
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > limit:
                    return True
            return False

        if to_the_end:
            too_large = await collect()
        else:
            too_large = True
            with suppress(TimeoutError, aiohttp.ClientError):
                async with asyncio.timeout(_BODY_SHOWN_S):
                    too_large = await collect()
        now_ms = self._clock.now_ms()
        headers = response.headers
        wait_s = retry_after_s(headers.get("Retry-After"), now_ms)
        return Response(
            show_url(url),
            response.status,
            wait_s,
            b"".join(parts)[:limit],
            headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            too_large,
            _note(response.status, headers.get("Location"), None if wait_s is None else now_ms + int(wait_s * 1000)),
            self._secrets,
        )

    async def probe_status(self, url: str, headers: Mapping[str, str], empty: bytes | None) -> int:
        """Return the status of a GET, for `bridge check`; where POST alone is taken, that of posting `empty`, if given.

        Many services look at credentials no earlier. Raises `ServiceUnavailable`.
        """
        status = await self._status("GET", url, headers, None)
        if status != _METHOD_NOT_ALLOWED or empty is None:
            return status
        return await self._status("POST", url, headers, empty)

    async def _status(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> int:
        where = self.proxies.describe(url)
        try:
            request = self.require_open().request(
                method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                proxy=self.proxies.proxy_for(url),
                ssl=self._context(url),
            )
            async with request as response:
                return response.status
        except TimeoutError:
            raise ServiceUnavailable(
                f"{show_url(url)} does not answer{where}: look at http.url, and whether it runs"
            ) from None
        except aiohttp.ClientSSLError as error:
            raise ServiceUnavailable(f"{show_url(url)} cannot be reached{where}: {self._tls_fault(error)}") from None
        except (aiohttp.ClientError, ValueError) as error:
            said = explain_alert(error) or f"{self._secrets.hide(_error_text(error))}; look at http.url"
            raise ServiceUnavailable(f"{show_url(url)} cannot be reached{where}: {said}") from None


def _credentials(config: HttpSinkConfig) -> Iterator[str]:
    """Yield the secrets of the settings, in each form in which they are sent."""
    for secret in (config.token, config.password):
        if secret:
            yield secret.get_secret_value()
    if config.username is not None and config.password:
        yield _basic(config.username, config.password.get_secret_value())


def _basic(username: str, password: str) -> str:
    return b64encode(f"{username}:{password}".encode()).decode()


def _note(status: int, location: str | None, wait_until_ms: int | None) -> str:
    """Say what else an answer tells: where it leads to, without what may be secret there, or how long to wait."""
    if location and 300 <= status < 400:
        with suppress(ValueError):
            parts = urlsplit(location[:500])
            host = parts.netloc.rpartition("@")[2]
            return f"it leads to {host}{parts.path}, and a moved endpoint is for a person to look at"
    return "" if wait_until_ms is None else f"it wants to be left alone until {iso_ms(wait_until_ms)}"


def _renewed_tls(config: HttpSinkConfig) -> RenewedContext | None:
    if not config.ca_file and not config.certificate:
        return None
    return RenewedContext(lambda: _make_context(config), config.ca_file, config.certificate, config.key)


def _make_context(config: HttpSinkConfig) -> ssl.SSLContext:
    return configured_context("http", config.ca_file, config.certificate, config.key)


async def _compressed(body: bytes) -> bytes:
    # Level 1 and no time in it: quick, and the same bytes at every attempt.
    if len(body) < _IN_THREAD_BYTES:
        return gzip.compress(body, 1, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, 1, mtime=0)


def _error_text(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
