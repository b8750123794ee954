"""POSTs batches, answered as a whole or per item, or each message to the endpoint of its kind.

What a request is made of is in `request`, how it is sent in `client`, what came of it in `response`; this file groups,
splits, and keeps devices in order.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.message import cloudevents
from bridge.message.template import TemplateError
from bridge.message.user_properties import trace_context
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failures, Rejected, Retry, Scope
from bridge.sinks.http.client import HttpClient
from bridge.sinks.http.config import HttpSinkConfig, HttpTarget
from bridge.sinks.http.idempotency import PendingRequests, batch_key
from bridge.sinks.http.request import RequestBuilder, RequestHead
from bridge.sinks.http.response import BatchRejected, classify_batch_response, classify_response
from edgewire.clock import Clock, SystemClock
from edgewire.errors import ConfigError, ServiceUnavailable

_SECRET = re.compile("authorization|cookie|token|secret|api-?key", re.IGNORECASE)
"""Names of headers whose values are not for a terminal."""

_PROBED = 20
"""Endpoints that `bridge check` looks at."""


class HttpSink:
    """POSTs. In batch mode there are `parallel` queues by device for each destination, in single mode one for each."""

    name = "http"
    last_error: str | None = None  # every error comes out of `write`

    def __init__(
        self, config: HttpSinkConfig, targets: Sequence[HttpTarget], bridge: str, clock: Clock | None = None
    ) -> None:
        """Take the settings. Raises `ConfigError` for a target that does not fit the settings."""
        self.config = config
        self._bridge = bridge
        self._client = HttpClient(config, clock or SystemClock())
        self._pending = PendingRequests()
        # By identity, which is quick; a builder keeps its target alive, so none is taken for another.
        self._builders = {id(target): RequestBuilder(config, target) for target in targets}
        self.batch_messages = config.batch_messages
        self.linger_s = config.linger / 1000 if config.mode == "batch" else 0.0

    def queue_key(self, event: RoutedEvent) -> str | None:
        target = event.route.targets.get("http")
        return None if target is None else self._builders[id(target)].queue_key(event)

    async def connect(self) -> None:
        """Open the client. Nothing is sent: an endpoint that is not there shows with the first message."""
        await self._client.open_session()

    async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        self._client.require_open()
        failures: dict[int, Retry | Rejected] = {}
        if self.config.mode == "batch":
            await self._write_batch(queue_key, batch, failures)
        else:
            await self._write_singles(batch, failures)
        return failures

    async def close(self) -> None:
        await self._client.close()

    async def probe(self) -> str:
        await self._client.open_session()
        builders = {builder.fixed_url: builder for builder in self._builders.values() if builder.fixed_url}
        urls = sorted(builders)[:_PROBED] or [url for url in (self.config.url.fixed,) if url]
        notes = [note for url in urls if (note := _check_status(url, await self._status(url, builders.get(url))))]
        if not urls:
            return "nothing can be reached without a message: every URL is a template"
        return "; ".join([f"{', '.join(urls)} answers" if len(urls) == 1 else f"{len(urls)} URLs answer", *notes])

    async def _status(self, url: str, builder: RequestBuilder | None) -> int:
        """Ask a URL for its status. Posts nothing but a batch of no messages: a check must leave nothing behind."""
        if builder is None:
            headers = {name: value.fixed for name, value in self.config.headers.items() if value.fixed is not None}
            return await self._client.probe_status(url, headers, None)
        return await self._client.probe_status(url, builder.fixed_headers, builder.empty_batch)

    def preview(self, event: RoutedEvent) -> dict[str, Any]:
        builder = self._builder(event)
        url, headers = builder.head(event)
        item = builder.encode_item(event)
        single = self.config.mode == "single"
        key = event.message_id if single else batch_key(self._bridge, [event])
        attributes = cloudevents.binary_headers(event) if single and builder.format == "json" else {}
        secret = {"Authorization": "***"} if self.config.authorized else {}
        return {
            "lane": builder.queue_key(event),
            "destination": url,
            "headers": {
                **secret,
                **attributes,
                **{name: _shown(name, value) for name, value in headers},
                "Idempotency-Key": key,
            },
            "body": (item if single else builder.encode_batch([item])).decode(errors="backslashreplace"),
        }

    def _builder(self, event: RoutedEvent) -> RequestBuilder:
        return self._builders[id(event.route.targets["http"])]

    async def _write_batch(
        self, queue_key: str, batch: Sequence[RoutedEvent], failures: dict[int, Retry | Rejected]
    ) -> None:
        """POST what has the same URL and headers together; stop at the first request that has to wait."""
        items, groups = self._group(queue_key, batch, failures)
        waiting = groups[::-1]  # the next part is the last one
        while waiting:
            head, part = waiting.pop()
            request = [batch[position] for position in part]
            body = self._builder(request[0]).encode_batch([items[position] for position in part])
            result = await self._post_batch(head, request, body)
            if isinstance(result, Retry):
                # What follows is not sent: it would overtake.
                self._pending.remember(queue_key, request)
                for _, positions in ((head, part), *waiting):
                    failures.update(dict.fromkeys(positions, result))
                return
            if isinstance(result, BatchRejected):
                if len(part) == 1:
                    failures[part[0]] = Rejected(result.reason)
                else:  # halve it until the message at fault is alone
                    middle = len(part) // 2
                    waiting += [(head, part[middle:]), (head, part[:middle])]
                continue
            failures.update({part[line]: rejected for line, rejected in result.items()})

    def _group(
        self, queue_key: str, batch: Sequence[RoutedEvent], failures: dict[int, Retry | Rejected]
    ) -> tuple[dict[int, bytes], list[tuple[RequestHead, list[int]]]]:
        """Return the parts of the body by position, and which positions go in one request."""
        items: dict[int, bytes] = {}
        groups: dict[RequestHead, list[int]] = {}
        pending = self._pending.recall(queue_key, batch)
        again = set(pending)
        builders = self._builders
        for position, event in enumerate(batch):
            builder = builders[id(event.route.targets["http"])]
            try:
                head = builder.fixed_head or builder.head(event)
                items[position] = builder.encode_item(event)
            except TemplateError as error:
                failures[position] = Rejected(str(error))
                continue
            if position not in again:
                groups.setdefault(head, []).append(position)
        first = [(self._builder(batch[pending[0]]).head(batch[pending[0]]), pending)] if pending else []
        return items, [*first, *(_in_order(batch, groups) if len(groups) > 1 else groups.items())]

    async def _post_batch(
        self, head: RequestHead, request: list[RoutedEvent], body: bytes
    ) -> dict[int, Rejected] | BatchRejected | Retry:
        headers = {**dict(head.headers), "Idempotency-Key": batch_key(self._bridge, request)}
        response = await self._client.post(head.url, headers, body, read_all=True)
        return response if isinstance(response, Retry) else classify_batch_response(response, len(request))

    async def _write_singles(self, batch: Sequence[RoutedEvent], failures: dict[int, Retry | Rejected]) -> None:
        """POST for the devices side by side, the messages of each one after the other."""
        devices: dict[str, list[int]] = {}
        for position, event in enumerate(batch):
            devices.setdefault(event.device_id, []).append(position)
        free = asyncio.Semaphore(self.config.requests_at_once)  # a queue is a destination, and written once at a time
        async with asyncio.TaskGroup() as group:
            for positions in devices.values():
                group.create_task(self._write_device(batch, positions, free, failures))

    async def _write_device(
        self,
        batch: Sequence[RoutedEvent],
        positions: list[int],
        free: asyncio.Semaphore,
        failures: dict[int, Retry | Rejected],
    ) -> None:
        for at, position in enumerate(positions):
            async with free:
                failure = await self._post_single(batch[position])
            if isinstance(failure, Retry):
                failures.update(dict.fromkeys(positions[at:], failure))
                return
            if failure is not None:
                failures[position] = failure

    async def _post_single(self, event: RoutedEvent) -> Rejected | Retry | None:
        builder = self._builder(event)
        try:
            url, fixed = builder.head(event)
            body = builder.encode_item(event)
        except TemplateError as error:
            return Rejected(str(error))
        headers = {**(cloudevents.binary_headers(event) if builder.format == "json" else {}), **dict(fixed)}
        headers["Idempotency-Key"] = event.message_id
        if event.message.properties:
            headers = dict(trace_context(event.message.properties)) | headers
        response = await self._client.post(url, headers, body, read_all=False)
        if isinstance(response, Retry):
            return response
        failure = classify_response(response)
        if isinstance(failure, Retry) and response.status == 404 and builder.url_varies_by_device:
            # The URL is the device's own: others of the queue go elsewhere.
            return Retry(cause=failure.cause, reason=failure.reason, scope=Scope.DEVICE, needs_operator=True)
        return failure


def _in_order(
    batch: Sequence[RoutedEvent], groups: Mapping[RequestHead, list[int]]
) -> list[tuple[RequestHead, list[int]]]:
    """Divide the groups where sending one after the other would let a message of a device overtake another."""
    parts: list[tuple[RequestHead, list[int]]] = []
    latest: dict[RequestHead, int] = {}  # the last part of each head
    reached: dict[str, int] = {}  # the part with the newest message of each device
    positions = sorted((position, head) for head, group in groups.items() for position in group)
    for position, head in positions:
        device = batch[position].device_id
        part = latest.get(head, -1)
        if part < reached.get(device, 0):
            part = latest[head] = len(parts)
            parts.append((head, []))
        parts[part][1].append(position)
        reached[device] = part
    return parts


def _shown(name: str, value: str) -> str:
    return "***" if _SECRET.search(name) else value


def _check_status(url: str, status: int) -> str | None:
    """Say what the answer to a GET or an empty batch tells of an endpoint; None for nothing worth saying.

    Raises `ConfigError` or `ServiceUnavailable`.
    """
    if status in (401, 403):
        raise ConfigError(f"{url} answers {status}: look at http.token, http.username and http.headers")
    if status == 407 or status >= 500:
        raise ServiceUnavailable(f"{url} answers {status}: it is there, but does not work")
    if status in (404, 410):
        return f"{url} answers {status} to GET: look whether the path is right, if it does not take POST alone"
    return None
