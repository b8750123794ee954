"""The HTTP sink: NDJSON batches answered per line, or one POST a message to the endpoint of its kind.

What an answer means is in `http_answers`; this file sends, splits and keeps devices in order.
"""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime

import aiohttp

from bridge.config import HttpConfig
from bridge.routing import Routed
from bridge.sinks.base import Failures, NotConnected, Rejected, Retry
from bridge.sinks.http_answers import Answer, BadBatch, read_answer, read_batch_answer, retry_after_s
from edgewire.errors import ConfigError, ServiceUnavailable

_BODY_SHOWN = 64 << 10
"""Bytes of an answer to a single post that are read; a batch answer is read whole."""

_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class HttpSink:
    """POSTs to `url` + path. Lanes: in batch mode `parallel` lanes by device, in single mode one for each path."""

    name = "http"
    trouble: str | None = None  # every fault comes out of `write`

    def __init__(self, config: HttpConfig) -> None:
        self.config = config
        self._base = str(config.url).rstrip("/")
        self._batch_url = self._base + config.batch_path
        self._lanes = [f"{config.batch_path}#{number}" for number in range(config.requests_at_once)]
        self._session: aiohttp.ClientSession | None = None
        self._free = asyncio.Semaphore(config.requests_at_once)
        self.batch_messages = config.batch_messages
        self.linger_s = config.linger / 1000 if config.mode == "batch" else 0.0

    def lane(self, routed: Routed) -> str | None:
        path = routed.route.http
        if path is None or self.config.mode == "single":
            return path
        return self._lanes[hash(routed.device_id) % len(self._lanes)]

    async def connect(self) -> None:
        """Nothing is sent: an endpoint that is not there shows with the first message and is retried then."""
        config = self.config
        headers = dict(config.headers)
        if config.token:
            headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
        try:
            context = ssl.create_default_context(cafile=config.ca_file) if config.ca_file else None
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"http.ca_file {config.ca_file} cannot be read: {error}") from None
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=config.timeout / 1000),
            connector=aiohttp.TCPConnector(ssl=context or True, limit=config.requests_at_once),
        )

    async def write(self, lane: str, batch: Sequence[Routed]) -> Failures:
        self._connected()
        if self.config.mode == "batch":
            return await self._write_batch(batch)
        return await self._write_singles(batch)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def probe(self) -> str:
        if self._session is None:
            await self.connect()
        session = self._connected()
        try:
            async with session.get(self._base + "/", allow_redirects=False) as response:
                if response.status in (401, 403):
                    raise ConfigError(f"{self._base} answers {response.status}: look at http.token and http.headers")
                return f"{self._base} answers"
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServiceUnavailable(f"{self._base} cannot be reached: {_said(error)}") from None

    async def _write_batch(self, batch: Sequence[Routed]) -> Failures:
        """POST the batch; where the server refuses it as a whole, halve it until the message at fault is alone."""
        failures: dict[int, Retry | Rejected] = {}
        waiting = [range(len(batch))]  # the next part is the last one
        while waiting:
            part = waiting.pop()
            body = b"\n".join([_line(batch[position].message.payload) for position in part])
            answer = await self._post(self._batch_url, body, "application/x-ndjson")
            verdict = answer if isinstance(answer, Retry) else read_batch_answer(answer, len(part))
            if isinstance(verdict, Retry):
                # What follows is not sent: it would overtake.
                for rest in (part, *waiting):
                    failures.update(dict.fromkeys(rest, verdict))
                break
            if isinstance(verdict, BadBatch):
                if len(part) == 1:
                    failures[part[0]] = Rejected(verdict.reason)
                else:
                    middle = len(part) // 2
                    waiting += [part[middle:], part[:middle]]
                continue
            failures.update({part[line]: rejected for line, rejected in verdict.items()})
        return failures

    async def _write_singles(self, batch: Sequence[Routed]) -> Failures:
        """Devices side by side, the messages of each one after the other."""
        devices: dict[str, list[int]] = {}
        for position, routed in enumerate(batch):
            devices.setdefault(routed.device_id, []).append(position)
        failures: dict[int, Retry | Rejected] = {}
        async with asyncio.TaskGroup() as group:
            for positions in devices.values():
                group.create_task(self._write_device(batch, positions, failures))
        return failures

    async def _write_device(
        self, batch: Sequence[Routed], positions: list[int], failures: dict[int, Retry | Rejected]
    ) -> None:
        for at, position in enumerate(positions):
            routed = batch[position]
            path = routed.route.http or ""
            async with self._free:
                answer = await self._post(
                    self._base + path, routed.message.payload, "application/json", routed.message_id
                )
            verdict = answer if isinstance(answer, Retry) else read_answer(answer)
            if isinstance(verdict, Retry):
                failures.update(dict.fromkeys(positions[at:], verdict))
                return
            if verdict is not None:
                failures[position] = verdict

    async def _post(self, url: str, body: bytes, content_type: str, key: str | None = None) -> Answer | Retry:
        headers = {"Content-Type": content_type}
        if key:
            headers["Idempotency-Key"] = key
        try:
            # A redirected POST may arrive as a GET; a moved endpoint is for a person to look at.
            async with self._connected().post(url, data=body, headers=headers, allow_redirects=False) as response:
                said = await (response.content.read(_BODY_SHOWN) if key else response.read())
                wait_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
                return Answer(url, response.status, wait_s, said)
        except TimeoutError:
            return Retry(cause="timeout", reason=f"{url} did not answer within {self.config.timeout / 1000:g} s")
        except aiohttp.ClientError as error:
            return Retry(cause="network", reason=f"{url} cannot be reached: {_said(error)}")

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise NotConnected(f"{self._base} is not connected: it is being closed")
        return self._session


def _line(payload: bytes) -> bytes:
    """The payload as one line of NDJSON. In valid JSON a line break is white space: inside a text it is escaped."""
    return payload.translate(_LINE_BREAKS) if b"\n" in payload or b"\r" in payload else payload


def _said(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
