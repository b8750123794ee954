"""Says which devices a command is about: those of a scenario file, or some kinds without one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefleet.cli.common import find_scenario
from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from devices.scenario.scenario import Scenario

_PANEL = "Without a scenario file"

ScenarioOrKind = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SCENARIO]",
        help="Scenario file (YAML), or the name of one that comes with edgefleet: mixed, bme280, …; or give --kind.",
        show_default=False,
        callback=find_scenario,
    ),
]
Interval = Annotated[
    str | None,
    typer.Option(
        envvar="EDGEFLEET_INTERVAL",
        help="Between two readings of a device: 1s, 250ms. Default: 10s.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Names devices without a file."""

    kind: Annotated[
        list[str] | None,
        typer.Option(
            envvar="EDGEFLEET_KIND",
            help="Devices of this kind, such as bme280; repeatable.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    count: Annotated[
        list[int] | None,
        typer.Option(
            envvar="EDGEFLEET_COUNT",
            help="How many; one, or once for each --kind. Default: 1.",
            min=1,
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            envvar="EDGEFLEET_SET",
            help="A setting of the kind, or another key of its devices, such as noise=false, qos=0 or "
            "outbox.max_messages=100; of one kind among several: gps.jitter=200ms. Repeatable.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None

    def load(self, scenario: Path | None, interval: str | None = None, *, what: str = "a scenario file") -> "Scenario":
        """Return the scenario of the file, or of the kinds.

        Raises `ConfigError` for neither, for both, and for what `Scenario` refuses.
        """
        if scenario is not None:
            self.refuse_beside(scenario, interval)
            from devices.scenario.loading import load_scenario

            return load_scenario(scenario)
        if not self.kind:
            given = self._given(interval)
            if given:
                raise ConfigError(f"{given[0]} is for the devices of --kind: add that, such as --kind bme280")
            raise ConfigError(f"which devices? Give {what}, or for example --kind bme280 --count 100")
        from edgefleet.cli.fileless import make_scenario

        return make_scenario(self.kind, self.count or (), interval, self.setting or ())

    def refuse_beside(self, scenario: Path, interval: str | None = None) -> None:
        """Raise `ConfigError` where there are options for devices that are in a file."""
        if given := self._given(interval):
            options = " and ".join(given)
            raise ConfigError(
                f"{options}: the devices are in {scenario}: change them there, or leave the file out"
                + ("" if self.kind else " and give --kind")
            )

    def name(self, scenario: Path | None) -> str:
        """Return what to call the scenario: its file, or the kinds."""
        return str(scenario) if scenario is not None else "+".join(self.kind or ())

    def _given(self, interval: str | None) -> list[str]:
        options = {"--kind": self.kind, "--count": self.count, "--interval": interval, "--set": self.setting}
        return [option for option, value in options.items() if value]
