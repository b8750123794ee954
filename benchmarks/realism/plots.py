"""Pictures of real series beside emulated ones, as SVG."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.realism.weather_statistics import dew_point

_REAL, _EMULATED = "#1f77b4", "#d95f02"
# The same file from the same numbers. (Matplotlib's own type lists every key that it knows.)
_STYLE: Any = {
    "svg.hashsalt": "edgefleet",
    "font.size": 8,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.fonttype": "none",
}


def draw_fortnights(path: Path, name: str, real: pd.DataFrame, emulated: pd.DataFrame) -> None:
    """Draw two weeks of January and of July of both stations."""
    with mpl.rc_context(_STYLE):
        figure = Figure((9, 5), layout="constrained")
        axes = figure.subplots(3, 2, sharex="col")
        for column, (month, first) in enumerate((("January", "2013-01-10"), ("July", "2013-07-10"))):
            part = slice(first, str(pd.Timestamp(first) + pd.Timedelta(days=13))[:10])
            for row, (title, values) in enumerate(_series(real, emulated)):
                axis = axes[row, column]
                days = np.arange(len(values[0][part])) / 24
                axis.plot(days, values[0][part], color=_REAL, linewidth=0.9, label=f"{name} 2013")
                axis.plot(days, values[1][part], color=_EMULATED, linewidth=0.9, label="emulated")
                axis.set_ylabel(title)
            axes[0, column].set_title(month)
            axes[2, column].set_xlabel("days")
        axes[0, 0].legend(loc="upper right", fontsize=7)
        _save(figure, path)


def draw_spread(path: Path, name: str, real: pd.DataFrame, emulated: pd.DataFrame) -> None:
    """Draw the usual day of July, the changes in three hours, and how much alike hours are that are apart."""
    with mpl.rc_context(_STYLE):
        figure = Figure((9, 2.6), layout="constrained")
        day, change, alike = figure.subplots(1, 3)
        for year, label, colour in ((real, f"{name} 2013", _REAL), (emulated, "emulated", _EMULATED)):
            july = year.temperature_c[year.index.month == 7]
            day.plot(july.groupby(july.index.hour).mean(), color=colour, label=label)
            steps = year.pressure_hpa.diff(3).dropna().abs().sort_values(ascending=False)
            change.loglog(steps.iloc[::10], np.arange(len(steps))[::10] / len(steps) + 1 / len(steps), color=colour)
            lags = np.arange(1, 97)
            alike.plot(lags, [year.pressure_hpa.autocorr(lag) for lag in lags], color=colour)
        day.set(title="temperature in July (°C)", xlabel="hour (UTC)")
        day.legend(fontsize=7)
        change.set(title="pressure, change in 3 h above …", xlabel="hPa", ylabel="share of the hours", xlim=(0.1, 20))
        alike.set(title="pressure, autocorrelation", xlabel="hours")
        _save(figure, path)


def _series(real: pd.DataFrame, emulated: pd.DataFrame) -> list[tuple[str, tuple[pd.Series, pd.Series]]]:
    return [
        ("temperature (°C)", (real.temperature_c, emulated.temperature_c)),
        ("dew point (°C)", (dew_point(real), dew_point(emulated))),
        ("pressure (hPa)", (real.pressure_hpa, emulated.pressure_hpa)),
    ]


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
