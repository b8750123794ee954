"""Shows what passes through a broker, a line a message."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from itertools import islice
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from devices.sensors.registry import KINDS
from edgefleet.report.broker_messages import BrokerAccess, broker_messages, until_stopped
from edgefleet.report.dialect_reader import DialectReader, age_text
from edgewire.clock import parse_ms
from edgewire.http_answer import one_printable_line
from edgewire.messages import ContractError, Measurement, Topic
from edgewire.mqtt import Message

_SHOWN = 6
"""Values of a message of a kind that is not known here."""
_CONTROL = ("state", "sent", "buffered", "dropped", "id", "action", "ok", "error")


class _Output(Console):
    """Ends in order where its reader has gone, as `head` does; rich would end the process from within a task."""

    def on_broken_pipe(self) -> None:
        """Tell whoever prints."""
        raise BrokenPipeError


async def watch_broker(
    access: BrokerAccess,
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

    async def tail() -> None:
        seen = 0
        async with aclosing(broker_messages(access, [topic_filter], "watch")) as messages:
            async for message in messages:
                _print_message(message, as_json, console, reader)
                seen += 1
                if seen == count:
                    return

    await until_stopped(tail(), stop)


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
        return _describe_unread(mark, topic, payload)
    if not isinstance(fields, dict):
        return _describe_unread(mark, topic, payload)
    kind = KINDS.get(where.kind)
    if where.channel not in ("telemetry", "event"):
        shown = _named(fields, _CONTROL)
    elif kind is None:
        shown = _named(fields, islice(_measured(fields), _SHOWN))
    else:
        shown = (
            form.format(fields[name]) for name, form in kind.summary_formats.items() if fields.get(name) is not None
        )
    return Text.assemble(
        (f"{mark} ", "bold"),
        (f"{where.kind:<11}", kind.colour if kind else "white"),
        f"{where.device_id:<20} {where.channel.value:<10}",
        (f"{_age(fields, now_ms):>8}  ", "dim"),
        ("  ".join(map(one_printable_line, shown)), _state_style(fields)),
    )


def _describe_unread(mark: str, topic: str, payload: bytes) -> Text:
    return Text.assemble((f"{mark} ", "bold"), (one_printable_line(topic), "red"), f"  {payload[:120]!r}")


def _named(fields: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    return (f"{name} {fields[name]}" for name in names if fields.get(name) is not None)


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
