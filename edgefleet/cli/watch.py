"""Implements `edgefleet watch`: a live tail of the broker for people."""

from contextlib import suppress
from typing import Annotated

import typer

from edgefleet.cli.broker_options import BrokerOptions
from edgefleet.cli.common import Json
from edgefleet.cli.option_groups import takes_options
from edgefleet.cli.waiting import Wait, parse_wait, wait_for_broker


@takes_options(options=BrokerOptions)
def command(
    topic_filter: Annotated[str, typer.Argument(metavar="[FILTER]", help="Topic filter.")] = "edge/#",
    broker: Annotated[str, typer.Option(envvar="EDGEFLEET_BROKER", help="Broker URL.")] = "mqtt://127.0.0.1:1883",
    count: Annotated[int | None, typer.Option(help="Stop after this many messages.", min=1)] = None,
    decode: Annotated[
        str | None,
        typer.Option(metavar="DIALECT", help="How devices of other makers speak: tasmota, zigbee2mqtt, …"),
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Of local times in that dialect, as Europe/Berlin.")] = None,
    *,
    options: BrokerOptions,
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
    from edgewire.mqtt import Unsendable, check_filter
    from edgewire.redact import show_url

    if "://" in topic_filter:
        raise ConfigError(f"'{show_url(topic_filter)}' is a URL, not a topic filter: give a broker with --broker URL")
    try:
        check_filter(topic_filter)
    except Unsendable as error:
        raise typer.BadParameter(str(error)) from None
    if timezone is not None and decode is None:
        raise typer.BadParameter("is of a dialect's local times: name it with --decode", param_hint="--timezone")
    reader = None if decode is None else DialectReader(decode, timezone)
    access, wait_s = options.access(broker, "watch"), parse_wait(wait)

    async def tail(stop: asyncio.Event) -> None:
        await wait_for_broker([access.url], wait_s)
        await watch_broker(access, topic_filter, count, as_json, stop, reader)

    with suppress(BrokenPipeError):
        run_async(until_signal(tail))
