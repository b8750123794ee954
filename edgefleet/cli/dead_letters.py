"""`edgefleet bridge dead-letters`: look at what a sink would never take, have it tried again, or let it go."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edgefleet.cli.common import Json
from edgewire.clock import iso_ms, parse_ms
from edgewire.config import load_config

# Imports stand in the commands: `edgefleet --help` must not wait for Kafka's library.

app = typer.Typer(help="Messages that a sink would never take, and why.", no_args_is_help=True)

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Configuration file, such as bridge.yaml.", show_default=False)
]
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="[NUMBER]...", help="Only these, by number.", show_default=False)
]
Sink = Annotated[str | None, typer.Option(help="Only of this sink, such as http or kafka.")]
Topic = Annotated[str | None, typer.Option(help="Only of topics that fit this filter, with the wildcards of MQTT.")]
Reason = Annotated[str | None, typer.Option(help="Only with this text in the reason, in any case.")]
Since = Annotated[str | None, typer.Option(help="Only given up at this time (ISO 8601, UTC) or later.")]
Until = Annotated[str | None, typer.Option(help="Only given up before this time.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them; without it some filter or number is needed.")]


@app.command("list")
def list_(
    config: ConfigFile,
    numbers: Numbers = None,
    sink: Sink = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """Print the newest dead letters: which message, for which sink, and why it was given up.

    Example: `edgefleet bridge dead-letters list bridge.yaml --sink http --reason 'not JSON' --since 2026-03-01`
    """
    from bridge.spool.dead_letters import read_dead_letters

    chosen = _selection(numbers, sink, topic, reason, since, until)
    letters = read_dead_letters(_spool(config), chosen, limit=limit)
    if as_json:
        _print_json({"dead_letters": [_document(letter) for letter in letters]})
        return
    table = Table(box=None)
    for name in ("number", "when", "sink"):
        table.add_column(name, no_wrap=True)
    for name in ("topic", "attempts", "reason"):
        table.add_column(name, overflow="fold")
    for letter in letters:
        when = iso_ms(letter.dead_ms)
        topic, reason = escape(letter.topic), escape(letter.reason)  # a device chose them
        table.add_row(str(letter.number), when, letter.sink, topic, str(letter.attempts), reason)
    Console().print(table if letters else "no dead letters")


@app.command("show")
def show(config: ConfigFile, number: Annotated[int, typer.Argument(help="As `list` prints it.")]) -> None:
    """Print one dead letter with its payload, as JSON; exit code 1 if there is none of this number.

    A payload that is no UTF-8 comes as `payload_base64`.

    Example: `edgefleet bridge dead-letters show bridge.yaml 17`
    """
    from bridge.spool.dead_letters import DeadLetterSelection, read_dead_letters

    letters = read_dead_letters(_spool(config), DeadLetterSelection(numbers=(number,)), limit=1)
    if not letters:
        typer.echo(f"there is no dead letter {number}, or it is being replayed", err=True)
        raise typer.Exit(1)
    typer.echo(orjson.dumps(_document(letters[0]), option=orjson.OPT_INDENT_2))


@app.command("replay")
def replay(
    config: ConfigFile,
    numbers: Numbers = None,
    sink: Sink = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Make dead letters pending again: their sink gets them once more, behind what it has in hand, the others do not.

    A running bridge begins within a second or two; one that is stopped, when it starts. What is refused again becomes
    a dead letter with a new number. The order of a device cannot be kept: its later messages are there already.

    Example: `edgefleet bridge dead-letters replay bridge.yaml --sink http --reason schema`
    """
    from bridge.spool import dead_letters as letters

    chosen = _selection(numbers, sink, topic, reason, since, until, everything=everything)
    count = letters.replay_dead_letters(_spool(config), chosen)
    _report("replaying", count, as_json=as_json)


@app.command("drop")
def drop(
    config: ConfigFile,
    numbers: Numbers = None,
    sink: Sink = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Delete dead letters for good. The books count them as discarded.

    Example: `edgefleet bridge dead-letters drop bridge.yaml --until 2026-01-01`
    """
    from bridge.spool import dead_letters as letters

    chosen = _selection(numbers, sink, topic, reason, since, until, everything=everything)
    count = letters.discard_dead_letters(_spool(config), chosen)
    _report("dropped", count, as_json=as_json)


def _selection(
    numbers: list[int] | None,
    sink: str | None,
    topic: str | None,
    reason: str | None,
    since: str | None,
    until: str | None,
    *,
    everything: bool = True,
) -> Any:
    from bridge.spool.dead_letters import DeadLetterSelection
    from edgewire.mqtt.errors import Unsendable
    from edgewire.mqtt.filters import check_filter

    if not everything and not any((numbers, sink, topic, reason, since, until)):
        raise typer.BadParameter("say which: numbers, --sink, --topic, --reason, --since, --until, or --all")
    try:
        if topic:
            check_filter(topic)
    except Unsendable as error:
        raise typer.BadParameter(str(error)) from None
    return DeadLetterSelection(
        numbers=tuple(numbers or ()),
        sink=sink,
        topic=topic,
        reason=reason,
        since_ms=_instant_ms("--since", since),
        until_ms=_instant_ms("--until", until),
    )


def _instant_ms(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_ms(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: '{text}' is no time: write 2026-03-01 or 2026-03-01T12:00:00Z") from None


def _spool(config: Path) -> Path:
    from bridge.config import BridgeConfig

    return load_config(config, BridgeConfig).spool.path


def _document(letter: Any) -> dict[str, Any]:
    from bridge.spool.dead_letters import dead_letter_document

    return dead_letter_document(letter)


def _report(what: str, count: int, *, as_json: bool) -> None:
    if as_json:
        _print_json({what: count})
    else:
        typer.echo(f"{what} {count:,} dead letters" if count else "no dead letters fit")


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(orjson.dumps(document))
