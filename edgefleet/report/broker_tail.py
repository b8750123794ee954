"""Shows what passes through a broker, a line a message."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import aiomqtt
import orjson
import typer
from rich.console import Console
from rich.text import Text

from devices.sensors.registry import KINDS
from edgefleet.report.dialect_reader import DialectReader, age_text
from edgewire.clock import parse_ms
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUrl
from edgewire.messages import ContractError, Topic
from edgewire.tls import explain_tls

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
) -> None:
    """Print what passes until it is stopped, or `count` messages have; raises `ServiceUnavailable` without a broker.

    With a `reader` what comes is taken for messages of its dialect.
    """
    console = _Output(highlight=False, soft_wrap=True)
    tail = asyncio.create_task(_tail(url, topic_filter, count, as_json, console, reader), name="tail")
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
) -> None:
    try:
        async with aiomqtt.Client(
            url.host,
            url.port,
            username=url.username,
            password=url.password,
            tls_params=aiomqtt.TLSParameters() if url.uses_tls else None,
        ) as client:
            await client.subscribe(topic_filter)
            seen = 0
            async for message in client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                if reader is not None:
                    found = reader.read(str(message.topic), payload, retained=message.retain, now_ms=_now_ms())
                    if as_json:
                        typer.echo(orjson.dumps(found.as_json()).decode())
                    else:
                        console.print(found.line(_now_ms()))
                elif as_json:
                    typer.echo(_as_json(str(message.topic), payload, message.retain))
                else:
                    console.print(describe(str(message.topic), payload, retained=message.retain, now_ms=_now_ms()))
                seen += 1
                if seen == count:
                    return
    except aiomqtt.MqttError as error:
        tls = explain_tls(error, "the variable SSL_CERT_FILE", "mqtt://") if url.uses_tls else None
        said = tls or f"{error}; is it running there?"
        raise ServiceUnavailable(f"{url}: no connection to the broker: {said}") from None


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
    measured = kind.summary_formats if kind else {}
    shown = measured if where.channel in ("telemetry", "event") else _CONTROL
    values = "  ".join(form.format(fields[name]) for name, form in shown.items() if fields.get(name) is not None)
    return Text.assemble(
        (f"{mark} ", "bold"),
        (f"{where.kind:<11}", kind.colour if kind else "white"),
        f"{where.device_id:<20} {where.channel.value:<10}",
        (f"{_age(fields, now_ms):>8}  ", "dim"),
        (values, _state_style(fields)),
    )


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
