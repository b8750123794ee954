"""Says what of a scenario `edgefleet generate` exports, what is added to each message, and how it is stored."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from edgefleet.cli.destination import Destination

_PANEL = "Data sets"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Names what is beside the messages themselves; none of it is for a stream."""

    labels: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_LABELS",
            metavar="FILE",
            help="Also write the ground truth of the faults: FILE.jsonl, or - for stdout.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    clean: Annotated[
        bool,
        typer.Option(
            "--clean",
            envvar="EDGEFLEET_CLEAN",
            help="Add clean_… fields: what a faulty field would say in good order.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    delays: Annotated[
        bool,
        typer.Option(
            "--delays",
            envvar="EDGEFLEET_DELAYS",
            help="Add network_delay_ms: how much later than measured a live run would send it.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            envvar="EDGEFLEET_REPLACE",
            help="In place of a former export: remove its files from FOLDER, the rows of its devices from PostgreSQL.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    schema: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_SCHEMA",
            help="Of PostgreSQL's tables, made where it is missing.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    partition: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_PARTITION",
            metavar="day",
            help="Make PostgreSQL's tables with a partition a day (UTC).",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None

    def refuse_in_stream(self) -> None:
        """Raise `ConfigError` for what a stream has not."""
        given = {
            "--labels": self.labels,
            "--clean": self.clean,
            "--delays": self.delays,
            "--replace": self.replace,
            "--schema": self.schema,
            "--partition": self.partition,
        }
        for option, value in given.items():
            if value:
                raise ConfigError(f"{option} is for exports: leave out --stream")

    def check(self, destination: "Destination") -> None:
        """Raise `ConfigError` for an option that says nothing of where the messages go."""
        if self.schema is not None and destination.kind != "postgres":
            raise ConfigError("--schema is for PostgreSQL: add --out postgresql://…, or leave it out")
        if self.partition is not None and destination.kind != "postgres":
            raise ConfigError("--partition is for PostgreSQL: add --out postgresql://…, or leave it out")
        if self.partition not in (None, "day"):
            raise ConfigError(f"--partition {self.partition}: there is day")
        if self.schema is not None and not 0 < len(self.schema.encode()) < _LONGEST_NAME:
            raise ConfigError("--schema: a name of PostgreSQL has 1 to 63 bytes")
        if self.replace and not (destination.kind == "postgres" or destination.is_folder):
            raise ConfigError("--replace is for FOLDER/ and PostgreSQL: a file is replaced anyway, so leave it out")


_LONGEST_NAME = 64
