"""Finds out what a configuration would do, beside any bridge that runs.

`bridge check` reaches every endpoint, changes nothing, and disturbs no bridge. `bridge route` tells what would become
of one message, without a broker or a sink; of the spool, where there is one, it reads what devices have described.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bridge.config import BridgeConfig
from bridge.message.reading_splitter import make_splitter
from bridge.message.template import TemplateError
from bridge.routing.descriptions import read_descriptions
from bridge.routing.routed import Dropped, RoutedEvent, Unroutable
from bridge.routing.table import RouteTable
from bridge.routing.validation import PayloadValidator
from bridge.service import build_components
from bridge.sinks.base import Sink
from bridge.source.advice import expiry_warning, password_warning, subscription_warnings
from bridge.source.sessions import dialling, effective_filters, probe_config, subscriptions, tls_context
from bridge.source.sparkplug_host import BIRTH_PREFIX, SparkplugHost
from bridge.spool.message import SpooledMessage
from bridge.spool.sqlite import read_notes
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.link import BrokerUrl, Link, close_and_wait, connect_link
from edgewire.mqtt import FAILURE, ConnectionLost, Event, Session, Subscribed, Version, reason_name
from edgewire.mqtt.errors import Unsendable
from edgewire.mqtt.filters import encode_topic, filter_matches
from edgewire.output import require_file

_ONE_AT_A_TIME = (
    "the bridge receives from the first that answers, and from those where it has been before: what is published to"
    " another comes where the brokers are one cluster, and else is not heard"
)


class Finding(NamedTuple):
    """Tells what one endpoint answered."""

    part: str
    ok: bool
    text: str


async def check_endpoints(config: BridgeConfig) -> list[Finding]:
    """Look at the broker, the spool and every sink. Raises `ConfigError` where the configuration contradicts itself."""
    _, sinks = build_components(config)
    broker, *rest = await asyncio.gather(_check_broker(config), *(_check_sink(sink) for sink in sinks))
    return [broker, _check_spool(config.spool.path), *rest]


async def _check_broker(config: BridgeConfig) -> Finding:
    """Ask the broker, and warn of subscriptions that overlap or bring nothing, whether it answers or not.

    Of a list one has to answer, and none may refuse. They are asked one after the other: in a cluster two connections
    of one name would end each other.
    """
    findings, unreached = [], []
    for url in config.brokers:
        try:
            findings.append(await _ask_broker(config.with_broker(url.place)))
        except ServiceUnavailable as error:
            unreached.append(str(error))
        except EdgefleetError as error:
            findings.append(Finding("broker", False, str(error)))
    several = [_ONE_AT_A_TIME] if len(config.brokers) > 1 else []
    texts = [
        *(one.text for one in findings),
        *unreached,
        *several,
        *subscription_warnings(config),
        password_warning(config),
    ]
    return Finding("broker", bool(findings) and all(one.ok for one in findings), "; ".join(filter(None, texts)))


async def _ask_broker(config: BridgeConfig) -> Finding:
    """Connect beside the bridge's own session, and subscribe as it would. Raises `EdgefleetError`.

    First it asks, without a subscription, for how long the broker would keep the session; the second connection lets it
    forget that again.
    """
    broker = config.brokers[0]
    kept_s = await _kept_session_s(config, broker)
    session = Session(probe_config(config))
    answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

    def on_events(_: Link, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Subscribed | ConnectionLost) and not answer.done():
                answer.set_result(event)

    timeout_s = config.mqtt.connect_timeout / 1000
    try:
        link = await connect_link(
            broker,
            session,
            on_events,
            tls=tls_context(config),
            **dialling(config),
        )
        try:
            link.subscribe([replace(one, retain_handling=2) for one in subscriptions(config)])
            async with asyncio.timeout(timeout_s):
                said = await answer
        finally:
            await close_and_wait(link)
    except TimeoutError:
        return Finding("broker", False, f"{broker} does not answer a subscription")
    if not isinstance(said, Subscribed):
        return Finding("broker", False, f"{broker} ended the connection when asked for a subscription")
    filters = effective_filters(config)
    for topic, code in zip(filters, said.codes, strict=True):
        if code >= FAILURE:
            return Finding("broker", False, f"{broker} refuses the subscription '{topic}': {reason_name(code)}")
    version = "MQTT 5" if session.version is Version.V5 else "MQTT 3.1.1: the broker limits the messages under way"
    warning = expiry_warning(str(broker), kept_s, config.mqtt.session_expiry // 1000)
    notes = [f"{broker} accepts {', '.join(filters)} ({version})", *([warning] if warning else [])]
    return Finding("broker", kept_s > 0, "; ".join(notes))


async def _kept_session_s(config: BridgeConfig, broker: BrokerUrl) -> int:
    """Return for how long the broker would keep the session, in seconds. Raises `EdgefleetError`."""
    session = Session(replace(probe_config(config), session_expiry_s=config.mqtt.session_expiry // 1000))
    link = await connect_link(
        broker,
        session,
        lambda *_: None,
        tls=tls_context(config),
        **dialling(config),
    )
    try:
        return session.limits.session_expiry_s
    finally:
        await close_and_wait(link)


async def _check_sink(sink: Sink) -> Finding:
    try:
        return Finding(sink.name, True, await sink.probe())
    except EdgefleetError as error:
        return Finding(sink.name, False, str(error))
    finally:
        await sink.close()


def _check_spool(path: Path) -> Finding:
    """Find out whether a file can be made there, or the one that is there be written; it is not touched."""
    try:
        folder = require_file(path).absolute().parent
    except OSError as error:
        return Finding("spool", False, f"{path} cannot be written to: {error.strerror}; set spool.path")
    while not folder.exists():
        folder = folder.parent
    probe = folder / f".{path.name}.check"
    try:
        probe.write_bytes(b"")
    except OSError as error:
        return Finding("spool", False, f"{folder} cannot be written to: {error.strerror}; set spool.path")
    with suppress(OSError):
        probe.unlink()
    if not path.exists():
        return Finding("spool", True, f"{path} will be made")
    try:
        require_file(path).open("ab").close()
    except OSError as error:
        return Finding("spool", False, f"{path} cannot be written to: {error.strerror}; set spool.path")
    return Finding("spool", True, f"{path} is there")


def preview_route(config: BridgeConfig, topic: str, payload: bytes) -> dict[str, Any]:
    """Return for every sink what it would send where, or why the message would be left out or be a dead letter.

    Of a message that says several readings that is in a list, `readings`. Raises `ConfigError` for a configuration that
    contradicts itself, or a topic that is none.
    """
    try:
        encode_topic(topic)
    except Unsendable as error:
        raise ConfigError(f"--topic: {error}") from None
    table, sinks = build_components(config)
    if config.formats:
        # Units and names stand in what devices have described to a bridge that ran.
        table.restore(0, read_descriptions(config.spool.path))
    now_ms = SystemClock().now_ms()  # of a message without a time, or with one that cannot be placed
    messages = [SpooledMessage(1, now_ms, topic, payload, 1, False, False)]
    if (splitter := make_splitter(config.formats)) is not None:
        messages = splitter.split_messages(messages)
    births = SparkplugHost(read_notes(config.spool.path, BIRTH_PREFIX), SystemClock())
    births.configure(config.formats)
    messages = births.name_metrics(messages)
    subscribed = any(filter_matches(one, topic) for one in config.filters)
    result: dict[str, Any] = {"topic": topic, "subscribed": subscribed}
    if len(messages) == 1:
        return result | _preview_message(messages[0], table, sinks)
    for number, message in enumerate(messages, 1):
        message.id = number
    return result | {"readings": [_preview_message(message, table, sinks) for message in messages]}


def _preview_message(message: SpooledMessage, table: RouteTable, sinks: Sequence[Sink]) -> dict[str, Any]:
    found = table.resolve(message)
    result: dict[str, Any] = {"route": None, "schema": None, "decoded": None}
    if isinstance(found, RoutedEvent):
        result |= {"route": found.route.filter, "message_id": found.message_id, "schema": _validate(found)}
        if found.topic_info.is_foreign:
            read_as = "bytes" if found.is_raw else found.fields["source"]["format"]
            result["decoded"] = {
                "format": read_as,
                "topic": str(found.topic_info.topic_of(found.device_id)),
                "fields": found.fields,
            }
    return result | {"sinks": {sink.name: _preview_sink(sink, found) for sink in sinks}}


def _validate(event: RoutedEvent) -> dict[str, Any]:
    """Return what the route's validator says, and where it has none what the contract would."""
    validator = event.route.validator
    error = (validator or PayloadValidator("warn")).error(event.topic_info.kind, event.fields)
    against = str(validator.schema.path) if validator and validator.schema else "contract"
    level = validator.level if validator else "off"
    return {"validate": level, "against": against, "valid": error is None, "fault": error}


def _preview_sink(sink: Sink, found: RoutedEvent | Unroutable | Dropped) -> dict[str, Any]:
    match found:
        case Unroutable() if found.concerns(sink.name):
            return {"fate": "dead letter", "reason": found.reason}
        case Dropped():
            return {"fate": "dropped", "reason": found.rule}
        case RoutedEvent() if sink.queue_key(found) is not None:
            try:
                return {"fate": "sent", **sink.preview(found)}
            except TemplateError as error:
                return {"fate": "dead letter", "reason": str(error)}
        case _:
            return {"fate": "dropped", "reason": f"its route does not lead to {sink.name}"}
