"""Says what of a scenario `edgefleet generate` exports, what is added to each message, and how it is stored."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from edgefleet.cli.common import parse_duration
from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from devices.export.job import ExportSpan
    from devices.scenario.scenario import Scenario
    from devices.timeline.annotations import Annotations
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
    label_column: Annotated[
        bool,
        typer.Option(
            "--label-column",
            envvar="EDGEFLEET_LABEL_COLUMN",
            help="Add faults: the types of the faults that a message shows, a list.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    split: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_SPLIT",
            metavar="NAME=SHARE,…",
            help="Add split: the set that a message is in, such as train=0.8,test=0.2.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    split_by: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_SPLIT_BY",
            metavar="device|time",
            help="With --split: a device, or a time, is in one set alone. Default: device.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    split_gap: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_SPLIT_GAP",
            metavar="DURATION",
            help="With --split-by time: messages in this time after a set begins are in none.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    local_time: Annotated[
        bool,
        typer.Option(
            "--local-time",
            envvar="EDGEFLEET_LOCAL_TIME",
            help="Add local_time, and local_weekday and local_time_slot of people: by the clock of the site.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    csv: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_CSV",
            metavar="excel|spark",
            help="CSV for excel (a byte order mark, times without T and Z) or spark (quotes behind a backslash).",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
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
            metavar="day|hypertable",
            help="Make PostgreSQL's tables with a partition a day (UTC), or as hypertables of TimescaleDB.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None

    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            envvar="EDGEFLEET_JOBS",
            metavar="N",
            help="Write a data set of parts (kind=…/date=…/) to FOLDER/ or s3://…, in so many processes; "
            "without it s3:// has one a processor.",
            min=1,
            max=1024,
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            envvar="EDGEFLEET_EXPORT_RAY",
            metavar="ADDRESS",
            help="The same on a Ray cluster: HOST:PORT, or auto for that of this machine; --jobs says how many.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None

    def is_parted(self, destination: "Destination") -> bool:
        """Return whether a data set of parts is written."""
        is_store = destination.kind == "s3" and destination.format != "delta"
        return self.jobs is not None or self.ray is not None or is_store

    def refuse_in_stream(self) -> None:
        """Raise `ConfigError` for what a stream has not."""
        given = {
            "--labels": self.labels,
            "--clean": self.clean,
            "--delays": self.delays,
            "--label-column": self.label_column,
            "--split": self.split,
            "--split-by": self.split_by,
            "--split-gap": self.split_gap,
            "--local-time": self.local_time,
            "--csv": self.csv,
            "--replace": self.replace,
            "--schema": self.schema,
            "--partition": self.partition,
            "--jobs": self.jobs,
            "--ray": self.ray,
        }
        for option, value in given.items():
            if value:
                raise ConfigError(f"{option} is for exports: leave out --stream")

    def check(self, destination: "Destination", *, has_records: bool) -> None:
        """Raise `ConfigError` for an option that says nothing of where the messages go."""
        if self.schema is not None and destination.kind != "postgres":
            raise ConfigError("--schema is for PostgreSQL: add --out postgresql://…, or leave it out")
        if self.partition is not None and destination.kind != "postgres":
            raise ConfigError("--partition is for PostgreSQL: add --out postgresql://…, or leave it out")
        if self.csv is not None and destination.format != "csv":
            raise ConfigError("--csv is for files of CSV: add --out FILE.csv or --format csv, or leave it out")
        if self.csv not in (None, "excel", "spark"):
            raise ConfigError(f"--csv {self.csv}: there are excel and spark")
        if self.split is None and (self.split_by or self.split_gap):
            raise ConfigError("--split-by and --split-gap say how to split: add --split train=0.8,test=0.2")
        if self.split_by not in (None, "device", "time"):
            raise ConfigError(f"--split-by {self.split_by}: there are device and time")
        if self.split_gap is not None and self.split_by != "time":
            raise ConfigError("--split-gap is between times: add --split-by time, or leave it out")
        if self.partition not in (None, "day", "hypertable"):
            raise ConfigError(f"--partition {self.partition}: there are day and hypertable")
        if self.schema is not None and not 0 < len(self.schema.encode()) < _LONGEST_NAME:
            raise ConfigError("--schema: a name of PostgreSQL has 1 to 63 bytes")
        if self.is_parted(destination):
            asked = "--ray" if self.ray is not None else "--jobs"
            if destination.format == "delta":
                raise ConfigError(f"{asked}: to Delta tables one process appends: leave it out, or --format parquet")
            if destination.kind != "s3" and not (destination.is_folder or destination.place.endswith("/")):
                raise ConfigError(f"{asked} writes a data set of parts: give --out FOLDER/ or s3://BUCKET/FOLDER/")
            if has_records:
                raise ConfigError(
                    "--records: parts that are made side by side do not know how many the others have: give --to"
                )
        elif self.replace and not (destination.kind in ("postgres", "s3") or destination.is_folder):
            raise ConfigError("--replace is for FOLDER/ and PostgreSQL: a file is replaced anyway, so leave it out")

    def annotations(self, scenario: "Scenario", span: "ExportSpan", is_open: bool) -> "Annotations | None":
        """Return what is added to the messages of a span, None for nothing; an `is_open` one has no end of its own."""
        from devices.scenario.devices import all_devices
        from devices.timeline.annotations import Annotations, Split, parse_split

        if not (self.label_column or self.split is not None or self.local_time):
            return None
        split = None
        if self.split is not None:
            sets = parse_split(self.split)
            if self.split_by == "time":
                if is_open:
                    raise ConfigError("--split-by time cuts the time from --from to --to: give --to")
                gap_ms = 0 if self.split_gap is None else parse_duration("--split-gap", self.split_gap)
                split = Split.of_times(sets, span.from_ms, span.to_ms, gap_ms)
            else:
                split = Split.of_devices(sets, [device for device, _ in all_devices(scenario)], scenario.seed)
        return Annotations(self.label_column, split, self.local_time)

    def describe_additions(self) -> list[object]:
        """Return what of these changes the files: an export that is gone on with has the same."""
        return [self.label_column, self.split, self.split_by, self.split_gap, self.local_time, self.csv, self.schema]


_LONGEST_NAME = 64
