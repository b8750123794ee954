"""Posts to the HTTP ingest: NDJSON batches, each sent until the server has answered for it.

A batch whose answer was lost is sent again; the server knows its messages by their ids. What an answer means is
said in `edgewire.http_status`.

An export gives up after some attempts, and can be gone on with. A stream cannot, so once the server has taken something
it waits for it for ever: what falls due meanwhile is made and sent afterwards.
"""

import http.client
import random
from collections.abc import Callable
from itertools import count
from urllib.parse import urlsplit

import orjson

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire.backoff import Backoff
from edgewire.http_status import StatusClass, classify_status
from edgewire.messages import BATCH_PATH

_BATCH_LINES = 2000
_ATTEMPTS = 8
_TIMEOUT_S = 30.0


class Interrupted(ExportError):
    """Says that the user ended an upload while it waited for the server."""


class HttpUpload:
    """Posts to `url` + `/ingest/batch` over one connection."""

    def __init__(
        self,
        url: str,
        wait: Callable[[float], bool],
        backoff: Backoff | None = None,
        *,
        endless: Callable[[str], None] | None = None,
        token: str | None = None,
    ) -> None:
        """Post to `url`; `wait(seconds)` returns True when the user ends, `endless` is told of a stream's outages.

        `token` is sent as a bearer token. Raises `ExportError` for what is no URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ExportError(f"--upload {url}: {error}: write http://HOST:PORT or https://HOST:PORT") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ExportError(f"--upload {url}: write http://HOST:PORT or https://HOST:PORT")
        if parts.username is not None:
            raise ExportError("--upload: a user in the URL is not sent; an ingest that asks takes --upload-token")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, port, timeout=_TIMEOUT_S)
        self._headers = {"Content-Type": "application/x-ndjson"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._path = parts.path.rstrip("/") + BATCH_PATH
        self._url = f"{parts.scheme}://{parts.netloc}{self._path}"
        self._wait = wait
        self._backoff = backoff or Backoff(base_s=0.5, cap_s=30.0)
        self._endless = endless
        self._is_known = False
        self.rejected = 0
        """Messages that the server refused."""
        self.reason = ""
        """Why it refused the first of them."""

    def open(self, state: ResumeState | None) -> None:
        """Remember what was refused before; nothing is sent before the first batch."""
        if state:
            self.rejected, self.reason = state["rejected"], state["reason"]

    def write(self, window: ExportWindow) -> int:
        """Send a window's messages."""
        self.write_batch(window.timeline, window.batch)
        return len(window.batch)

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        """Send messages; raises `ExportError` where the server refuses them or cannot be reached for long."""
        for start in range(0, len(batch), _BATCH_LINES):
            self._send(b"\n".join(batch.payload[start : start + _BATCH_LINES]))

    def save_state(self) -> ResumeState:
        """Return how many messages were refused; what was sent is durable."""
        return {"rejected": self.rejected, "reason": self.reason}

    def finish(self) -> None:
        """Close the connection."""
        self._connection.close()

    def abandon(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, body: bytes) -> None:
        for attempt in count():
            fault = self._post(body)
            if fault is None:
                self._taken(attempt)
                return
            if attempt + 1 >= _ATTEMPTS and not (self._endless and self._is_known):
                next_step = "start again" if self._endless else "go on with --resume"
                raise ExportError(f"{self._url} {fault}, {_ATTEMPTS} times in a row: {next_step} when it is back")
            if self._endless and not attempt:
                self._endless(f"{self._url} {fault}: trying again")
            # A spread in time needs no secrecy.
            if self._wait(self._backoff.delay(attempt, random.random())):  # noqa: S311
                raise Interrupted(f"{self._url}: ended while it {fault}")

    def _taken(self, attempts: int) -> None:
        self._is_known = True
        if self._endless and attempts:
            self._endless(f"{self._url} takes messages again")

    def _post(self, body: bytes) -> str | None:
        """Send once; return None when it is delivered, else what is wrong for now."""
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return f"cannot be reached: {getattr(error, 'strerror', None) or error or type(error).__name__}"
        found = classify_status(response.status)
        if found is StatusClass.TRY_AGAIN:
            return f"answers {response.status}"
        if found is not StatusClass.TAKEN:
            shown = answer.decode(errors="replace").strip()[:300]
            if response.status == 401:
                shown += " (--upload-token)"
            raise ExportError(f"{self._url} answers {response.status}: {shown}")
        self._account(answer)
        return None

    def _account(self, answer: bytes) -> None:
        """Count what was refused; a server that gives no account has taken all."""
        try:
            said = orjson.loads(answer)
        except orjson.JSONDecodeError:
            return
        if not isinstance(said, dict):
            return
        items = said.get("items") or []
        refused = [item for item in items if isinstance(item, dict) and item.get("status") in ("rejected", "conflict")]
        unlisted = said.get("unlisted")
        self.rejected += len(refused) + (unlisted if isinstance(unlisted, int) else 0)
        if refused and not self.reason:
            self.reason = str(refused[0].get("error") or "no reason given")
