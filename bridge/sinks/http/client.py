"""Sends all requests of the HTTP sink: credentials, TLS, timeouts, compression and limits are here."""

import asyncio
import gzip
import ssl
from base64 import b64encode
from collections.abc import Mapping

import aiohttp

from bridge.sinks.base import NotConnected, Retry
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.response import Response, retry_after_s
from edgewire.clock import Clock
from edgewire.errors import ConfigError, ServiceUnavailable

_METHOD_NOT_ALLOWED = 405

_BODY_SHOWN = 64 << 10
"""Bytes of the response to a single post that are read; that to a batch is read to its end."""

_IN_THREAD_BYTES = 16 << 10
"""A larger body is compressed beside the event loop."""


class HttpClient:
    """Sends requests between `open` and `close`."""

    def __init__(self, config: HttpSinkConfig, clock: Clock) -> None:
        """Take the settings; the clock is for responses that name a time."""
        self._config = config
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._free = asyncio.Semaphore(config.connections)

    async def open_session(self) -> None:
        """Get ready; nothing is sent. Raises `ConfigError` for certificates that cannot be read."""
        config = self._config
        if self._session is not None:
            return
        headers = {"Authorization": f"Bearer {config.token.get_secret_value()}"} if config.token else {}
        if config.username is not None and config.password:
            pair = f"{config.username}:{config.password.get_secret_value()}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=config.timeout / 1000, sock_connect=config.connect_timeout / 1000),
            # The limits are our own: one of the connector would be waited for within the timeout of a request.
            connector=aiohttp.TCPConnector(ssl=_tls(config) or True, limit=0),
        )

    async def close(self) -> None:
        """Drop all connections."""
        session, self._session = self._session, None
        if session:
            await session.close()

    def require_open(self) -> aiohttp.ClientSession:
        """Return the open session. Raises `NotConnected` where it is closed."""
        if self._session is None:
            raise NotConnected(f"{self._config.url} is not connected: it is being closed")
        return self._session

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, read_all: bool) -> Response | Retry:
        """POST, and read the response to its end, or its beginning. Raises `NotConnected`."""
        if self._config.compression == "gzip":
            headers = {**headers, "Content-Encoding": "gzip"}
            body = await _compressed(body)
        try:
            async with (
                self._free,
                # A redirected POST may arrive as a GET; a moved endpoint is for a person to look at.
                self.require_open().post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                content = await (response.read() if read_all else response.content.read(_BODY_SHOWN))
                wait_s = retry_after_s(response.headers.get("Retry-After"), self._clock.now_ms())
                return Response(url, response.status, wait_s, content)
        except aiohttp.ConnectionTimeoutError:
            limit_s = self._config.connect_timeout / 1000
            return Retry(cause="connect_timeout", reason=f"{url} was not connected within {limit_s:g} s")
        except TimeoutError:
            return Retry(cause="timeout", reason=f"{url} did not answer within {self._config.timeout / 1000:g} s")
        except aiohttp.ClientSSLError as error:
            return Retry(cause="tls", reason=f"{url} cannot be reached: {_error_text(error)}", needs_operator=True)
        except aiohttp.ClientError as error:
            return Retry(cause="network", reason=f"{url} cannot be reached: {_error_text(error)}")

    async def probe_status(self, url: str, headers: Mapping[str, str], empty: bytes | None) -> int:
        """Return the status of a GET, for `bridge check`; where POST alone is taken, that of posting `empty`, if given.

        Many services look at credentials no earlier. Raises `ServiceUnavailable`.
        """
        status = await self._status("GET", url, headers, None)
        if status != _METHOD_NOT_ALLOWED or empty is None:
            return status
        return await self._status("POST", url, headers, empty)

    async def _status(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> int:
        try:
            request = self.require_open().request(method, url, headers=headers, data=body, allow_redirects=False)
            async with request as response:
                return response.status
        except TimeoutError:
            raise ServiceUnavailable(f"{url} does not answer: look at http.url and whether it runs") from None
        except aiohttp.ClientError as error:
            raise ServiceUnavailable(f"{url} cannot be reached: {_error_text(error)}; look at http.url") from None


def _tls(config: HttpSinkConfig) -> ssl.SSLContext | None:
    if not config.ca_file and not config.certificate:
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"http.ca_file {config.ca_file} cannot be read: {error}") from None
    if config.certificate:
        try:
            # An encrypted key is refused rather than asked for on a terminal.
            context.load_cert_chain(config.certificate, config.key, password="")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"http.certificate {config.certificate} with its key"
                f" {config.key or config.certificate} cannot be used: {error}"
            ) from None
    return context


async def _compressed(body: bytes) -> bytes:
    # Level 1 and no time in it: quick, and the same bytes at every attempt.
    if len(body) < _IN_THREAD_BYTES:
        return gzip.compress(body, 1, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, 1, mtime=0)


def _error_text(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
