"""The HTTP sink: batches answered as a whole or per item, or one POST a message to the endpoint of its kind.

What an answer means is in `answers`, where messages go in `ways`, how they are sent in `client`; this file groups,
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
from bridge.sinks.http.client import Client
from bridge.sinks.http.config import HttpConfig, HttpTarget
from bridge.sinks.http.idempotency import FrozenBatches, batch_key
from bridge.sinks.http.request import Envelope, Way
from bridge.sinks.http.response import BatchRejected, classify_batch_response, classify_response
from edgewire.clock import Clock, SystemClock
from edgewire.errors import ConfigError, ServiceUnavailable

_SECRET = re.compile("authorization|cookie|token|secret|api-?key", re.IGNORECASE)
"""Names of headers whose values are not for a terminal."""

_PROBED = 20
"""Endpoints that `bridge check` looks at."""


class HttpSink:
    """POSTs. Lanes: in batch mode `parallel` lanes by device for each destination, in single mode one for each."""

    name = "http"
    last_error: str | None = None  # every fault comes out of `write`

    def __init__(
        self, config: HttpConfig, targets: Sequence[HttpTarget], bridge: str, clock: Clock | None = None
    ) -> None:
        """Raises `ConfigError` for a target that does not fit the settings."""
        self.config = config
        self._bridge = bridge
        self._client = Client(config, clock or SystemClock())
        self._frozen = FrozenBatches()
        # By identity, which is quick; a way keeps its target alive, so none is taken for another.
        self._ways = {id(target): Way(config, target) for target in targets}
        self.batch_messages = config.batch_messages
        self.linger_s = config.linger / 1000 if config.mode == "batch" else 0.0

    def queue_key(self, routed: RoutedEvent) -> str | None:
        target = routed.route.targets.get("http")
        return None if target is None else self._ways[id(target)].queue_key(routed)

    async def connect(self) -> None:
        """Nothing is sent: an endpoint that is not there shows with the first message and is retried then."""
        await self._client.open()

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
        await self._client.open()
        ways = {way.fixed_url: way for way in self._ways.values() if way.fixed_url}
        urls = sorted(ways)[:_PROBED] or [url for url in (self.config.url.fixed,) if url]
        notes = [note for url in urls if (note := _judged(url, await self._look(url, ways.get(url))))]
        if not urls:
            return "nothing can be reached without a message: every URL is a template"
        return "; ".join([f"{', '.join(urls)} answers" if len(urls) == 1 else f"{len(urls)} URLs answer", *notes])

    async def _look(self, url: str, way: Way | None) -> int:
        """The status of a URL. Posts nothing but a batch of no messages: a check must leave nothing behind."""
        if way is None:
            headers = {name: value.fixed for name, value in self.config.headers.items() if value.fixed is not None}
            return await self._client.look(url, headers, None)
        return await self._client.look(url, way.fixed_headers, way.nothing)

    def preview(self, routed: RoutedEvent) -> dict[str, Any]:
        way = self._way(routed)
        url, headers = way.envelope(routed)
        item = way.item(routed)
        single = self.config.mode == "single"
        key = routed.message_id if single else batch_key(self._bridge, [routed])
        more = cloudevents.binary_headers(routed) if single and way.format == "json" else {}
        secret = {"Authorization": "***"} if self.config.authorized else {}
        return {
            "lane": way.queue_key(routed),
            "destination": url,
            "headers": {
                **secret,
                **more,
                **{name: _shown(name, value) for name, value in headers},
                "Idempotency-Key": key,
            },
            "body": (item if single else way.document([item])).decode(errors="backslashreplace"),
        }

    def _way(self, routed: RoutedEvent) -> Way:
        return self._ways[id(routed.route.targets["http"])]

    async def _write_batch(
        self, queue_key: str, batch: Sequence[RoutedEvent], failures: dict[int, Retry | Rejected]
    ) -> None:
        """POST what has the same URL and headers together; stop at the first request that has to wait."""
        items, groups = self._grouped(queue_key, batch, failures)
        waiting = groups[::-1]  # the next part is the last one
        while waiting:
            envelope, part = waiting.pop()
            request = [batch[position] for position in part]
            body = self._way(request[0]).document([items[position] for position in part])
            verdict = await self._post_batch(envelope, request, body)
            if isinstance(verdict, Retry):
                # What follows is not sent: it would overtake.
                self._frozen.freeze(queue_key, request)
                for _, positions in ((envelope, part), *waiting):
                    failures.update(dict.fromkeys(positions, verdict))
                return
            if isinstance(verdict, BatchRejected):
                if len(part) == 1:
                    failures[part[0]] = Rejected(verdict.reason)
                else:  # halve it until the message at fault is alone
                    middle = len(part) // 2
                    waiting += [(envelope, part[middle:]), (envelope, part[:middle])]
                continue
            failures.update({part[line]: rejected for line, rejected in verdict.items()})

    def _grouped(
        self, queue_key: str, batch: Sequence[RoutedEvent], failures: dict[int, Retry | Rejected]
    ) -> tuple[dict[int, bytes], list[tuple[Envelope, list[int]]]]:
        """The parts of the body by position, and which positions go in one request."""
        items: dict[int, bytes] = {}
        groups: dict[Envelope, list[int]] = {}
        thawed = self._frozen.thaw(queue_key, batch)
        again = set(thawed)
        ways = self._ways
        for position, routed in enumerate(batch):
            way = ways[id(routed.route.targets["http"])]
            try:
                envelope = way.fixed or way.envelope(routed)
                items[position] = way.item(routed)
            except TemplateError as error:
                failures[position] = Rejected(str(error))
                continue
            if position not in again:
                groups.setdefault(envelope, []).append(position)
        first = [(self._way(batch[thawed[0]]).envelope(batch[thawed[0]]), thawed)] if thawed else []
        return items, [*first, *(_in_order(batch, groups) if len(groups) > 1 else groups.items())]

    async def _post_batch(
        self, envelope: Envelope, request: list[RoutedEvent], body: bytes
    ) -> dict[int, Rejected] | BatchRejected | Retry:
        headers = {**dict(envelope.headers), "Idempotency-Key": batch_key(self._bridge, request)}
        answer = await self._client.post(envelope.url, headers, body, whole=True)
        return answer if isinstance(answer, Retry) else classify_batch_response(answer, len(request))

    async def _write_singles(self, batch: Sequence[RoutedEvent], failures: dict[int, Retry | Rejected]) -> None:
        """Devices side by side, the messages of each one after the other."""
        devices: dict[str, list[int]] = {}
        for position, routed in enumerate(batch):
            devices.setdefault(routed.device_id, []).append(position)
        free = asyncio.Semaphore(self.config.requests_at_once)  # a lane is a destination, and written once at a time
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
                verdict = await self._post_single(batch[position])
            if isinstance(verdict, Retry):
                failures.update(dict.fromkeys(positions[at:], verdict))
                return
            if verdict is not None:
                failures[position] = verdict

    async def _post_single(self, routed: RoutedEvent) -> Rejected | Retry | None:
        way = self._way(routed)
        try:
            url, fixed = way.envelope(routed)
            body = way.item(routed)
        except TemplateError as error:
            return Rejected(str(error))
        headers = {**(cloudevents.binary_headers(routed) if way.format == "json" else {}), **dict(fixed)}
        headers["Idempotency-Key"] = routed.message_id
        if routed.message.properties:
            headers = dict(trace_context(routed.message.properties)) | headers
        answer = await self._client.post(url, headers, body, whole=False)
        if isinstance(answer, Retry):
            return answer
        verdict = classify_response(answer)
        if isinstance(verdict, Retry) and answer.status == 404 and way.of_device:
            # The URL is the device's own: others of the lane go elsewhere.
            return Retry(cause=verdict.cause, reason=verdict.reason, scope=Scope.DEVICE, needs_operator=True)
        return verdict


def _in_order(batch: Sequence[RoutedEvent], groups: Mapping[Envelope, list[int]]) -> list[tuple[Envelope, list[int]]]:
    """The groups, divided where sending one after the other would let a message of a device overtake another."""
    parts: list[tuple[Envelope, list[int]]] = []
    latest: dict[Envelope, int] = {}  # the last part of each envelope
    reached: dict[str, int] = {}  # the part with the newest message of each device
    positions = sorted((position, envelope) for envelope, group in groups.items() for position in group)
    for position, envelope in positions:
        device = batch[position].device_id
        part = latest.get(envelope, -1)
        if part < reached.get(device, 0):
            part = latest[envelope] = len(parts)
            parts.append((envelope, []))
        parts[part][1].append(position)
        reached[device] = part
    return parts


def _shown(name: str, value: str) -> str:
    return "***" if _SECRET.search(name) else value


def _judged(url: str, status: int) -> str | None:
    """What the answer to a GET or an empty batch says of an endpoint. Raises `ConfigError` or `ServiceUnavailable`."""
    if status in (401, 403):
        raise ConfigError(f"{url} answers {status}: look at http.token, http.username and http.headers")
    if status == 407 or status >= 500:
        raise ServiceUnavailable(f"{url} answers {status}: it is there, but does not work")
    if status in (404, 410):
        return f"{url} answers {status} to GET: look whether the path is right, if it does not take POST alone"
    return None
