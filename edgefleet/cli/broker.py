"""Implements `edgefleet broker`: a broker on loopback for whoever has none; and that of `edgefleet run`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from edgefleet.cli.common import Json, parse_option
from edgewire.errors import ConfigError, ServiceUnavailable

if TYPE_CHECKING:
    import asyncio

    from edgefleet.embedded import Broker, BrokerEngine

EMBEDDED = "embedded"
"""The broker that a user names where a command is to start one."""

Engine = Annotated[
    str | None,
    typer.Option(
        envvar="EDGEFLEET_ENGINE",
        help="Broker to start: mosquitto, iotcore or amqtt. Default: the first that is installed.",
    ),
]


def command(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 1883,
    port_5: Annotated[
        int | None,
        typer.Option(
            "--mqtt5-port",
            help="Port of MQTT 5 where the broker cannot speak it on the same one, as iotcore. Default: the next port.",
            min=1,
            max=65535,
            show_default=False,
        ),
    ] = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Run an MQTT broker on this machine until Ctrl-C, for fleets and bridges without one: Mosquitto, iotcore or amqtt.

    It lets everybody in, listens on 127.0.0.1 alone, and what it holds is gone when it ends: sessions, queues and
    retained messages. Exit code 1 if it ends by itself.

    Example: `edgefleet broker --port 1884`
    """
    from edgefleet.cli.signals import run_async, until_signal
    from edgefleet.embedded import embedded_broker

    with embedded_broker(port, port_5=port_5 or _next_port(port), engine=parse_engine(engine)) as broker:
        said = _as_json(broker) if as_json else _as_text(broker)
        run_async(until_signal(lambda stop: _watch_over(broker, stop, said)))


def parse_engine(name: str | None) -> "BrokerEngine | None":
    """Return the broker that `--engine` names; raises `ConfigError` where there is none of this name."""
    from edgefleet.embedded import BrokerEngine

    return None if name is None else parse_option("--engine", BrokerEngine.parse, name)


def start_embedded(
    context: typer.Context, urls: Sequence[str], *, only_here: bool = True, started: "list[Broker] | None" = None
) -> tuple[str, ...]:
    """Return these broker URLs with one in place of `embedded`, that of a broker which runs until the command ends.

    It is added to those that were `started`. Raises `ConfigError` where its clients are not `only_here`.
    """
    if EMBEDDED not in urls:
        return tuple(urls)
    from edgefleet.embedded import embedded_broker

    if not only_here:
        raise ConfigError(
            "--broker embedded: it listens on this machine alone, which the nodes of a Ray cluster do not reach; "
            "start a broker that they reach, and name its URL"
        )
    broker = context.with_resource(embedded_broker())
    typer.echo(_as_text(broker), err=True)
    if started is not None:
        started.append(broker)
    return tuple(broker.url if url == EMBEDDED else url for url in urls)


async def _watch_over(broker: "Broker", stop: "asyncio.Event", said: str | bytes) -> None:
    """Say where it is, now that signals are heard, and return when `stop` is set.

    Raises `ServiceUnavailable` when the broker has ended before.
    """
    import asyncio

    typer.echo(said)
    while not stop.is_set():
        if not broker.running:
            raise ServiceUnavailable(f"{broker.name} has ended; its last words:\n{broker.log_tail() or '(none)'}")
        try:
            async with asyncio.timeout(0.2):
                await stop.wait()
        except TimeoutError:
            continue


def _next_port(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def _as_text(broker: "Broker") -> str:
    return "\n".join(f"{broker.name} {url} ({version})" for version, url in broker.urls.items())


def _as_json(broker: "Broker") -> bytes:
    return orjson.dumps({"engine": broker.name, "url": broker.url, "urls": broker.urls})
