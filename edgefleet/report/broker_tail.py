"""Shows what passes through a broker, a line a message."""

import asyncio
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from devices.sensors.registry import KINDS
from edgefleet.report.dialect_reader import DialectReader, age_text
from edgewire.clock import parse_ms
from edgewire.errors import ServiceUnavailable
from edgewire.link import PLAIN_HANDSHAKE, BrokerUrl, Link, WebHandshake, close_and_wait, connect_link
from edgewire.messages import ContractError, Measurement, Topic
from edgewire.mqtt import (
    FAILURE,
    ConnectionLost,
    Event,
    Message,
    ServerDisconnected,
    Session,
    SessionConfig,
    Subscribed,
    Subscription,
    reason_name,
)

LARGEST_PACKET = 16 << 20
AHEAD = 1000
"""Messages that wait to be printed before no more are read."""

_SHOWN = 6
"""Values of a message of a kind that is not known here."""
_CONTROL = {name: f"{name} {{}}" for name in ("state", "sent", "buffered", "dropped", "id", "action", "ok", "error")}


class _Output(Console):
    """Ends in order where its reader has gone, as `head` does; rich would end the process from within a task."""

    def on_broken_pipe(self) -> None:
        """Tell whoever prints."""
        raise BrokenPipeError


async def watch_broker(
    url: BrokerUrl,
    topic_filter: str,
    count: int | None,
    as_json: bool,
    stop: asyncio.Event,
    reader: DialectReader | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    alpn: tuple[str, ...] = (),
    web: WebHandshake = PLAIN_HANDSHAKE,
) -> None:
    """Print what passes until it is stopped, or `count` messages have; raises `ServiceUnavailable` without a broker.

    With a `reader` what comes is taken for messages of its dialect.
    """
    console = _Output(highlight=False, soft_wrap=True)
    tail = asyncio.create_task(_tail(url, topic_filter, count, as_json, console, reader, tls, alpn, web), name="tail")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    done, pending = await asyncio.wait((tail, stopped), return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if tail in done:
        tail.result()


async def _tail(
    url: BrokerUrl,
    topic_filter: str,
    count: int | None,
    as_json: bool,
    console: Console,
    reader: DialectReader | None,
    tls: ssl.SSLContext | None,
    alpn: tuple[str, ...],
    web: WebHandshake,
) -> None:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    session = Session(
        SessionConfig(
            client_id=f"edgefleet-watch-{uuid.uuid4().hex[:8]}",
            username=url.username,
            password=None if url.password is None else url.password.encode(),
            maximum_packet_size=LARGEST_PACKET,
        )
    )
    link = await connect_link(url, session, lambda one, events: _queue(heard, one, events), tls=tls, alpn=alpn, web=web)
    seen = 0
    try:
        link.subscribe([Subscription(topic_filter, qos=0)])
        while seen != count:
            event = await heard.get()
            if heard.empty():
                link.resume_reading()
            match event:
                case Message():
                    _print_message(event, as_json, console, reader)
                    seen += 1
                case Subscribed(codes=codes) if codes[0] >= FAILURE:
                    raise ServiceUnavailable(f"{url}: the broker refuses '{topic_filter}': {reason_name(codes[0])}")
                case ServerDisconnected(reason=reason) | ConnectionLost(reason=reason):
                    raise ServiceUnavailable(f"{url}: the connection to the broker is lost: {reason}")
    finally:
        await close_and_wait(link)


def _queue(heard: asyncio.Queue[Event], link: Link, events: list[Event]) -> None:
    for event in events:
        heard.put_nowait(event)
    if heard.qsize() > AHEAD:
        link.pause_reading()


def _print_message(message: Message, as_json: bool, console: Console, reader: DialectReader | None) -> None:
    topic, payload, now_ms = message.topic, message.payload, _now_ms()
    if reader is not None:
        found = reader.read(topic, payload, retained=message.retain, now_ms=now_ms)
        if as_json:
            typer.echo(orjson.dumps(found.as_json()).decode())
        else:
            console.print(found.line(now_ms))
    elif as_json:
        typer.echo(_as_json(topic, payload, message.retain))
    else:
        console.print(describe(topic, payload, retained=message.retain, now_ms=now_ms))


def describe(topic: str, payload: bytes, *, retained: bool, now_ms: int) -> Text:
    """Return one line for a message; what is outside the contract is shown as it is."""
    mark = "R" if retained else " "
    try:
        where = Topic.parse(topic)
        fields = orjson.loads(payload)
    except (ContractError, orjson.JSONDecodeError):
        return Text.assemble((f"{mark} ", "bold"), (topic, "red"), f"  {payload[:120]!r}")
    if not isinstance(fields, dict):
        return Text.assemble((f"{mark} ", "bold"), (topic, "red"), f"  {payload[:120]!r}")
    kind = KINDS.get(where.kind)
    measured = kind.summary_formats if kind else {name: f"{name} {{}}" for name in islice(_measured(fields), _SHOWN)}
    shown = measured if where.channel in ("telemetry", "event") else _CONTROL
    values = "  ".join(form.format(fields[name]) for name, form in shown.items() if fields.get(name) is not None)
    return Text.assemble(
        (f"{mark} ", "bold"),
        (f"{where.kind:<11}", kind.colour if kind else "white"),
        f"{where.device_id:<20} {where.channel.value:<10}",
        (f"{_age(fields, now_ms):>8}  ", "dim"),
        (values, _state_style(fields)),
    )


def _measured(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of a message of a kind that is not known here."""
    return (name for name, one in fields.items() if name not in Measurement.model_fields and not isinstance(one, dict))


def _age(fields: Mapping[str, Any], now_ms: int) -> str:
    try:
        return age_text(now_ms - parse_ms(str(fields["timestamp"])))
    except (KeyError, ValueError):
        return "–"


def _state_style(fields: Mapping[str, Any]) -> str:
    return {"online": "green", "offline": "red", "sleeping": "yellow"}.get(str(fields.get("state")), "")


def _as_json(topic: str, payload: bytes, retained: bool) -> str:
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        body = payload.decode(errors="replace")
    return orjson.dumps({"topic": topic, "retained": retained, "payload": body}).decode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
