"""Asks a run that is controlled: the other end of the interface, for `edgefleet ctl`."""

import http.client
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.redact import show_url

ANSWER_S = 150.0
"""A change that builds devices takes its time; see `edgefleet.launch.requests`."""
SILENT_S = 40.0
"""A run says something every second, or at the least every 15."""
MOST_BYTES = 16 << 20
LONGEST_LINE = 1 << 20


class ControlClient:
    """Reaches one run at its URL."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Take `http://HOST:PORT` or `https://`; raises `ConfigError` for what is none."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ConfigError(f"'{show_url(url)}' is no URL of a control interface, such as http://127.0.0.1:8088")
        self.url = show_url(url)
        self._parts = parts
        self._token = token

    def read(self, path: str, **query: Any) -> Any:
        """Return what is at a path; raises as `act`."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return self._ask("GET", f"/v1/{path}" + (f"?{urlencode(given)}" if given else ""))

    def device(self, device_id: str) -> Any:
        """Return what is known of a device; raises as `act`."""
        return self._ask("GET", f"/v1/devices/{quote(device_id, safe='')}")

    def act(self, action: Mapping[str, Any]) -> Any:
        """Have an action carried out; return what came of it.

        Raises `ConfigError` for what cannot be asked for, `EdgefleetError` for what cannot be as the run is now, and
        `ServiceUnavailable` where nobody answers.
        """
        return self._ask("POST", "/v1/actions", orjson.dumps(action))

    def events(self) -> Iterator[tuple[str, Any]]:
        """Yield name and content of what happens, until the run ends. Raises as `act`."""
        connection = self._connect(SILENT_S)
        try:
            response = self._send(connection, "GET", "/v1/events", None)
            if response.status != 200:
                self._raise_for(response.status, self._content(response))
            name = ""
            while line := self._line(response):
                key, _, value = line.decode(errors="replace").rstrip("\r\n").partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    yield name, orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise ServiceUnavailable(f"{self.url}: what it says is cut short: {error}") from None
        finally:
            connection.close()

    def _line(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.readline(LONGEST_LINE)
        except TimeoutError:
            raise ServiceUnavailable(f"{self.url}: it has said nothing for {SILENT_S:g} s") from None
        except (OSError, http.client.HTTPException):
            return b""  # it has ended

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=timeout_s)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        connection = self._connect(ANSWER_S)
        try:
            response = self._send(connection, method, path, body)
            content = self._content(response)
        finally:
            connection.close()
        if response.status != 200:
            self._raise_for(response.status, content)
        return content

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body, headers)
            return connection.getresponse()
        except TimeoutError:
            raise ServiceUnavailable(f"{self.url}: no answer within {connection.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ServiceUnavailable(
                f"{self.url}: no run answers there: {reason}; name it with --fleet, and begin it with --control"
            ) from None

    def _content(self, response: http.client.HTTPResponse) -> Any:
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
                f"{self.url}: what answers there is no control interface of a run (HTTP {response.status})"
            ) from None

    def _raise_for(self, status: int, content: Any) -> None:
        said = str(content.get("error", content)) if isinstance(content, dict) else f"HTTP {status}"
        if status == 401:
            raise ConfigError(
                f"{self.url}: {said.partition(';')[0]}: give --token-file FILE, or the variable EDGEFLEET_CONTROL_TOKEN"
            )
        if status in (400, 404, 413, 415, 421, 422):
            raise ConfigError(said)
        if status == 409:
            raise EdgefleetError(said)
        raise ServiceUnavailable(f"{self.url}: {said}")
