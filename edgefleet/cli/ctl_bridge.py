"""Implements `edgefleet ctl bridge` and `edgefleet ctl dead-letters`: the bridge behind a run that goes on."""

from typing import Annotated, Any

import orjson
import typer

from edgefleet.cli.dead_letters import Everything, Filters, print_letters
from edgefleet.cli.fleet_address import FleetAddress
from edgefleet.cli.lazy_group import CommandGroup
from edgefleet.cli.option_groups import takes_options

bridge_app = typer.Typer(cls=CommandGroup, help="Pause, resume or drain the bridge of the run.", no_args_is_help=True)
letters_app = typer.Typer(
    cls=CommandGroup, help="Messages of the run that a sink of its bridge would never take.", no_args_is_help=True
)

Sink = Annotated[
    str | None, typer.Argument(metavar="[SINK]", help="Such as http or kafka; without it all.", show_default=False)
]


@bridge_app.command("pause")
@takes_options(address=FleetAddress)
def pause(sink: Sink = None, *, address: FleetAddress) -> None:
    """Deliver nothing until `resume`: messages are received, and wait in the bridge's spool.

    Example: `edgefleet ctl bridge pause http`
    """
    address.act("bridge_pause", sink=sink)


@bridge_app.command("resume")
@takes_options(address=FleetAddress)
def resume(sink: Sink = None, *, address: FleetAddress) -> None:
    """Deliver again.

    Example: `edgefleet ctl bridge resume`
    """
    address.act("bridge_resume", sink=sink)


@bridge_app.command("drain")
@takes_options(address=FleetAddress)
def drain(*, address: FleetAddress) -> None:
    """Let the bridge take no new messages, deliver what it has, and end; what the run sends later nobody receives.

    Example: `edgefleet ctl bridge drain`
    """
    address.act("bridge_drain")


@letters_app.command("list")
@takes_options(filters=Filters, address=FleetAddress)
def list_(
    filters: Filters,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many, the newest.")] = 20,
    *,
    address: FleetAddress,
) -> None:
    """Print the newest dead letters: which message, for which sink, and why it was given up.

    Example: `edgefleet ctl dead-letters list --sink http --reason 'not JSON'`
    """
    filters.selection()
    keys = filters.keys()
    query = {"number": [*keys.pop("numbers")]} | keys
    found = address.connect().read("dead-letters", **query, limit=limit)
    if address.as_json:
        typer.echo(orjson.dumps(found))
    else:
        print_letters(found["dead_letters"])


@letters_app.command("replay")
@takes_options(filters=Filters, address=FleetAddress)
def replay(filters: Filters, everything: Everything = False, *, address: FleetAddress) -> None:
    """Have dead letters tried again: their sink gets them once more, the others do not.

    Example: `edgefleet ctl dead-letters replay --sink http`
    """
    address.act("replay_dead_letters", **_choice(filters, everything=everything))


@letters_app.command("drop")
@takes_options(filters=Filters, address=FleetAddress)
def drop(filters: Filters, everything: Everything = False, *, address: FleetAddress) -> None:
    """Delete dead letters for good: `verify` counts them as lost, and names them.

    Example: `edgefleet ctl dead-letters drop 17 18`
    """
    address.act("drop_dead_letters", **_choice(filters, everything=everything))


def _choice(filters: Filters, *, everything: bool) -> dict[str, Any]:
    filters.selection(everything=everything)
    return filters.keys() | {"all": everything or None}
