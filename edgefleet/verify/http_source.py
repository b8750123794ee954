"""Reads what the ingest service has stored, page by page, in the order of arrival."""

import http.client
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import orjson

from edgefleet.verify.arrivals import CHUNK, Arrivals
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.http_answer import AnswerReader
from edgewire.service_url import split_http_url
from edgewire.tls import explain_tls

_TIMEOUT_S = 10
_ANSWER_S = 60.0
"""Of a whole page."""
_PAGE_BYTES = 64 << 20
"""Of a page, a row of which has some 200."""
# So many devices are asked for by name, which an index finds; of more, all is read that arrived in their time.
_NAMED = 500
_LARGEST = 10**15
_WITH_CONTENT = 5000
"""Messages of a page that has what they say."""


class MessagePage(NamedTuple):
    """Holds what one answer has."""

    arrivals: Arrivals
    after: int
    """The cursor of its last row."""
    has_more: bool


def read_page(body: bytes, after: int, arrived: str, *, reads_content: bool) -> MessagePage:
    """Return what an answer has; `after` is the cursor of the last row before, `arrived` the time that is taken.

    Raises `orjson.JSONDecodeError`, `KeyError` or `TypeError` for what is no answer of the ingest.
    """
    page = orjson.loads(body)
    rows, has_more = page["messages"], page["next"] is not None
    before, after = after, rows[-1]["cursor"] if rows else after
    if type(after) is not int or (has_more and not after > before):
        raise TypeError("the next page is this one")
    rows = [row for row in rows if arrived == "received_ms" or arrived in row]
    names = [row["device_id"] for row in rows]
    boots, seqs, measured_ms, arrived_ms = (
        [row[name] for row in rows] for name in ("boot", "seq", "timestamp_ms", arrived)
    )
    content = [row["payload"] for row in rows] if reads_content else ()
    are_whole = all(map(_are_whole, (boots, seqs, measured_ms, arrived_ms)))
    if not (are_whole and {*map(type, names)} <= {str} and {*map(type, content)} <= {dict}):
        raise TypeError("no messages")
    return MessagePage(Arrivals("http", names, boots, seqs, measured_ms, arrived_ms, content), after, has_more)


def _are_whole(numbers: Sequence[object]) -> bool:
    return all(type(one) is int and -_LARGEST <= one <= _LARGEST for one in numbers)


class HttpSource:
    """Reads the ingest at a URL such as `http://127.0.0.1:8000`; raises `ConfigError` for anything else."""

    note = ""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        since_ms: int | None = None,
        device_ids: Sequence[str] = (),
        reads_content: bool = False,
    ) -> None:
        """`token` is sent as a bearer token where the service asks for one.

        What arrived before `since_ms` (milliseconds since 1970 UTC, by the service's clock) is left out, and what is
        not of `device_ids`, where these are given. With `reads_content`, what the messages say is read as well.
        """
        try:
            parts = split_http_url(url)
        except ValueError as error:
            raise ConfigError(f"ingest {error}") from None
        self._url = url
        self._prefix = parts.path.rstrip("/")
        self._after = 0
        self._reads_content = reads_content
        self._since_ms = since_ms
        self._filters: list[tuple[str, object]] = [] if since_ms is None else [("received_since", max(0, since_ms))]
        if len(device_ids) <= _NAMED:
            self._filters += [("device_id", name) for name in device_ids]
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connect(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        self._answers = AnswerReader(_ANSWER_S, _PAGE_BYTES)

    def read_arrivals(self) -> Iterator[Arrivals]:
        """Yield what arrived since the last call; raises `ServiceUnavailable` that names the ingest."""
        for arrivals, cursor in self._read_pages(self._filters, self._after, reads_content=self._reads_content):
            self._after = cursor
            yield arrivals
        self._connection.close()  # the service ends one that is idle; the next call may be long after, and dials anew

    def find_arrivals(self, devices: Sequence[tuple[str, int]]) -> Iterator[Arrivals]:
        """Yield what arrived of these boots (device id, boot) before the time from which `read_arrivals` reads on."""
        if self._since_ms is None:
            return
        boots: dict[int, list[str]] = {}
        for device_id, boot in devices:
            boots.setdefault(boot, []).append(device_id)
        for boot, names in boots.items():
            for first in range(0, len(names), _NAMED):
                filters: list[tuple[str, object]] = [("received_until", max(0, self._since_ms)), ("boot", boot)]
                filters += [("device_id", name) for name in names[first : first + _NAMED]]
                for arrivals, _ in self._read_pages(filters, 0):
                    yield arrivals
        self._connection.close()

    def find_conflicts(self) -> Iterator[Arrivals]:
        """Yield under which ids other content came since `since_ms`, and was refused; when is their `arrived_ms`."""
        since = ("conflict_since", max(0, self._since_ms or 0))
        of_devices = [(name, value) for name, value in self._filters if name == "device_id"]
        for arrivals, _ in self._read_pages([since, *of_devices], 0, arrived="conflict_ms"):
            yield arrivals
        self._connection.close()

    def _read_pages(
        self,
        filters: Sequence[tuple[str, object]],
        after: int,
        arrived: str = "received_ms",
        *,
        reads_content: bool = False,
    ) -> Iterator[tuple[Arrivals, int]]:
        """Yield each page with the cursor of its last row. Rows without the time `arrived` are passed over.

        An ingest of an earlier version knows nothing of conflicts, and answers with all of its rows instead.
        """
        more = True
        while more:
            limit, payload = (_WITH_CONTENT, "true") if reads_content else (CHUNK, "false")
            query = urlencode([("payload", payload), ("limit", limit), ("after", after), *filters])
            body = self._get(f"{self._prefix}/messages?{query}")
            try:
                page = read_page(body, after, arrived, reads_content=reads_content)
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise EdgefleetError(f"{self._url} is no edgefleet ingest: /messages answers something else") from None
            after, more = page.after, page.has_more
            yield page.arrivals, after

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
        self._answers.close()

    def _get(self, path: str) -> bytes:
        try:
            self._connection.request("GET", path, headers=self._headers)
            answer = self._answers.read(self._connection)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            tls = explain_tls(error, "the variable SSL_CERT_FILE", "http://")
            reason = tls or str(error) or type(error).__name__
            raise ServiceUnavailable(f"ingest {self._url} cannot be read: {reason}; is it running there?") from None
        if answer.status == 401:
            raise ServiceUnavailable(f"ingest {self._url} asks for another bearer token; give --ingest-token")
        if answer.status != 200:
            raise ServiceUnavailable(
                f"ingest {self._url} answers {answer.status} to GET {path.partition('?')[0]}; is it edgefleet ingest?"
            )
        if answer.too_large:
            raise EdgefleetError(
                f"{self._url} is no edgefleet ingest: /messages answers more than {_PAGE_BYTES >> 20} MiB"
            )
        return answer.body
