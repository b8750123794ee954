"""Reads what the ingest service has stored, page by page, in the order of arrival."""

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import orjson

from edgefleet.verify.arrivals import CHUNK, Arrivals
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable

_TIMEOUT_S = 10


class HttpSource:
    """Reads the ingest at a URL such as `http://127.0.0.1:8000`; raises `ConfigError` for anything else."""

    note = ""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`token` is sent as a bearer token where the service asks for one."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"ingest '{url}' is no URL of a service: write http://HOST:PORT")
        self._url = url
        self._prefix = parts.path.rstrip("/")
        self._after = 0
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            self._connection = connect(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        except ValueError as error:
            raise ConfigError(f"ingest '{url}': {error}") from None

    def read_arrivals(self) -> Iterator[Arrivals]:
        """Yield what arrived since the last call; raises `ServiceUnavailable` that names the ingest."""
        more = True
        while more:
            body = self._get(f"{self._prefix}/messages?payload=false&limit={CHUNK}&after={self._after}")
            try:
                page = orjson.loads(body)
                rows, more = page["messages"], page["next"] is not None
                arrivals = Arrivals(
                    "http",
                    [row["device_id"] for row in rows],
                    [row["boot"] for row in rows],
                    [row["seq"] for row in rows],
                    [row["timestamp_ms"] for row in rows],
                    [row["received_ms"] for row in rows],
                )
                self._after = rows[-1]["cursor"] if rows else self._after
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise EdgefleetError(f"{self._url} is no edgefleet ingest: /messages answers something else") from None
            yield arrivals
        self._connection.close()  # the service ends one that is idle; the next call may be long after, and dials anew

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _get(self, path: str) -> bytes:
        try:
            self._connection.request("GET", path, headers=self._headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            reason = str(error) or type(error).__name__
            raise ServiceUnavailable(f"ingest {self._url} cannot be read: {reason}; is it running there?") from None
        if answer.status == 401:
            raise ServiceUnavailable(f"ingest {self._url} asks for another bearer token; give --ingest-token")
        if answer.status != 200:
            raise ServiceUnavailable(
                f"ingest {self._url} answers {answer.status} to GET {path}; is it edgefleet ingest?"
            )
        return body
