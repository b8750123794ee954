"""Implements `edgefleet fit`: a climate of a station's own readings."""

from pathlib import Path
from typing import Annotated

import typer

from edgefleet.cli.common import Json
from edgewire.errors import ConfigError


def command(
    readings: Annotated[
        Path,
        typer.Argument(
            metavar="READINGS.csv",
            help="Columns timestamp (ISO 8601), temperature_c, humidity (%), pressure_hpa; in order of time.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="FILE.csv, the table of normals.", dir_okay=False)],
    longitude: Annotated[
        float, typer.Option("--longitude", "--lon", help="Of the station: days are by its sun.", min=-180, max=180)
    ],
    altitude: Annotated[
        float,
        typer.Option(help="Of the station in metres, where its pressure is not that at sea level.", min=-430, max=9000),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Fit a climate to a year or more of real readings: means, ranges and spreads by month.

    A site takes it as `climate: {monthly: FILE.csv}`. Gaps are left out; ten days of each month are needed.

    Example: `edgefleet fit roof.csv --longitude 8.5 --altitude 410 --out climate.csv`
    """
    import orjson

    from devices.scenario.climate_file import write_monthly
    from devices.scenario.climate_fit import fit_climate, read_station
    from edgewire.clock import iso_ms

    if out.suffix != ".csv":
        raise ConfigError(f"--out {out}: write FILE.csv")
    if out.exists() and readings.exists() and out.samefile(readings):
        raise ConfigError(f"--out {out}: is the file of the readings; give another name")
    try:
        station = read_station(readings)
        fitted = fit_climate(station, longitude, altitude)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    first, last = (iso_ms(int(station.times_ms[at]))[:10] for at in (0, -1))
    try:
        write_monthly(out, fitted.rows, [f"{len(station.times_ms)} readings of {readings.name}, {first} to {last}"])
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror})") from None
    if as_json:
        months = [{"month": month, "days": days} for month, days in enumerate(fitted.days, 1)]
        rows = [month | row for month, row in zip(months, fitted.rows, strict=True)]
        typer.echo(orjson.dumps({"readings": len(station.times_ms), "out": str(out), "months": rows}))
    else:
        typer.echo(
            f"{len(station.times_ms):,} readings, {sum(fitted.days):,} days that count (at least {min(fitted.days)}"
            f" of a month): {out}; a site takes it as climate: {{monthly: {out}}}"
        )
