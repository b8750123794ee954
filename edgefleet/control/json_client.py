"""Asks an HTTP service that answers in JSON: a run that is controlled, or the bridge behind it."""

import http.client
from typing import Any
from urllib.parse import urlsplit

import orjson

from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.redact import show_url
from edgewire.tls import client_context, explain_tls

MOST_BYTES = 16 << 20


class JsonClient:
    """Reaches one service at its URL. `what` is it, as in "no run answers there", and `advice` what to do then."""

    def __init__(self, url: str, token: str | None, *, what: str, name: str, advice: str) -> None:
        """Take `http://HOST:PORT` or `https://`; raises `ConfigError` for what is none.

        `name` says what is to answer there, as in "no control interface of a run".
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ConfigError(f"'{show_url(url)}' is no URL of {_article(name)}, such as http://127.0.0.1:8088")
        self.url = show_url(url)
        self._parts = parts
        self._token = token
        self._what, self._name, self._advice = what, name, advice

    def connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """Return a connection that nothing has been sent on yet."""
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=client_context())
        return http.client.HTTPConnection(host, port, timeout=timeout_s)

    def ask(self, method: str, path: str, body: bytes | None, timeout_s: float) -> tuple[int, Any]:
        """Return the status and what was answered. Raises `ServiceUnavailable` where nobody answers in JSON."""
        connection = self.connect(timeout_s)
        try:
            response = self.send(connection, method, path, body)
            return response.status, self.read_content(response)
        finally:
            connection.close()

    def send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        """Send a request; return the answer's head. Raises `ServiceUnavailable`."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body, headers)
            return connection.getresponse()
        except TimeoutError:
            raise ServiceUnavailable(f"{self.url}: no answer within {connection.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            tls = explain_tls(error, "the variable SSL_CERT_FILE", "http://")
            reason = tls or getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ServiceUnavailable(f"{self.url}: no {self._what} answers there: {reason}; {self._advice}") from None

    def read_content(self, response: http.client.HTTPResponse) -> Any:
        """Return what is in an answer. Raises `ServiceUnavailable` where it is cut short, or is no JSON."""
        try:
            body = response.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnavailable(f"{self.url}: the answer was cut short: {error}") from None
        try:
            if len(body) > MOST_BYTES:
                raise ValueError
            return orjson.loads(body)
        except ValueError:
            raise ServiceUnavailable(
                f"{self.url}: what answers there is no {self._name} (HTTP {response.status})"
            ) from None


def said_error(status: int, content: Any) -> str:
    """Return the sentence of an answer that tells of an error."""
    return str(content.get("error", content)) if isinstance(content, dict) else f"HTTP {status}"


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
