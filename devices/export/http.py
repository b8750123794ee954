"""Posts to an HTTP endpoint, each request until the server has answered for it.

A URL without a path, or with `/ingest/batch`, is our ingest: batches of NDJSON. Any other URL is used exactly as it is,
one JSON object a POST; with a batch size, a JSON array of so many.

A request whose answer was lost is sent again; our ingest knows messages by their ids, others by the Idempotency-Key of
a single one. What an answer means is said in `edgewire.http_status`.

An export gives up after some attempts, and can be gone on with. A stream cannot, so once the server has taken something
it waits for it for ever, unless it is told how often to try: what falls due meanwhile is made and sent afterwards.
"""

import http.client
import math
import random
import select
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import orjson

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire.backoff import Backoff
from edgewire.http_answer import Answer, AnswerReader, error_said, is_html, one_printable_line
from edgewire.http_status import StatusClass, classify_status
from edgewire.messages import BATCH_PATH
from edgewire.redact import KnownSecrets, query_values
from edgewire.service_url import split_http_url
from edgewire.tls import client_context, explain_tls

_BATCH_RECORDS = 2000
_RETRIES = 7
_BACKOFF = Backoff(base_s=0.5, cap_s=30.0)
_ANSWER_BYTES = 4 * 2**20
"""More of an answer is not read."""
_REASON_CHARACTERS = 300
_SHOWN_BYTES = 8192
"""More of an answer is not looked at for a reason."""
REPORT_EVERY_S = 5.0
"""Refusals are told of at most so often."""


class Interrupted(ExportError):
    """Says that the user ended an upload while it waited for the server."""


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """Says how records are posted."""

    batch: int | None = None
    """Records of a request; None for what the URL says."""
    records_per_s: float | None = None
    timeout_s: float = 30.0
    """Of a request."""
    retries: int | None = None
    """How often a request is sent again; then an export ends, and a stream counts its records as failed. None for 7,
    and for ever in a stream whose server has taken something."""
    backoff: Backoff = _BACKOFF
    token: str | None = field(default=None, repr=False)
    """Sent as a bearer token."""


class BatchAccount(NamedTuple):
    """Says what an ingest has refused of a batch."""

    refused: list[dict[str, object]]
    """As it says of each."""
    rejected: int
    """How many they are, with those that it does not list."""
    is_complete: bool
    """Whether it also says how many it has stored."""


def read_account(answer: bytes) -> BatchAccount | None:
    """Return the account in an answer; None where there is none."""
    try:
        said = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict):
        return None
    items = said.get("items")
    listed = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    refused = [item for item in listed if item.get("status") in ("rejected", "conflict")]
    unlisted = said.get("unlisted")
    more = unlisted if type(unlisted) is int and unlisted > 0 else 0
    return BatchAccount(refused, len(refused) + more, "stored" in said)


class HttpUpload:
    """Posts to one URL over one connection."""

    def __init__(
        self,
        url: str,
        wait: Callable[[float], bool],
        options: UploadOptions | None = None,
        *,
        tell: Callable[[str], None],
        is_endless: bool = False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Post to `url`; `wait(seconds)` returns True when the user ends, `tell` is told of outages and refusals.

        Raises `ExportError` for what is no URL.
        """
        try:
            parts = split_http_url(url, with_query=True)
        except ValueError as error:
            raise ExportError(f"--upload: {error}") from None
        options = options or UploadOptions()
        is_ours = parts.path.rstrip("/").endswith(BATCH_PATH) or parts.path in ("", "/")
        host, port, timeout_s = parts.hostname or "", parts.port, options.timeout_s
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = client_context()
            self._connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        path = BATCH_PATH if parts.path in ("", "/") else parts.path
        self._path = path + (f"?{parts.query}" if parts.query else "")
        self._url = f"{parts.scheme}://{parts.netloc}{path}"
        self._secrets = KnownSecrets([options.token or "", *query_values(url)])
        self._is_ours = is_ours
        self._batch = options.batch or (_BATCH_RECORDS if is_ours else 1)
        self._headers = {"Content-Type": "application/x-ndjson" if is_ours else "application/json"}
        if options.token:
            self._headers["Authorization"] = f"Bearer {options.token}"
        self._options = options
        self._wait, self._tell, self._now_s = wait, tell, now_s
        self._is_endless = is_endless
        self._is_known = False
        self._maybe_taken = False
        """Whether the server may have the records of this request of an earlier attempt."""
        self._answers = AnswerReader(options.timeout_s, _ANSWER_BYTES)
        self._doubted_at_s = -math.inf
        self._free_at_s = 0.0
        self._told_at_s = -REPORT_EVERY_S
        self._untold = 0
        self.rejected = 0
        """Records that the server refused."""
        self.failed = 0
        """Records of a stream that it never answered for."""
        self.reason = ""
        """Why the first of them was refused, or failed."""
        self.latest = ""
        """Why the last of them was."""
        self.statuses: Counter[int] = Counter()
        """Status of an answer -> how many requests had it."""

    @property
    def is_single(self) -> bool:
        """Return whether every record is a request of its own."""
        return self._batch == 1 and not self._is_ours

    def open(self, state: ResumeState | None) -> None:
        """Remember what was refused before; nothing is sent before the first batch."""
        if state:
            self.rejected, self.reason = state["rejected"], state["reason"]
            self.statuses = Counter({int(status): number for status, number in state["statuses"].items()})

    def write(self, window: ExportWindow) -> int:
        """Send a window's messages."""
        self.write_batch(window.timeline, window.batch)
        return window.rows

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        """Send messages; raises `ExportError` where the server cannot be reached for long, or lets nobody in."""
        for start in range(0, len(batch), self._batch):
            records = batch.payload[start : start + self._batch]
            headers = self._headers
            if self.is_single:
                device = timeline.devices[batch.device[start]].device_id
                headers = headers | {"Idempotency-Key": f"{device}:{batch.boot[start]}:{batch.seq[start]}"}
            self._keep_to_rate(len(records))
            self._send(self._body(records), headers, len(records))

    def save_state(self) -> ResumeState:
        """Return how many messages were refused; what was sent is durable."""
        statuses = {str(status): number for status, number in self.statuses.items()}
        return {"rejected": self.rejected, "reason": self.reason, "statuses": statuses}

    def finish(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._answers.close()

    def abandon(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._answers.close()

    def _body(self, records: Sequence[bytes]) -> bytes:
        if self._is_ours:
            return b"\n".join(records)
        return records[0] if self.is_single else b"[" + b",".join(records) + b"]"

    def _keep_to_rate(self, records: int) -> None:
        rate = self._options.records_per_s
        if rate is None:
            return
        now_s = self._now_s()
        if self._free_at_s > now_s and self._wait(self._free_at_s - now_s):
            raise Interrupted(f"{self._url}: ended while it kept to the rate limit")
        self._free_at_s = max(self._free_at_s, now_s) + records / rate

    def _send(self, body: bytes, headers: dict[str, str], records: int) -> None:
        retries = self._options.retries
        self._maybe_taken = False
        for attempt in count():
            fault = self._post(body, headers, records)
            if fault is None:
                self._on_taken(attempt)
                return
            if attempt >= (_RETRIES if retries is None else retries):
                if self._is_endless and retries is not None:
                    self._on_failed(records, fault)
                    return
                if not (self._is_endless and self._is_known):
                    next_step = "start again" if self._is_endless else "go on with --resume"
                    times = f"{attempt + 1} times in a row" if attempt else "and is tried once"
                    raise ExportError(f"{self._url} {fault}, {times}: {next_step} when it is back")
            if not attempt:
                self._tell(f"{self._url} {fault}: trying again")
            # A spread in time needs no secrecy.
            if self._wait(self._options.backoff.delay(attempt, random.random())):  # noqa: S311
                raise Interrupted(f"{self._url}: ended while it {fault}")

    def _on_taken(self, attempts: int) -> None:
        self._is_known = True
        if attempts:
            self._tell(f"{self._url} takes messages again")

    def _on_failed(self, records: int, fault: str) -> None:
        self.failed += records
        self.latest = fault
        self.reason = self.reason or fault
        self._report(records, f"{fault}: given up")

    def _post(self, body: bytes, headers: dict[str, str], records: int) -> str | None:
        """Send once; return None when the server has answered for the records, else what is wrong for now."""
        is_sent = False
        try:
            self._leave_stale_connection()
            self._connection.request("POST", self._path, body, headers)
            is_sent = True
            answer = self._answers.read(self._connection)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._maybe_taken = self._maybe_taken or is_sent
            tls = explain_tls(error, "the variable SSL_CERT_FILE", "http://")
            return f"cannot be reached: {tls or getattr(error, 'strerror', None) or error or type(error).__name__}"
        status = answer.status
        self.statuses[status] += 1
        found = classify_status(status)
        if found is StatusClass.TRY_AGAIN:
            self._maybe_taken = self._maybe_taken or status >= 500
            return f"answers {status}"
        if found is StatusClass.TAKEN:
            self._doubt(answer, accounted=self._is_ours and self._account(answer.body), records=records)
            return None
        if found is StatusClass.CONFLICT and self._maybe_taken:
            return None  # it has them: its earlier answer was lost
        shown = one_printable_line(self._secrets.hide(answer.body[:_SHOWN_BYTES].decode(errors="replace")))
        said = f"answers {status}: {shown[:_REASON_CHARACTERS]}"
        if status == 401:
            said += " (--upload-token)"
        if found is StatusClass.NEEDS_OPERATOR and self._is_ours and not self._is_endless:
            # Nothing is lost yet, and nothing will be taken before somebody has seen to it.
            raise ExportError(f"{self._url} {said}")
        self.rejected += records
        self.latest = said
        self.reason = self.reason or said
        self._report(records, said)
        return None

    def _leave_stale_connection(self) -> None:
        """Close a connection that the server has closed since the last answer, as servers do with idle ones."""
        socket = self._connection.sock
        if socket is not None and select.select([socket], [], [], 0)[0]:
            self._connection.close()

    def _report(self, records: int, said: str) -> None:
        """Tell of records that were not taken: at once of the first, and then every few seconds of how many."""
        self._untold += records
        now_s = self._now_s()
        if now_s - self._told_at_s >= REPORT_EVERY_S:
            self._tell(f"{self._url} {said} ({self._untold:,} {'record' if self._untold == 1 else 'records'})")
            self._told_at_s, self._untold = now_s, 0

    def _doubt(self, answer: Answer, *, accounted: bool, records: int) -> None:
        """Tell of an answer of 2xx that does not look like a success; its records count as taken all the same."""
        what = "a page of HTML, as a login page would be" if is_html(answer.content_type, answer.body) else ""
        if not what and answer.body.lstrip()[:1] in (b"{", b"["):
            with suppress(orjson.JSONDecodeError):
                said = error_said(orjson.loads(answer.body), accounted=accounted)
                what = self._secrets.hide(said) if said else ""
        now_s = self._now_s()
        if what and now_s - self._doubted_at_s >= REPORT_EVERY_S:
            self._doubted_at_s = now_s
            number = f"{records:,} {'record' if records == 1 else 'records'}"
            self._tell(
                f"{self._url} answers {answer.status} with {what}: {number} counted as taken, look at the server"
            )

    def _account(self, answer: bytes) -> bool:
        """Count what was refused, and return whether there is an account; a server that gives none has taken all."""
        account = read_account(answer)
        if account is None:
            return False
        self.rejected += account.rejected
        if account.refused:
            self.latest = self._why(account.refused[-1])
            self.reason = self.reason or self._why(account.refused[0])
        return account.is_complete

    def _why(self, item: dict[str, object]) -> str:
        return one_printable_line(self._secrets.hide(str(item.get("error") or "no reason given")))
