"""Changes single keys of a scenario by options of their own, as the producers that it replaces have them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from devices.scenario.device_group import DeviceGroup
    from devices.scenario.scenario import Scenario

_PANEL = "Short for keys of the scenario"


def _option(variable: str, text: str, **more: Any) -> Any:
    return typer.Option(help=text, envvar=variable, show_default=False, rich_help_panel=_PANEL, **more)


@dataclass(frozen=True, slots=True)
class ScenarioShorthands:
    """Says what a scenario is to have in the place of what it says itself."""

    drivers: Annotated[
        int | None,
        _option("EDGEFLEET_DRIVERS", "count of the telematics units: a driver each.", min=1, max=1_000_000),
    ] = None
    device_id: Annotated[
        str | None, _option("EDGEFLEET_DEVICE_ID", "ids of a scenario with one group: one device of this name.")
    ] = None
    daily_customers: Annotated[
        float | None,
        _option("EDGEFLEET_DAILY_CUSTOMERS", "daily_customers of people: on an average day.", min=0.001, max=200_000),
    ] = None
    daily_variation: Annotated[
        float | None,
        _option("EDGEFLEET_DAILY_VARIATION", "daily_variation of people, such as 0.1; 0 disables it.", min=0, max=2),
    ] = None
    fixed_daily_total: Annotated[
        bool,
        typer.Option(
            "--fixed-daily-total",
            envvar="EDGEFLEET_FIXED_DAILY_TOTAL",
            help="As many every day.",
            rich_help_panel=_PANEL,
        ),
    ] = False

    def apply(self, scenario: "Scenario") -> "Scenario":
        """Return the changed scenario; raises `ConfigError` where it has nothing that an option is about."""
        for name, change in _CHANGES.items():
            value = getattr(self, name)
            if value is not None and value is not False:
                scenario = change("--" + name.replace("_", "-"), scenario, value)
        return scenario


def _change_groups(option: str, scenario: "Scenario", kind: str, change: Mapping[str, Any]) -> "Scenario":
    """Change the only group of a kind."""
    from pydantic import ValidationError

    from devices.scenario.device_parts import entry_of
    from edgewire.config import describe_error

    mine = [number for number, group in enumerate(scenario.devices) if group.kind == kind]
    if len(mine) != 1:
        said = f"there are {len(mine)} groups of {kind}" if mine else f"there is no {kind} among the devices"
        raise ConfigError(f"{option}: {said}; change the scenario itself")
    # How many there are, and what they are called, is the same for all parts of a device.
    changed = entry_of(scenario.devices, mine[0])
    groups = tuple(
        group.model_copy(update=dict(change)) if number in changed else group
        for number, group in enumerate(scenario.devices)
    )
    for group in groups:
        try:
            group.gateways  # noqa: B018 - which has them counted: so many devices may fit none
        except ValidationError as error:
            raise ConfigError(f"{option}: {describe_error(error)}; or change the scenario itself") from None
    return scenario.model_copy(update={"devices": groups})


def _drivers(option: str, scenario: "Scenario", value: int) -> "Scenario":
    return _change_groups(option, scenario, "telematics", {"count": value, "ids": (), "vehicles": ()})


def _device_id(option: str, scenario: "Scenario", value: str) -> "Scenario":
    from devices.scenario.device_parts import entry_of
    from edgewire.messages.base import DEVICE_ID

    if len(scenario.devices) != len(entry_of(scenario.devices, 0)):
        raise ConfigError(f"{option}: there are {len(scenario.devices)} groups of devices; change the scenario itself")
    if not re.fullmatch(DEVICE_ID, value):
        raise ConfigError(
            f"{option} {value}: a device id has letters, digits, '_', '.' and '-', at most 64 of them, "
            "and begins with a letter or digit"
        )
    change = {"ids": (value,), "count": None, "id": None, "vehicles": (), "hardware": ()}
    return _change_groups(option, scenario, scenario.devices[0].kind, change)


def _people_setting(name: str) -> "Callable[[str, Scenario, object], Scenario]":
    def change(option: str, scenario: "Scenario", value: object) -> "Scenario":
        def changed(group: "DeviceGroup") -> "DeviceGroup":
            if group.kind != "people":
                return group
            return group.model_copy(update={"settings": group.settings | {name: value}})

        if all(group.kind != "people" for group in scenario.devices):
            raise ConfigError(f"{option}: there is no people among the devices; change the scenario itself")
        return scenario.model_copy(update={"devices": tuple(map(changed, scenario.devices))})

    return change


_CHANGES: Mapping[str, Callable[[str, Any, Any], Any]] = {
    "drivers": _drivers,
    "device_id": _device_id,
    "daily_customers": _people_setting("daily_customers"),
    "daily_variation": _people_setting("daily_variation"),
    "fixed_daily_total": _people_setting("fixed_daily_total"),
}
