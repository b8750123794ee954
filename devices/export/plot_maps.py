"""Draws maps of a recording: the tracks of its vehicles, one map a region."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes

from devices.export.series import Recording, Series
from devices.sensors.registry import KINDS

Panel = Callable[[Axes], None]
Track = tuple[list[float], list[float]]
"""Longitudes and latitudes; NaN where the position was not known."""

# Vehicles whose tracks have their middles this close are of one region: sites that are far from each other would be
# dots on one map.
_REGION_DEG = 0.5
_MOST_TRACKS = 40
# Without a position for so long a vehicle may have gone anywhere: the line is broken. In usual intervals.
_LONG_GAP = 3.0


def map_panels(recording: Recording) -> list[tuple[float, Panel]]:
    """Return height and picture of every map."""
    regions: dict[tuple[float, float], dict[str, Track]] = {}
    # All units of a vehicle drive the same tracks.
    riding = (kind for kind in KINDS if kind in recording.kinds and KINDS[kind].rides_in_vehicle)
    for device, series in recording.kinds.get(next(riding, ""), {}).items():
        longitudes, latitudes = track = _track(series)
        if longitudes:
            middle = (float(np.nanmedian(latitudes)), float(np.nanmedian(longitudes)))
            region = next((known for known in regions if math.dist(known, middle) < _REGION_DEG), middle)
            regions.setdefault(region, {})[device] = track
    return [(6.0, _panel(region, list(tracks.values()))) for region, tracks in sorted(regions.items())]


def _track(series: Series) -> Track:
    longest = series.long_gap_ms()
    longitudes: list[float] = []
    latitudes: list[float] = []
    last_ms: int | None = None
    rows = zip(series.times, series.values["latitude"], series.values["longitude"], strict=True)
    for time_ms, latitude, longitude in rows:
        if latitude is None or longitude is None:
            continue
        if last_ms is not None and time_ms - last_ms > longest:
            longitudes.append(math.nan)
            latitudes.append(math.nan)
        longitudes.append(longitude)
        latitudes.append(latitude)
        last_ms = time_ms
    return longitudes, latitudes


def _panel(region: tuple[float, float], tracks: Sequence[Track]) -> Panel:
    def panel(axis: Axes) -> None:
        shown = tracks[:_MOST_TRACKS]
        for longitudes, latitudes in shown:
            axis.plot(longitudes, latitudes, linewidth=0.8, alpha=0.7)
        ends = [(longitudes[-1], latitudes[-1]) for longitudes, latitudes in shown]
        axis.plot(*zip(*ends, strict=True), "k.", markersize=5)
        of = f"{len(shown)} of {len(tracks)}" if len(shown) < len(tracks) else f"{len(tracks)}"
        of += " vehicle" if len(tracks) == 1 else " vehicles"
        title = f"tracks of {of} around {_place(*region)}; a dot is where one was last"
        axis.set_title(title, loc="left", fontsize="small")
        axis.set_xlabel("longitude (°)", fontsize="small")
        axis.set_ylabel("latitude (°)", fontsize="small")
        axis.set_aspect(1 / math.cos(math.radians(region[0])), adjustable="datalim")
        axis.ticklabel_format(useOffset=False)
        axis.grid(alpha=0.25)

    return panel


def _place(latitude: float, longitude: float) -> str:
    return f"{abs(latitude):.2f}° {'SN'[latitude >= 0]}, {abs(longitude):.2f}° {'WE'[longitude >= 0]}"
