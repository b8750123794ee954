"""Tables of monthly normals that a site's `climate` names: `climate: {monthly: FILE.csv}`."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devices.world.climates import DEW_POINT, MONTHLY, MONTHS
from edgewire.output import write_output

_MOST_BYTES = 100_000
_RAIN_SHARE = "rain_share"
BOUNDS = {
    "temperature_c": (-80.0, 60.0),
    "range_c": (0.1, 40.0),
    "spread_c": (0.1, 20.0),
    "humidity": (2.0, 99.0),
    "pressure_hpa": (950.0, 1070.0),
    "pressure_spread_hpa": (0.1, 25.0),
    _RAIN_SHARE: (0.0005, 0.6),
    "dew_point_spread_c": (0.1, 20.0),
    "dew_point_correlation": (-1.0, 1.0),
}
"""What a table may have, by column."""


def read_monthly(path: Path) -> list[dict[str, float]]:
    """Return twelve rows of normals, January first; raises `ValueError` that names the file and the line.

    The file has a head and a line for each month: `month` (1 to 12), the columns of `MONTHLY`, and `rain_share` and
    those of `DEW_POINT` if one likes. Lines that begin with # are notes.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path}: has more than {_MOST_BYTES:,} bytes; a table of normals has twelve short lines")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); name a CSV file of normals by month") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not text in UTF-8; write a CSV file of normals by month") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    if not lines:
        raise ValueError(f"{path}: is empty; write a head and twelve lines")
    head = [word.strip() for word in next(csv.reader([lines[0][1]]))]
    missing = [name for name in ("month", *MONTHLY) if name not in head]
    if missing:
        raise ValueError(f"{path}:{lines[0][0]}: has no column {missing[0]}; write month,{','.join(MONTHLY)}")
    unknown = [name for name in head if name not in ("month", *BOUNDS)]
    if unknown:
        raise ValueError(f"{path}:{lines[0][0]}: column '{unknown[0][:40]}' is not one of month, {', '.join(BOUNDS)}")
    if twins := sorted({name for name in head if head.count(name) > 1}):
        raise ValueError(f"{path}:{lines[0][0]}: column {twins[0]} is there twice; keep one of them")
    found: dict[int, dict[str, float]] = {}
    for number, line in lines[1:]:
        month, row = _read_row(f"{path}:{number}", head, next(csv.reader([line])))
        if month in found:
            raise ValueError(f"{path}:{number}: month {month} is there twice; keep one line for each")
        found[month] = row
    absent = [str(month) for month in range(1, MONTHS + 1) if month not in found]
    if absent:
        raise ValueError(f"{path}: month {', '.join(absent)} is missing; write a line for each of the twelve")
    return [found[month] for month in range(1, MONTHS + 1)]


def _read_row(at: str, head: list[str], cells: list[str]) -> tuple[int, dict[str, float]]:
    if len(cells) != len(head):
        raise ValueError(f"{at}: has {len(cells)} values and the head {len(head)}; write one for each column")
    values: dict[str, float] = {}
    for name, cell in zip(head, cells, strict=True):
        low, high = BOUNDS.get(name, (1, MONTHS))
        try:
            values[name] = float(cell)
        except ValueError:
            raise ValueError(f"{at}: {name} is '{cell.strip()[:40]}'; write a number") from None
        if not (math.isfinite(values[name]) and low <= values[name] <= high):
            raise ValueError(f"{at}: {name} is {cell.strip()[:40]}; it is from {low:g} to {high:g}")
    month = values.pop("month")
    if month != int(month):
        raise ValueError(f"{at}: month is {month}; write 1 to 12")
    return int(month), values


def write_monthly(path: Path, rows: list[dict[str, float]], notes: Sequence[str]) -> None:
    """Write a table that `read_monthly` reads, with a few lines of notes above it."""
    lines = [f"# {note}" for note in notes] + [",".join(("month", *MONTHLY, *DEW_POINT))]
    for month, row in enumerate(rows, 1):
        lines.append(",".join([str(month), *(f"{row[name]:g}" for name in (*MONTHLY, *DEW_POINT))]))
    write_output(path, ("\n".join(lines) + "\n").encode())


def with_climate_files(values: dict[str, Any]) -> dict[str, Any]:
    """Return what a scenario is made of, with tables in the place of the files that sites name for their climate."""
    sites = values.get("sites")
    if not isinstance(sites, list | tuple):
        return values
    return values | {"sites": [_with_table(site) for site in sites]}


def _with_table(site: Any) -> Any:
    climate = site.get("climate") if isinstance(site, dict) else None
    name = climate.get("monthly") if isinstance(climate, dict) else None
    if not isinstance(climate, dict) or not isinstance(name, str | Path):
        return site
    return site | {"climate": climate | {"monthly": read_monthly(Path(name))}}
