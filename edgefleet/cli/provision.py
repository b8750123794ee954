"""Implements `edgefleet provision`: identities for every device of a scenario, and a Mosquitto that knows them."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from edgefleet.cli.common import Json
from edgefleet.cli.fleet_options import FleetOptions, ScenarioOrKind
from edgefleet.cli.option_groups import takes_options
from edgefleet.cli.shorthands import ScenarioShorthands
from edgewire.errors import ConfigError

_NAMES_SHOWN = 3


@takes_options(fleet=FleetOptions, shorthands=ScenarioShorthands)
def command(
    scenario: ScenarioOrKind = None,
    *,
    fleet: FleetOptions,
    shorthands: ScenarioShorthands,
    out: Annotated[
        Path,
        typer.Option(
            envvar="EDGEFLEET_PROVISION_OUT", help="Folder of the identities; made, or added to.", file_okay=False
        ),
    ] = Path("secrets"),
    host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="EDGEFLEET_PROVISION_HOST", help="Name or address under which the broker is reached; repeatable."
        ),
    ] = None,
    auth: Annotated[
        str,
        typer.Option(
            envvar="EDGEFLEET_PROVISION_AUTH", help="How clients show who they are: password, or certificate."
        ),
    ] = "password",
    also: Annotated[
        list[str] | None,
        typer.Option(
            envvar="EDGEFLEET_PROVISION_ALSO",
            help="Id of a device outside the scenario, such as real hardware; repeatable.",
        ),
    ] = None,
    days: Annotated[
        int,
        typer.Option(envvar="EDGEFLEET_PROVISION_DAYS", min=1, max=3650, help="How long new certificates are valid."),
    ] = 365,
    as_json: Json = False,
) -> None:
    """Give every device of SCENARIO a password and a certificate, and write what a secured Mosquitto needs.

    What is in the folder already stays as it is, so it can be run again when the fleet has grown.

    Example: `edgefleet provision scenarios/mixed.yaml --out secrets && mosquitto -c secrets/mosquitto.conf`
    """

    from rich.console import Console
    from rich.progress import Progress

    from edgefleet.embedded.brokers import profile
    from edgefleet.terminal import echo
    from edgewire.os_support import is_root

    try:
        from edgefleet.provision import BRIDGE, OPERATOR, Account, fleet_accounts, provision, service_rights
    except ImportError:
        raise ConfigError("certificates need the package cryptography: pip install 'edgefleet[provision]'") from None
    if auth not in ("password", "certificate"):
        raise ConfigError(f"--auth {auth}: there are password and certificate")
    loaded = shorthands.apply(fleet.load(scenario))
    accounts = [*fleet_accounts(loaded), *map(Account, _checked(also or []))]
    hosts = host or ["localhost", "127.0.0.1", "::1"]
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("certificates", total=len(accounts))
            made = provision(
                out,
                accounts,
                hosts=hosts,
                auth="certificate" if auth == "certificate" else "password",
                days=days,
                profile=profile("secured.conf").read_text(encoding="utf-8"),
                services=service_rights(loaded),
                # A Mosquitto that root starts becomes the user `mosquitto`, who may not read our folder.
                user="root" if is_root() else None,
                progress=lambda done: progress.update(task, completed=done),
            )
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error.strerror} ({error.filename})") from None
    warning = (
        " ".join(text for text in (_warning(auth), _certificates_warning(made.without_certificate)) if text) or None
    )
    if as_json:
        document = {"folder": str(made.folder), "added": made.added, "kept": made.kept, "renewed": made.renewed}
        document |= {"profile": str(made.profile), "warning": warning}
        typer.echo(orjson.dumps(document))
        return
    echo(f"{made.added:,} identities added, {made.kept:,} kept in {made.folder}: {len(accounts):,} devices,")
    echo(f"the bridge ({BRIDGE}) and an operator ({OPERATOR}); passwords are in {made.folder}/credentials.csv")
    if made.renewed:
        shown, more = made.renewed[:_NAMES_SHOWN], len(made.renewed) - _NAMES_SHOWN
        names = f"{', '.join(shown)} and {more:,} more" if more > 0 else " and ".join(shown)
        echo(f"renewed  certificates of {names}: give them to who has a copy of the old ones")
    if warning:
        echo(f"warning  {warning}")
    echo(f"broker   mosquitto -c {made.profile}")
    echo(f"fleet    in the scenario: broker: mqtts://{hosts[0]}:8883, identities: {made.folder}")
    echo(f"bridge   broker: mqtts://{hosts[0]}:8884 with mqtt.ca_file and an account: see docs/security.md")


def _certificates_warning(names: list[str]) -> str | None:
    if not names:
        return None
    return (
        f"{len(names):,} devices, '{names[0]}' among them, have a password and no certificate: a certificate has room "
        "for 64 bytes of a user name"
    )


def _warning(auth: str) -> str | None:
    from edgefleet.embedded.brokers import find_mosquitto, mosquitto_version
    from edgefleet.provision.mosquitto import KEEPS_SESSIONS

    program = find_mosquitto()
    version = mosquitto_version(program) if program else ()
    if auth != "password" or not version or version >= KEEPS_SESSIONS:
        return None
    return (
        f"{program} is version {'.'.join(map(str, version))}, where anybody who reaches port 8883 can end a session: "
        f"take {'.'.join(map(str, KEEPS_SESSIONS))} or newer, or --auth certificate"
    )


def _checked(names: list[str]) -> list[str]:
    import re

    from edgewire.messages.base import DEVICE_ID

    for name in names:
        if not re.fullmatch(DEVICE_ID, name):
            raise ConfigError(f"--also {name}: a device id has letters, digits, '_', '.' and '-', at most 64 of them")
    return names
