"""Asks a run that is controlled: the other end of the interface, for `edgefleet ctl`."""

import http.client
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from edgefleet.control.json_client import JsonClient, said_error
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable

ANSWER_S = 150.0
"""A change that builds devices takes its time; see `edgefleet.launch.requests`."""
SILENT_S = 40.0
"""A run says something every second, or at the least every 15."""
LONGEST_LINE = 1 << 20


class ControlClient:
    """Reaches one run at its URL."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Take `http://HOST:PORT` or `https://`; raises `ConfigError` for what is none."""
        self._service = JsonClient(
            url,
            token,
            what="run",
            name="control interface of a run",
            advice="name it with --fleet, and begin it with --control",
        )
        self.url = self._service.url

    def read(self, path: str, **query: Any) -> Any:
        """Return what is at a path; raises as `act`."""
        given = {name: value for name, value in query.items() if value not in (None, "", [])}
        return self._ask("GET", f"/v1/{path}" + (f"?{urlencode(given, doseq=True)}" if given else ""))

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
        connection = self._service.connect(SILENT_S)
        try:
            response = self._service.send(connection, "GET", "/v1/events", None)
            if response.status != 200:
                self._raise_for(response.status, self._service.read_content(response))
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

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        status, content = self._service.ask(method, path, body, ANSWER_S)
        if status != 200:
            self._raise_for(status, content)
        return content

    def _raise_for(self, status: int, content: Any) -> None:
        said = said_error(status, content)
        if status == 401:
            raise ConfigError(
                f"{self.url}: {said.partition(';')[0]}: give --token-file FILE, or the variable EDGEFLEET_CONTROL_TOKEN"
            )
        if status in (400, 404, 413, 415, 421, 422):
            raise ConfigError(said)
        if status == 409:
            raise EdgefleetError(said)
        raise ServiceUnavailable(f"{self.url}: {said}")
