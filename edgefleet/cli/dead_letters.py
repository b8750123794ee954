"""Implements `edgefleet bridge dead-letters`: look at what no sink would take, have it tried again, or let it go."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from edgefleet.cli.bridge_file import load_bridge
from edgefleet.cli.common import Json, parse_instant
from edgefleet.cli.lazy_group import CommandGroup
from edgefleet.cli.option_groups import takes_options

if TYPE_CHECKING:
    from bridge.spool.dead_letters import DeadLetterSelection

app = typer.Typer(cls=CommandGroup, help="Messages that a sink would never take, and why.", no_args_is_help=True)

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


@dataclass(frozen=True, slots=True)
class Filters:
    """Says which dead letters a command is about."""

    numbers: Numbers = None
    sink: Sink = None
    topic: Topic = None
    reason: Reason = None
    since: Since = None
    until: Until = None

    def selection(self, *, everything: bool = True) -> "DeadLetterSelection":
        """Return what they select; raises `typer.BadParameter` for nothing in particular, unless it is `everything`."""
        from bridge.spool.dead_letters import DeadLetterSelection
        from edgewire.mqtt.errors import Unsendable
        from edgewire.mqtt.filters import check_filter

        if not everything and not any(astuple(self)):
            raise typer.BadParameter("say which: numbers, --sink, --topic, --reason, --since, --until, or --all")
        try:
            if self.topic:
                check_filter(self.topic)
        except Unsendable as error:
            raise typer.BadParameter(str(error)) from None
        return DeadLetterSelection(
            numbers=tuple(self.numbers or ()),
            sink=self.sink,
            topic=self.topic,
            reason=self.reason,
            since_ms=_instant("--since", self.since),
            until_ms=_instant("--until", self.until),
        )

    def keys(self) -> dict[str, Any]:
        """Return them as the interfaces of a bridge and of a run have them."""
        given = {name: getattr(self, name) for name in ("sink", "topic", "reason", "since", "until")}
        return {"numbers": tuple(self.numbers or ()), **{name: value for name, value in given.items() if value}}


def _instant(option: str, text: str | None) -> int | None:
    hint = "is no time: write 2026-03-01 or 2026-03-01T12:00:00Z"
    return None if text is None else parse_instant(option, text, hint, typer.BadParameter)


@app.command("list")
@takes_options(filters=Filters)
def list_(
    config: ConfigFile,
    filters: Filters,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """Print the newest dead letters: which message, for which sink, and why it was given up.

    Example: `edgefleet bridge dead-letters list bridge.yaml --sink http --reason 'not JSON' --since 2026-03-01`
    """
    from bridge.spool.dead_letters import read_dead_letters

    documents = [_document(letter) for letter in read_dead_letters(_spool(config), filters.selection(), limit=limit)]
    if as_json:
        _print_json({"dead_letters": documents})
    else:
        print_letters(documents)


def print_letters(documents: Sequence[Mapping[str, Any]]) -> None:
    """Print dead letters for people."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edgefleet.terminal import fit_table

    table = Table(box=None)
    for name in ("number", "when", "sink"):
        table.add_column(name, no_wrap=True)
    for name in ("topic", "attempts", "reason"):
        table.add_column(name, overflow="fold")
    for one in documents:
        topic, reason = escape(one["topic"]), escape(one["reason"])  # a device chose them
        table.add_row(str(one["number"]), one["dead"], one["sink"], topic, str(one["attempts"]), reason)
    console = Console()
    console.print(fit_table(table, console.width, keys=3, one_a_line=True) if documents else "no dead letters")


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
@takes_options(filters=Filters)
def replay(
    config: ConfigFile,
    filters: Filters,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Make dead letters pending again: their sink gets them once more, behind what it has in hand, the others do not.

    A running bridge begins within a second or two; one that is stopped, when it starts. What is refused again becomes
    a dead letter with a new number. The order of a device cannot be kept: its later messages are there already.

    Example: `edgefleet bridge dead-letters replay bridge.yaml --sink http --reason schema`
    """
    from bridge.spool import dead_letters as letters

    chosen = filters.selection(everything=everything)
    count = letters.replay_dead_letters(_spool(config), chosen).count
    _report("replaying", count, as_json=as_json)


@app.command("drop")
@takes_options(filters=Filters)
def drop(
    config: ConfigFile,
    filters: Filters,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Delete dead letters for good. The books count them as discarded.

    Example: `edgefleet bridge dead-letters drop bridge.yaml --until 2026-01-01`
    """
    from bridge.spool import dead_letters as letters

    chosen = filters.selection(everything=everything)
    count = letters.discard_dead_letters(_spool(config), chosen).count
    _report("dropped", count, as_json=as_json)


def _spool(config: Path) -> Path:

    return load_bridge(config).spool.path


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
