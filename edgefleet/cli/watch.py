"""Implements `edgefleet watch`: a live tail of the broker for people."""

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
    from edgewire.errors import ConfigError
    from edgewire.link import BrokerUrl
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
    if contradiction:
        raise ConfigError(f"watch: {contradiction}")
    try:
        tls = client_context(ca_file, alpn=offered, insecure=insecure) if url.uses_tls else None
    except OSError as error:
        raise ConfigError(f"--ca-file: {ca_file} cannot be read: {error.strerror or error}") from None

    async def tail(stop: asyncio.Event) -> None:
        await wait_for_broker([url], wait_s)
        await watch_broker(url, topic_filter, count, as_json, stop, reader, tls=tls, alpn=offered)

    with suppress(BrokenPipeError):
        run_async(until_signal(tail))
