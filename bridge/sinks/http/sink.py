"""POSTs batches, answered as a whole or per item, or each message to the endpoint of its kind.

What a request is made of is in `request`, how it is sent in `client`, what came of it in `response`; this file groups,
splits, and keeps devices in order.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bridge.message.template import TemplateError
from bridge.message.user_properties import trace_context
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failure, Failures, Rejected, Remark, Retry, Scope, stops_queue
from bridge.sinks.http.client import HttpClient
from bridge.sinks.http.config import HttpSinkConfig, HttpTarget
from bridge.sinks.http.idempotency import MaybeTaken, PendingRequests, batch_key
from bridge.sinks.http.request import RequestBuilder, RequestHead
from bridge.sinks.http.response import Refused, classify_batch_response, classify_response
from edgewire.clock import Clock, SystemClock
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.redact import hide_named_secrets, show_header, show_url

_PROBED = 20
"""Endpoints that `bridge check` looks at."""

_ALONE_IN_VAIN = 2
"""So many messages of a batch, each alone in a request and none taken, show that it is not the messages."""


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
        self._pending = PendingRequests()
        self._maybe_taken = MaybeTaken()
        # By identity, which is quick; a builder keeps its target alive, so none is taken for another.
        self._builders = {id(target): RequestBuilder(config, target) for target in targets}
        secrets = (secret for builder in self._builders.values() for secret in builder.secrets())
        self._client = HttpClient(config, clock or SystemClock(), secrets)
        self.batch_messages = config.batch_messages
        self.linger_s = config.linger / 1000 if config.mode == "batch" else 0.0
        self.destinations = list(dict.fromkeys(d for builder in self._builders.values() for d in builder.destinations))

    def queue_key(self, event: RoutedEvent) -> str | None:
        target = event.route.targets.get("http")
        return None if target is None else self._builders[id(target)].queue_key(event)

    async def connect(self) -> None:
        """Open the client. Nothing is sent: an endpoint that is not there shows with the first message."""
        await self._client.open_session()

    async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        self._client.require_open()
        failures: dict[int, Failure] = {}
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
        proxies = dict.fromkeys(text for url in urls if (text := self._client.proxies.describe(url)))
        said = f"{', '.join(map(show_url, urls))} answers" if len(urls) == 1 else f"{len(urls)} URLs answer"
        return "; ".join([said + " and".join(proxies), *notes])

    async def _status(self, url: str, builder: RequestBuilder | None) -> int:
        """Ask a URL for its status. Posts nothing but a batch of no messages: a check must leave nothing behind."""
        if builder is None:
            headers = {name: value.fixed for name, value in self.config.headers.items() if value.fixed is not None}
            return await self._client.probe_status(url, headers, None)
        return await self._client.probe_status(url, builder.fixed_headers, builder.empty_batch)

    def preview(self, event: RoutedEvent) -> dict[str, Any]:
        builder = self._builder(event)
        url, headers, _ = builder.head(event)
        item = builder.encode_item(event)
        single = self.config.mode == "single"
        key = event.message_id if single else batch_key(self._bridge, [event])
        sent = builder.single_headers(event, headers) if single else dict(headers)
        secret = {"Authorization": "***"} if self.config.authorized else {}
        return {
            "lane": _shown_key(builder.queue_key(event)),
            "destination": show_url(url),
            "headers": {
                **secret,
                **{name: show_header(name, builder.written(name), value) for name, value in sent.items()},
                "Idempotency-Key": key,
            },
            "body": hide_named_secrets(
                (item if single else builder.encode_batch([item])).decode(errors="backslashreplace")
            ),
        }

    def _builder(self, event: RoutedEvent) -> RequestBuilder:
        return self._builders[id(event.route.targets["http"])]

    async def _write_batch(self, queue_key: str, batch: Sequence[RoutedEvent], failures: dict[int, Failure]) -> None:
        """POST what has the same URL and headers together; stop at the first request that has to wait.

        A device that has to wait alone is held: what follows of it is not sent, and the others go on.
        """
        items, pending, groups = self._group(queue_key, batch, failures)
        waiting = [(head, part, bool(pending) and part is pending) for head, part in groups[::-1]]
        held: dict[str, Retry] = {}
        taken, alone_in_vain = False, 0
        while waiting:
            head, part, sent_before = waiting.pop()  # the next part is the last one
            if held:
                part = _without(held, batch, part, failures)
                if not part:
                    continue
            request = [batch[position] for position in part]
            body = self._builder(request[0]).encode_batch([items[position] for position in part])
            result = await self._post_batch(head, request, body)
            if isinstance(result, Refused):
                alone = result.alone
                if isinstance(alone, Retry) and alone.maybe_taken:
                    self._maybe_taken.add(request)
                if len(part) > 1 and (result.at_once or sent_before):  # halve it until the message at fault is alone
                    middle = len(part) // 2
                    waiting += [(head, part[middle:], True), (head, part[:middle], True)]
                    continue
                if isinstance(alone, Rejected):
                    failures[part[0]] = alone
                    self._maybe_taken.discard(request)
                    continue
                alone_in_vain += 1
                if len(part) > 1 or (not taken and alone_in_vain >= _ALONE_IN_VAIN):
                    result = replace(alone, scope=Scope.QUEUE)
                else:
                    result = alone
            if (
                isinstance(result, Retry)
                and result.needs_operator
                and result.cause.isdecimal()
                and self._builder(request[0]).fixed_head is None
            ):
                # The URL or a header is made of these messages: others have another one.
                result = replace(result, scope=Scope.DEVICE)
            if isinstance(result, Retry) and result.maybe_taken:
                self._maybe_taken.add(request)
            if isinstance(result, Retry) and result.scope is Scope.QUEUE:
                # What follows is not sent: it would overtake.
                self._pending.remember(queue_key, request)
                for positions in (part, *(positions for _, positions, _ in waiting)):
                    failures.update(dict.fromkeys(positions, result))
                return
            told = dict.fromkeys(range(len(part)), result) if isinstance(result, Retry) else result
            taken = taken or len(told) < len(part) or any(not isinstance(one, Retry) for one in told.values())
            if not self._take_note(batch, part, told, held, failures):
                for _, positions, _ in waiting:
                    failures.update(dict.fromkeys(positions, next(one for one in told.values() if stops_queue(one))))
                return

    def _take_note(
        self,
        batch: Sequence[RoutedEvent],
        part: Sequence[int],
        told: Mapping[int, Failure],
        held: dict[str, Retry],
        failures: dict[int, Failure],
    ) -> bool:
        """Note what became of the messages of a request, by line; return whether another may be sent.

        What follows a message that is to be tried again, of its device, comes again as well, so that the order is as it
        was, although the server may have taken it.
        """
        if not told:
            self._maybe_taken.discard(batch[position] for position in part)
            return True
        stopped: dict[str, Retry] = {}
        for line, position in enumerate(part):
            event, own = batch[position], told.get(line)
            failure = stopped.get(event.device_id) or own
            if failure is not None:
                failures[position] = failure
            if not isinstance(failure, Retry):
                self._maybe_taken.discard([event])
                continue
            stopped[event.device_id] = failure
            if own is None or isinstance(own, Remark) or (isinstance(own, Retry) and own.maybe_taken):
                self._maybe_taken.add([event])
        held.update(stopped)
        return not any(stops_queue(failure) for failure in stopped.values())

    def _group(
        self, queue_key: str, batch: Sequence[RoutedEvent], failures: dict[int, Failure]
    ) -> tuple[dict[int, bytes], list[int], list[tuple[RequestHead, list[int]]]]:
        """Return the parts of the body by position, the request that is sent again, and which positions go in one."""
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
        return items, pending, [*first, *(_in_order(batch, groups) if len(groups) > 1 else groups.items())]

    async def _post_batch(
        self, head: RequestHead, request: list[RoutedEvent], body: bytes
    ) -> dict[int, Failure] | Refused | Retry:
        headers = {**dict(head.headers), "Idempotency-Key": batch_key(self._bridge, request)}
        response = await self._client.post(head.url, headers, body, fate_in_body=True)
        if isinstance(response, Rejected):
            return Refused(response, at_once=True)
        if isinstance(response, Retry):
            return response
        return classify_batch_response(response, len(request), head.rules, resent=self._maybe_taken.lines(request))

    async def _write_singles(self, batch: Sequence[RoutedEvent], failures: dict[int, Failure]) -> None:
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
        failures: dict[int, Failure],
    ) -> None:
        for at, position in enumerate(positions):
            async with free:
                failure = await self._post_single(batch[position])
            if isinstance(failure, Retry):
                failures.update(dict.fromkeys(positions[at:], failure))
                return
            if failure is not None:
                failures[position] = failure

    async def _post_single(self, event: RoutedEvent) -> Failure | None:
        builder = self._builder(event)
        try:
            url, fixed, rules = builder.head(event)
            body = builder.encode_item(event)
        except TemplateError as error:
            return Rejected(str(error))
        headers = builder.single_headers(event, fixed)
        headers["Idempotency-Key"] = event.message_id
        if event.message.properties:
            headers = dict(trace_context(event.message.properties)) | headers
        response = await self._client.post(url, headers, body, fate_in_body=rules.reads_body)
        failure = (
            response
            if isinstance(response, Rejected | Retry)
            else classify_response(response, rules, resent=bool(self._maybe_taken.lines([event])))
        )
        if not isinstance(failure, Retry):
            self._maybe_taken.discard([event])
            return failure
        if failure.maybe_taken:
            self._maybe_taken.add([event])
        if failure.needs_operator and failure.cause.isdecimal() and builder.head_varies_by_device:
            # The URL or the credentials are the device's own: others of the queue have others.
            return replace(failure, scope=Scope.DEVICE)
        return failure


def _without(
    held: Mapping[str, Retry], batch: Sequence[RoutedEvent], part: list[int], failures: dict[int, Failure]
) -> list[int]:
    """Return what of a part may be sent; what is of a device that is held waits with it."""
    free: list[int] = []
    for position in part:
        retry = held.get(batch[position].device_id)
        if retry is None:
            free.append(position)
        else:
            failures[position] = retry
    return part if len(free) == len(part) else free


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


def _shown_key(queue_key: str) -> str:
    destination, separator, shard = queue_key.rpartition("#")
    return show_url(destination) + separator + shard if separator else show_url(queue_key)


def _check_status(address: str, status: int) -> str | None:
    """Say what the answer to a GET or an empty batch tells of an endpoint; None for nothing worth saying.

    Raises `ConfigError` or `ServiceUnavailable`.
    """
    url = show_url(address)
    if status in (401, 403):
        raise ConfigError(f"{url} answers {status}: look at http.token, http.username and http.headers")
    if status == 407 or status >= 500:
        raise ServiceUnavailable(f"{url} answers {status}: it is there, but does not work")
    if status in (404, 410):
        return f"{url} answers {status} to GET: look whether the path is right, if it does not take POST alone"
    return None
