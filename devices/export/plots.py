"""Draws a recording: series a device with the times of faults shaded, daily profiles, a map of tracks."""

import base64
import html
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import matplotlib.dates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, Locator

from devices.export.base import ExportError
from devices.export.plot_maps import Panel, map_panels
from devices.export.series import Recording, Series
from devices.faults.labels import Label, iter_labels
from devices.sensors.registry import KINDS
from edgewire.output import write_output

_DATE_FORMATTER: Callable[[Locator], Formatter] = matplotlib.dates.ConciseDateFormatter
_FAULTS = ("#d62728", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f")
"""Colours of the types of faults."""


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """Says when a fault was there, from the labels of a run or an export."""

    device_id: str
    type: str
    fields: tuple[str, ...]
    start_ms: int
    end_ms: int | None


def fault_windows(labels: Iterable[Label]) -> list[FaultWindow]:
    """Return the windows that labels tell of."""
    return [
        FaultWindow(label.device_id, label.type, tuple(label.fields), label.start_ms, label.end_ms) for label in labels
    ]


def read_labels(path: Path) -> list[FaultWindow]:
    """Return the windows in a labels file; raises `ConfigError` where it is none."""
    return fault_windows(iter_labels(path))


def draw_figure(recording: Recording, title: str, faults: Sequence[FaultWindow] = ()) -> Figure:
    """Draw all panels that a recording has data for, one below the other; raises `ExportError` where it has none."""
    panels = [*_series_panels(recording, faults), *_profile_panels(recording), *map_panels(recording)]
    if not panels:
        raise ExportError(f"{title}: has no readings to draw")
    heights = [height for height, _ in panels]
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    figure.suptitle(f"{title} (times in UTC)", x=0.01, ha="left", fontsize="large")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (_, panel) in zip(axes, panels, strict=True):
        panel(axis)
    return figure


def save_figure(figure: Figure, path: Path, title: str) -> None:
    """Write a .png, or an .html page with the picture in it; raises `ExportError` where the file cannot be written."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    content = picture.getvalue()
    if path.suffix == ".html":
        said = html.escape(title)
        image = base64.b64encode(content).decode()
        content = (
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{said}</title>\n'
            f'<body><img alt="{said}" style="max-width:100%" src="data:image/png;base64,{image}"></body></html>\n'
        ).encode()
    try:
        write_output(path, content)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror}") from None


def _series_panels(recording: Recording, faults: Sequence[FaultWindow]) -> list[tuple[float, Panel]]:
    panels: list[tuple[float, Panel]] = []
    types = dict.fromkeys(fault.type for fault in faults)
    colours = {type_: _FAULTS[number % len(_FAULTS)] for number, type_ in enumerate(types)}
    for kind, devices in recording.kinds.items():
        # Devices with a fault first: they are what one looks for.
        faulty = {fault.device_id for fault in faults}
        chosen = sorted(devices, key=lambda name: (name not in faulty, name))[: KINDS[kind].plot_devices]
        for name, label in KINDS[kind].line_labels.items():
            shown = {device: devices[device] for device in sorted(chosen)}
            heading = f"{kind}: {len(shown)} of {len(devices)} devices" if len(shown) < len(devices) else kind
            windows = [
                fault for fault in faults if fault.device_id in shown and (not fault.fields or name in fault.fields)
            ]
            panels.append((2.4, _series_panel(heading, name, label, shown, windows, colours)))
    return panels


def _series_panel(
    heading: str,
    name: str,
    label: str,
    devices: dict[str, Series],
    faults: Sequence[FaultWindow],
    colours: Mapping[str, str],
) -> Panel:
    def panel(axis: Axes) -> None:
        first = min(series.times[0] for series in devices.values())
        last = max(series.times[-1] for series in devices.values())
        for device, series in devices.items():
            times, values = _with_gaps(series, name)
            axis.plot(times, values, linewidth=0.9, label=device, marker="." if len(series.times) < 50 else None)
        _shade(axis, faults, colours, first, last)
        axis.set_title(heading, loc="left", fontsize="small")
        axis.set_ylabel(label, fontsize="small")
        axis.grid(alpha=0.25)
        axis.xaxis_date()
        locator = axis.xaxis.get_major_locator()
        axis.xaxis.set_major_formatter(_DATE_FORMATTER(locator))
        axis.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize="x-small", frameon=False)

    return panel


def _shade(axis: Axes, faults: Sequence[FaultWindow], colours: Mapping[str, str], first_ms: int, last_ms: int) -> None:
    """Shade the times of faults; the legend names each type, and whom it befell."""
    for type_, colour in colours.items():
        befallen, spans = set(), []
        for fault in faults:
            begin = max(fault.start_ms, first_ms)
            end = last_ms if fault.end_ms is None else min(fault.end_ms, last_ms)
            if fault.type == type_ and begin < end:
                befallen.add(fault.device_id)
                spans.append(axis.axvspan(_date(begin), _date(end), color=colour, alpha=0.18, linewidth=0))
        if spans:
            whom = next(iter(befallen)) if len(befallen) == 1 else f"{len(befallen)} devices"
            spans[0].set_label(f"{type_}: {whom}")


def _with_gaps(series: Series, name: str) -> tuple[list[float], list[float]]:
    """Return the points of a line, with a break at every null and where the device was silent."""
    steps = np.diff(series.times)
    long_gap_ms = series.long_gap_ms()
    times: list[float] = []
    values: list[float] = []
    for number, (time_ms, value) in enumerate(zip(series.times, series.values[name], strict=True)):
        if number and steps[number - 1] > long_gap_ms:
            times.append(_date(time_ms - 1))
            values.append(math.nan)
        times.append(_date(time_ms))
        values.append(math.nan if value is None else value)
    return times, values


def _profile_panels(recording: Recording) -> list[tuple[float, Panel]]:
    profiles = ((kind, KINDS[kind].plot_profile) for kind in KINDS if kind in recording.kinds)
    return [
        (2.6, _profile_panel(kind, profile[1], list(recording.kinds[kind].values())))
        for kind, profile in profiles
        if profile is not None
    ]


def _profile_panel(kind: str, label: str, devices: Sequence[Series]) -> Panel:
    """Draw means by hour of day, of working days and of weekends; hours that were seen in part do not count."""
    sums: dict[tuple[bool, int], list[float]] = {}
    for series in devices:
        hours = series.hours
        interval = float(np.median(np.diff(series.times))) if len(series.times) > 1 else 0.0
        first, last = series.times[0] - interval, series.times[-1] + interval
        seen = [hour for hour in hours if first <= hour * 3_600_000 and (hour + 1) * 3_600_000 <= last]
        for hour in seen or hours:
            is_weekend = datetime.fromtimestamp(hour * 3600, UTC).weekday() >= 5
            sums.setdefault((is_weekend, hour % 24), []).append(hours[hour])

    def panel(axis: Axes) -> None:
        both = len({weekend for weekend, _ in sums}) == 2
        for is_weekend, text, shift in ((False, "Monday to Friday", -0.2), (True, "Saturday and Sunday", 0.2)):
            found = {hour: float(np.mean(values)) for (weekend, hour), values in sums.items() if weekend is is_weekend}
            if found:
                middles = [hour + shift * both for hour in found]
                colour = "C1" if is_weekend else "C0"
                axis.bar(middles, list(found.values()), width=0.4 if both else 0.8, color=colour, label=text)
        axis.set_title(f"{kind}: by hour of day (UTC)", loc="left", fontsize="small")
        axis.set_ylabel(label, fontsize="small")
        axis.set_xlim(-0.6, 23.6)
        axis.set_xticks(range(0, 24, 3), [f"{hour:02d}:00" for hour in range(0, 24, 3)])
        axis.grid(alpha=0.25, axis="y")
        axis.legend(fontsize="x-small", frameon=False)

    return panel


def _date(time_ms: int) -> float:
    """Return a time as matplotlib counts it: days since 1970."""
    return time_ms / 86_400_000
