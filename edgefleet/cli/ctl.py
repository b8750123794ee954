"""Implements `edgefleet ctl`: look at a run that goes on, and change it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from edgefleet.cli.ctl_bridge import bridge_app, letters_app
from edgefleet.cli.fleet_address import FleetAddress
from edgefleet.cli.lazy_group import RICH_MARKUP_MODE, CommandGroup
from edgefleet.cli.option_groups import takes_options
from edgefleet.terminal import echo
from edgewire.errors import ConfigError

app = typer.Typer(
    help="Look at a run that was begun with `--control`, and change it; all of it is in the run's record.",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=RICH_MARKUP_MODE,
    add_completion=False,
)
app.add_typer(bridge_app, name="bridge")
app.add_typer(letters_app, name="dead-letters")

Group = Annotated[str, typer.Argument(metavar="GROUP", help="Name of a group, as `ctl status` shows it.")]
KeyValues = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="More of it.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class Targets:
    """Says which devices are meant: all, unless it is said."""

    group: Annotated[str | None, typer.Option(help="Those of this group.", show_default=False)] = None
    device: Annotated[list[str] | None, typer.Option(help="The one of this id; repeatable.", show_default=False)] = None
    share: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Part of them: 25% or 0.25.", show_default=False)
    ] = None

    def keys(self) -> dict[str, Any]:
        """Return it as an action has it; raises `ConfigError`."""
        return {"group": self.group, "devices": tuple(self.device or ()), "share": _parse_share(self.share)}


def _parse_share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ConfigError(f"--share: '{text}' is no part of them: write 25% or 0.25") from None


def _parse_pairs(pairs: list[str] | None, what: str) -> dict[str, Any]:
    """Return KEY=VALUE as keys with values of JSON, or texts; raises `ConfigError`."""
    found: dict[str, Any] = {}
    for text in pairs or ():
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise ConfigError(f"'{text}' is not of the form KEY=VALUE, such as {what}")
        try:
            found[key] = orjson.loads(value)
        except orjson.JSONDecodeError:
            found[key] = value
    return found


@app.command("status")
@takes_options(address=FleetAddress)
def status(*, address: FleetAddress) -> None:
    """Show how the run is: devices, rates, lags, groups, and what is amiss.

    Example: `edgefleet ctl status --fleet runs/latest`
    """
    client = address.connect()
    found, groups = client.read("status"), client.read("groups")
    if address.as_json:
        typer.echo(orjson.dumps(found | {"groups": groups}))
        return
    from edgefleet.report.control_text import status_lines

    for line in status_lines(found, groups):
        echo(line)


@app.command("devices")
@takes_options(address=FleetAddress)
def devices(
    search: Annotated[str, typer.Argument(metavar="[TEXT]", help="Text in their ids.", show_default=False)] = "",
    *,
    group: Annotated[str | None, typer.Option(help="Of this group.", show_default=False)] = None,
    state: Annotated[
        str | None,
        typer.Option(help="connected, disconnected, paused, asleep, off or standby.", show_default=False),
    ] = None,
    after: Annotated[str, typer.Option(metavar="ID", help="Those behind this one.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(help="So many at the most.", min=1, max=500)] = 20,
    address: FleetAddress,
) -> None:
    """Search devices by their ids, and show how each is.

    Example: `edgefleet ctl devices gps-00 --state disconnected`
    """
    found = address.connect().read("devices", search=search, group=group, state=state, after=after, limit=limit)
    if address.as_json:
        typer.echo(orjson.dumps(found))
        return
    from rich.console import Console

    from edgefleet.report.control_text import device_rows
    from edgefleet.terminal import fit_table

    console = Console()
    console.print(fit_table(device_rows(found["devices"]), console.width))
    more = f"; more: --after {found['next']}" if found["next"] else ""
    echo(f"{len(found['devices']):,} of {found['found']:,} devices{more}")


@app.command("device")
@takes_options(address=FleetAddress)
def device(
    device_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the device.", show_default=False)],
    *,
    address: FleetAddress,
) -> None:
    """Show one device: its state, its faults now and in the next hour, and its messages since it was first looked at.

    Example: `edgefleet ctl device gps-0007`
    """
    found = address.connect().device(device_id)
    if address.as_json:
        typer.echo(orjson.dumps(found))
        return
    from edgefleet.report.control_text import device_lines

    for line in device_lines(found):
        echo(line)


@app.command("scale")
@takes_options(address=FleetAddress)
def scale(
    group: Group,
    count: Annotated[int, typer.Argument(metavar="COUNT", help="How many devices it is to have.", min=1)],
    *,
    address: FleetAddress,
) -> None:
    """Give a group another number of devices; the others stay connected.

    Example: `edgefleet ctl scale gps 500`
    """
    address.act("scale", group=group, count=count)


@app.command("set")
@takes_options(address=FleetAddress)
def change_setting(
    group: Annotated[
        str, typer.Argument(metavar="GROUP|time_scale=N", help="Name of a group, or how fast all time is to pass.")
    ],
    *,
    interval: Annotated[str | None, typer.Option(help="Between two readings: 5s.", show_default=False)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Or readings of the whole group a second.", show_default=False)
    ] = None,
    standby: Annotated[
        bool | None,
        typer.Option("--standby/--no-standby", help="Leave places to real sensors or not.", show_default=False),
    ] = None,
    address: FleetAddress,
) -> None:
    """Let a group measure more often, or less, or stand by for real sensors; or let the devices' time pass faster.

    Example: `edgefleet ctl set gps --interval 250ms`, `edgefleet ctl set bme280 --rate 500`,
    `edgefleet ctl set time_scale=60`
    """
    if "=" in group:
        settings = _parse_pairs([group], "time_scale=60")
        if settings.keys() != {"time_scale"}:
            raise ConfigError(f"'{group}': only time_scale is of all groups; of one: ctl set GROUP --interval 5s")
        if (interval, rate, standby) != (None, None, None):
            raise ConfigError("time_scale is of all groups: set what is of one by a command of its own")
        address.act("set", **settings)
        return
    address.act("set", group=group, interval=interval, rate=rate, standby=standby)


@app.command("fault")
@takes_options(targets=Targets, address=FleetAddress)
def fault(
    kind_of_fault: Annotated[str, typer.Argument(metavar="TYPE", help="As in docs/faults.md: stuck_at, silent_death.")],
    parameters: KeyValues = None,
    *,
    targets: Targets,
    duration: Annotated[
        str | None, typer.Option(help="In the devices' time: 30s. Default: until it is ended.", show_default=False)
    ] = None,
    address: FleetAddress,
) -> None:
    """Begin a fault at devices; its number is what `end-fault` takes.

    Example: `edgefleet ctl fault stuck_at field=temperature_c --group bme280 --share 25% --duration 1m`
    """
    content = {"type": kind_of_fault, **_parse_pairs(parameters, "field=temperature_c")}
    address.act("fault", fault=content, duration=duration, **targets.keys())


@app.command("end-fault")
@takes_options(targets=Targets, address=FleetAddress)
def end_fault(
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="That of the fault; without it all.", show_default=False)
    ] = None,
    *,
    targets: Targets,
    address: FleetAddress,
) -> None:
    """End what `fault` has begun; what the scenario's own calendar has goes on.

    Example: `edgefleet ctl end-fault 3`
    """
    address.act("end_fault", fault=number, **targets.keys())


@app.command("command")
@takes_options(targets=Targets, address=FleetAddress)
def command(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="As in docs/firmware.md: reboot, identify, stop.")],
    arguments: KeyValues = None,
    *,
    targets: Targets,
    address: FleetAddress,
) -> None:
    """Let devices carry out a command, as at their own console; exit code 1 where some do not.

    Example: `edgefleet ctl command set_interval interval=5s --device gps-0007`
    """
    given = _parse_pairs(arguments, "interval=5s")
    address.act("command", command=action, arguments=given or None, **targets.keys())


@app.command("pause")
@takes_options(targets=Targets, address=FleetAddress)
def pause(*, targets: Targets, address: FleetAddress) -> None:
    """Let devices take no readings until `resume`; they stay connected.

    Example: `edgefleet ctl pause --group gps`
    """
    address.act("pause", **targets.keys())


@app.command("resume")
@takes_options(targets=Targets, address=FleetAddress)
def resume(*, targets: Targets, address: FleetAddress) -> None:
    """Let paused devices take readings again.

    Example: `edgefleet ctl resume`
    """
    address.act("resume", **targets.keys())


@app.command("mute")
@takes_options(targets=Targets, address=FleetAddress)
def mute(
    *,
    targets: Targets,
    duration: Annotated[
        str | None, typer.Option(help="In the devices' time: 30s. Default: until `unmute`.", show_default=False)
    ] = None,
    address: FleetAddress,
) -> None:
    """Let devices keep what they measure to themselves; `unmute` has them send it.

    Example: `edgefleet ctl mute --share 50%`
    """
    address.act("mute", duration=duration, **targets.keys())


@app.command("unmute")
@takes_options(targets=Targets, address=FleetAddress)
def unmute(*, targets: Targets, address: FleetAddress) -> None:
    """Let muted devices send what they have kept.

    Example: `edgefleet ctl unmute`
    """
    address.act("unmute", **targets.keys())


@app.command("standby")
@takes_options(targets=Targets, address=FleetAddress)
def stand_by(*, targets: Targets, address: FleetAddress) -> None:
    """Let emulators with `standby: true` leave their places, as for a real sensor, until `return`.

    Example: `edgefleet ctl standby --device bme280-0007`
    """
    address.act("standby", **targets.keys())


@app.command("return")
@takes_options(targets=Targets, address=FleetAddress)
def return_devices(*, targets: Targets, address: FleetAddress) -> None:
    """Let emulators that have left their places return now; where a real sensor still speaks, they leave again.

    Example: `edgefleet ctl return`
    """
    address.act("return", **targets.keys())


@app.command("takeover")
@takes_options(targets=Targets, address=FleetAddress)
def takeover(
    *,
    targets: Targets,
    duration: Annotated[
        str | None, typer.Option(help="In the devices' time: 30s. Default: until it is ended.", show_default=False)
    ] = None,
    address: FleetAddress,
) -> None:
    """Let another client take devices' client ids; its number is what `end-fault` takes.

    Example: `edgefleet ctl takeover --group gps --share 10% --duration 30s`
    """
    address.act("takeover", duration=duration, **targets.keys())


@app.command("outage")
@takes_options(address=FleetAddress)
def outage(
    duration: Annotated[str, typer.Argument(metavar="DURATION", help="How long: 20s.")], *, address: FleetAddress
) -> None:
    """Stop the broker of `run --broker embedded` for a while; the answer comes at once.

    Example: `edgefleet ctl outage 20s`
    """
    address.act("broker_outage", duration=duration)


@app.command("actions")
@takes_options(address=FleetAddress)
def actions(*, address: FleetAddress) -> None:
    """List what was done to the run so far, as it will stand in its record.

    Example: `edgefleet ctl actions --json`
    """
    found = address.connect().read("actions")
    if address.as_json:
        typer.echo(orjson.dumps(found))
        return
    from edgewire.clock import iso_ms

    for one in found:
        outcome = "" if one["outcome"] == "done" else f" ({one['outcome']})"
        echo(f"{one['number']:>4}  {iso_ms(one['at_ms'])}  {one['action']}: {one['said']}{outcome}")
    if not found:
        echo("nothing was done to it so far")


@app.command("record")
@takes_options(address=FleetAddress)
def record(
    *,
    out: Annotated[Path, typer.Option(help="File for the scenario: session.yaml.", dir_okay=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Let it replace a file that is there.")] = False,
    address: FleetAddress,
) -> None:
    """Save what was done to the run so far as a scenario with `steps`, which does the same again.

    `--fleet` may also be the folder of a run that is over.

    Example: `edgefleet ctl record --out session.yaml`
    """
    from edgefleet.control.address import ADDRESS_FILE
    from edgefleet.control.session_scenario import RunSession
    from edgewire.output import write_output

    if out.exists() and not overwrite:
        raise ConfigError(f"--out {out}: is there already: name another file, or give --overwrite")
    folder = Path(address.fleet)
    if "://" not in address.fleet and folder.is_dir() and not (folder / ADDRESS_FILE).exists():
        session = RunSession.of_folder(folder)
    else:
        client = address.connect()
        session = RunSession.of_control(client.url, client.read("scenario"), client.read("actions"))
    try:
        write_output(out, session.as_scenario().encode())
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error.strerror}") from None
    steps = len(session.steps())
    if address.as_json:
        typer.echo(orjson.dumps({"scenario": str(out), "steps": steps}))
    else:
        echo(f"{steps:,} steps saved in {out}; again: edgefleet run {out}")


@app.command("tail")
@takes_options(address=FleetAddress)
def tail(
    *,
    count: Annotated[int | None, typer.Option(help="Stop after so many events.", min=1, show_default=False)] = None,
    address: FleetAddress,
) -> None:
    """Show what happens, in words, until the run ends or Ctrl-C; the last events come first.

    With `--json` a line each, the state of every second as well.

    Example: `edgefleet ctl tail`
    """
    from contextlib import suppress

    from edgewire.clock import iso_ms

    shown = 0
    with suppress(KeyboardInterrupt, BrokenPipeError):
        for name, content in address.connect().events():
            if address.as_json:
                typer.echo(orjson.dumps({"event": name, **content}))
            elif name == "event":
                echo(f"{iso_ms(content['at_ms'])}  {content['text']}")
            elif name == "dropped":
                raise ConfigError(f"{address.fleet}: {content['reason']}")
            else:
                continue
            shown += 1
            if count is not None and shown >= count:
                return


@app.command("stop")
@takes_options(address=FleetAddress)
def stop(
    *,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Wait for nothing: what is not acknowledged counts as unsent.")
    ] = False,
    address: FleetAddress,
) -> None:
    """End the run, as Ctrl-C does: devices send what they have, and say goodbye.

    Example: `edgefleet ctl stop`
    """
    address.act("stop", at_once=at_once or None)
