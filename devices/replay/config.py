"""What stands under `replay:` in a group: a file of readings, and how it is played back."""

from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from edgewire.config import Config
from edgewire.config_errors import located_error

FORMATS = (".csv", ".jsonl", ".ndjson", ".gpx", ".parquet")
Column = Annotated[str, Field(min_length=1, max_length=200)]


class ReplayConfig(Config):
    """A file of readings that devices play back instead of what they would measure."""

    file: Path
    """`track.gpx`, or readings as `.csv`, `.jsonl` or `.parquet`, a row each, in order of time; beside this file."""
    time: Column = "timestamp"
    """The column of their times: ISO 8601, or a number since 1970 in s, ms, µs or ns, which its size tells. A `.gpx`
    has its own."""
    id: Column | None = None
    """The column that says which device a row is of; without it all are of one. Of a `.gpx`, `track`."""
    fields: dict[str, Column] = Field(default={}, max_length=100)
    """Field of the kind -> column, where it is called otherwise; a member of an object in JSON is `air.temp`."""
    timezone: str | None = None
    """Of times without an offset, such as `Europe/Berlin`; UTC has to be written, too."""
    loop: bool = False
    """Begins again after the end; without it devices are silent then."""
    speed: float = Field(default=1.0, gt=0, le=100_000)
    """How fast what was recorded passes: 60 is an hour in a minute of the device's time."""
    align: Literal["start", "recorded"] = "start"
    """`start`: begins as devices are powered on. `recorded`: what was recorded at a moment is said at it, and with
    `loop` as often as it goes before and after."""
    between: Literal["hold", "linear"] | None = None
    """What is said between two rows: what the last one had, or numbers on the straight line to the next. Without it
    `linear` for a `.gpx`, and `hold` for others."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        suffix = self.file.suffix.lower()
        if suffix not in FORMATS:
            raise located_error(("file",), f"'{self.file.name}' is none of {', '.join(FORMATS)}: give one of these")
        if suffix == ".gpx":
            if "time" in self.model_fields_set and self.time != "time":
                raise located_error(("time",), "the points of a .gpx have times of their own: leave it out")
            if self.id not in (None, "track"):
                raise located_error(("id",), "the points of a .gpx are told apart by their track alone: write track")
        if self.is_linear and suffix == ".parquet":
            raise located_error(("between",), "is hold alone for a .parquet: leave it out, or give a .csv or .jsonl")
        if self.align == "recorded" and self.speed != 1:
            raise located_error(
                ("speed",), "other than 1 makes other times than the recorded ones: leave one of both out"
            )
        if self.timezone is not None:
            try:
                ZoneInfo(self.timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                said = f"there is no zone '{self.timezone}': Europe/Berlin is one"
                raise located_error(("timezone",), said) from None
        return self

    @property
    def is_linear(self) -> bool:
        """Return whether numbers lie on straight lines between two rows."""
        return self.between == "linear" or (self.between is None and self.file.suffix.lower() == ".gpx")
