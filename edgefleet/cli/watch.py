"""Implements `edgefleet watch`: a live tail of the broker for people."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from edgefleet.cli.common import Json
from edgefleet.cli.waiting import Wait, parse_wait, wait_for_broker


def command(
    topic_filter: Annotated[str, typer.Argument(metavar="[FILTER]", help="Topic filter.")] = "edge/#",
    broker: Annotated[str, typer.Option(envvar="EDGEFLEET_BROKER", help="Broker URL.")] = "mqtt://127.0.0.1:1883",
    count: Annotated[int | None, typer.Option(help="Stop after this many messages.", min=1)] = None,
    decode: Annotated[
        str | None,
        typer.Option(metavar="DIALECT", help="How devices of other makers speak: tasmota, zigbee2mqtt, …"),
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Of local times in that dialect, as Europe/Berlin.")] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="Certificates to trust for TLS instead of the system's."),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Take any certificate, unchecked: for tests."),
    ] = False,
    alpn: Annotated[
        list[str] | None, typer.Option(help="Protocol to offer in the TLS handshake of mqtts://; repeatable.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME: VALUE'", help="Header of the handshake of ws:// and wss://; repeatable."),
    ] = None,
    headers_file: Annotated[
        Path | None, typer.Option(help="File with such headers, a line each: it shows none in the list of processes.")
    ] = None,
    subprotocol: Annotated[str, typer.Option(help="Subprotocol of ws:// and wss://.")] = "mqtt",
    wait: Wait = "0s",
    as_json: Json = False,
) -> None:
    """Show what passes through the broker: kind, device, age and the values that matter; R marks retained messages.

    Examples: `edgefleet watch 'edge/+/bme280/#'`, `edgefleet watch 'tele/#' --decode tasmota`
    """
    import asyncio

    from edgefleet.cli.signals import run_async, until_signal
    from edgefleet.report.broker_tail import watch_broker
    from edgefleet.report.dialect_reader import DialectReader
    from edgewire.config import check_options
    from edgewire.errors import ConfigError
    from edgewire.link import BrokerUrl
    from edgewire.link.websocket_config import WEBSOCKET_UNUSED, WebSocketConfig
    from edgewire.mqtt import Unsendable, check_filter
    from edgewire.redact import show_url
    from edgewire.tls import check_tls_keys, client_context

    if "://" in topic_filter:
        raise ConfigError(f"'{show_url(topic_filter)}' is a URL, not a topic filter: give a broker with --broker URL")
    url = BrokerUrl.parse(broker)
    try:
        check_filter(topic_filter)
    except Unsendable as error:
        raise typer.BadParameter(str(error)) from None
    if timezone is not None and decode is None:
        raise typer.BadParameter("is of a dialect's local times: name it with --decode", param_hint="--timezone")
    reader = None if decode is None else DialectReader(decode, timezone)
    offered, wait_s = tuple(alpn or ()), parse_wait(wait)
    contradiction = check_tls_keys(
        uses_tls=url.uses_tls, takes_alpn=url.kind.takes_alpn, alpn=offered, insecure=insecure, ca_file=ca_file
    )
    if ca_file is not None and not url.uses_tls:
        contradiction = f"ca_file: broker {url} is not dialled with TLS; write mqtts:// or leave it out"
    given = {"headers": parse_headers(header or ()), "headers_file": headers_file, "subprotocol": subprotocol}
    at: dict[tuple[str | int, ...], str] = {("headers",): "--header", ("headers_file",): "--headers-file"}
    web = check_options(given, WebSocketConfig, at | {("subprotocol",): "--subprotocol"})
    if web != WebSocketConfig() and not url.kind.takes_headers:
        contradiction = WEBSOCKET_UNUSED
    if contradiction:
        raise ConfigError(f"watch: {contradiction}")
    try:
        tls = client_context(ca_file, alpn=offered, insecure=insecure) if url.uses_tls else None
    except OSError as error:
        raise ConfigError(f"--ca-file: {ca_file} cannot be read: {error.strerror or error}") from None

    async def tail(stop: asyncio.Event) -> None:
        await wait_for_broker([url], wait_s)
        await watch_broker(url, topic_filter, count, as_json, stop, reader, tls=tls, alpn=offered, web=web.handshake)

    with suppress(BrokenPipeError):
        run_async(until_signal(tail))


def parse_headers(lines: Sequence[str]) -> dict[str, str]:
    """Return the headers that `--header` gives; raises `ConfigError`, which does not show their values."""
    from edgewire.errors import ConfigError
    from edgewire.link.websocket_config import parse_header

    try:
        found = [parse_header(line) for line in lines]
    except ValueError as error:
        raise ConfigError(f"--header: {error}") from None
    return dict(found)
