"""Is what a host application of Sparkplug has to be: keeps the nodes' births from run to run, and asks for new ones.

What births say, and when one is missing, is decided in `bridge.message.sparkplug_births`; here is the I/O of it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial

from bridge.message.config import NATIVE_FORMAT, SubscriptionConfig
from bridge.message.foreign import DeviceCounters
from bridge.message.sparkplug_births import SparkplugBirths, is_node_topic
from bridge.spool.message import SpooledMessage
from bridge.spool.spool import Spool
from bridge.spool.sqlite import SpoolError
from bridge.spool.store import SpoolStore
from edgewire import logs
from edgewire.clock import Clock
from edgewire.dialects.sparkplug import NAMESPACE, REBIRTH
from edgewire.dialects.sparkplug_payload import SparkplugType, write_metric, write_payload
from edgewire.link import Link
from edgewire.mqtt import SessionNotConnected
from edgewire.mqtt.filters import filter_matches

BIRTH_PREFIX = "sparkplug "
"""Of the names under which the spool keeps births; the node's name follows."""
REORDER_S = 2.0
"""A number that is left out may come so much later, on another way through the broker."""
ASK_AGAIN_S = 30.0
"""A node is asked for its births no more often than that."""
_MOST_AT_ONCE = 100
"""Requests sent in one go, about once a second."""
_KNOWN_TOPICS = 100_000

log = logs.get("source")


class SparkplugHost:
    """Names the metrics of what is received, and asks nodes for their births where that cannot be done."""

    def __init__(self, kept: Mapping[str, str], clock: Clock, counters: DeviceCounters | None = None) -> None:
        """Take what the spool has kept of the nodes, and who is told of their numbers."""
        self._births = SparkplugBirths(counters)
        self._births.restore(kept)
        self._clock = clock
        self._spool: Spool | None = None
        self._formats: tuple[tuple[str, bool, bool], ...] = ()
        self._by_topic: dict[str, tuple[bool, bool]] = {}
        self._asked_s: dict[str, float] = {}
        self._links: dict[str, Link] = {}
        """Node -> the connection by which it was last heard."""
        self._writing: asyncio.Task[None] | None = None

    def begin(self, spool: Spool) -> None:
        """Keep births in this spool from now on."""
        self._spool = spool

    async def finish(self) -> None:
        """Keep what the nodes have told last, so that in the next run a birth that tells it again is no reading."""
        if self._spool is None or self._spool.failure.done() or not self._births.nodes:
            return
        if self._writing is not None:
            await self._writing
        self._births.changed.update(self._births.nodes)
        await self._write()

    def configure(self, subscriptions: Iterable[SubscriptionConfig]) -> None:
        """Look at what comes by those subscriptions that are of Sparkplug: the first that matches a topic counts."""
        foreign = (config for config in subscriptions if config.format != NATIVE_FORMAT)
        decoders = [(config.plain_filter, config.make_decoder()) for config in foreign]
        self._formats = tuple(
            (one, getattr(decoder, "has_births", False), getattr(decoder, "asks_rebirth", False))
            for one, decoder in decoders
        )
        self._by_topic.clear()

    def name_metrics(self, messages: list[SpooledMessage], link: Link | None = None) -> list[SpooledMessage]:
        """Return messages with those of Sparkplug nodes as they can be read without their births, in their order."""
        if not any(has_births for _, has_births, _ in self._formats):
            return messages
        found: list[SpooledMessage] = []
        for message in messages:
            has_births, may_ask = self._by_topic.get(message.topic) or self._find(message.topic)
            if not has_births:
                found.append(message)
                continue
            found += self._births.name_metrics(message, self._clock.monotonic())
            if link is not None and may_ask:
                if len(self._links) >= _KNOWN_TOPICS:
                    self._links.clear()
                self._links[_node_of(message.topic)] = link
        if self._births.changed and self._spool is not None and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().create_task(self._write(), name="births")
        return found

    def _find(self, topic: str) -> tuple[bool, bool]:
        if len(self._by_topic) >= _KNOWN_TOPICS:
            self._by_topic.clear()
        places = ((births, asks) for one, births, asks in self._formats if filter_matches(one, topic))
        has_births, may_ask = next(places, (False, False))
        self._by_topic[topic] = found = has_births and is_node_topic(topic), may_ask
        return found

    def ask_for_births(self, link: Link) -> None:
        """Ask those nodes for their births that were heard by this connection and need it; called now and then."""
        now_s = self._clock.monotonic()
        births = self._births
        births.take_overdue(now_s - REORDER_S)
        sent = 0
        for node, reason in list(births.unknown.items()):
            if self._links.get(node) is not link or now_s - self._asked_s.get(node, -ASK_AGAIN_S) < ASK_AGAIN_S:
                continue
            if sent >= _MOST_AT_ONCE:
                return
            group, _, edge_node = node.partition("/")
            try:
                link.publish(f"{NAMESPACE}/{group}/NCMD/{edge_node}", rebirth_request(self._clock.now_ms()))
            except SessionNotConnected:
                return
            sent += 1
            del births.unknown[node]
            if len(self._asked_s) >= _KNOWN_TOPICS:
                self._asked_s.clear()
            self._asked_s[node] = now_s
            log.info("asked a Sparkplug node for its births", node=node, reason=reason)

    async def _write(self) -> None:
        assert self._spool is not None
        births = self._births
        while births.changed:
            texts = {BIRTH_PREFIX + name: births.dump_node(name) for name in births.changed}
            births.changed.clear()
            try:
                await self._spool.run_on_writer(partial(_replace, texts))
            except SpoolError as error:
                log.warning("births of Sparkplug nodes are forgotten at the end", reason=str(error))
                return


def _replace(texts: Mapping[str, str | None], store: SpoolStore) -> None:
    store.replace_metadata(texts)


def _node_of(topic: str) -> str:
    levels = topic.split("/")
    return f"{levels[1]}/{levels[3]}" if len(levels) > 3 else ""


def rebirth_request(now_ms: int) -> bytes:
    """Return what asks a node for its births."""
    metric = write_metric(REBIRTH, SparkplugType.BOOLEAN, True, timestamp=now_ms)
    return write_payload(now_ms, None, [metric])
