"""Puts charts into a report: what they show as JSON, which `charts.js` draws as on the page of a run, and a table.

The table says the same in fewer numbers, to whoever runs no script or sees no picture.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from edgefleet.report.html.markup import Markup, element, join, plain_text, show_ms, show_number, table
from edgefleet.report.status_series import StatusSeries

ROWS = 20
"""Of a table beside a chart, about."""
MOST_STATES = 400
"""Of a run that are drawn."""

_OF_STATE = (
    *("at_ms", "emitted_per_s", "sent_per_s", "lag_ms", "puback_ms", "buffered", "inflight", "devices", "connected"),
    *("refused", "dropped", "reconnects", "takeovers", "faults", "broker_is_away"),
)
_OF_SINK = ("sink", "breaker", "delivered_per_s", "retries_per_s", "pending", "dead_letters")


@dataclass(frozen=True, slots=True)
class Line:
    """Holds a series of a chart: (seconds, value) in the order of time."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = "blue"
    """Of `charts.css`."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Counts the values between two lengths of time (ms); the lower one is left out of it."""

    low_ms: float
    high_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class Block:
    """Marks a time (s) on a time line; `weight`, 0 to 1, is how much is going on in it."""

    start_s: float
    end_s: float
    weight: float
    title: str


def line_chart(title: str, lines: Sequence[Line], end_s: float) -> Markup:
    """Return lines over the time of a run, from 0 to `end_s` seconds."""
    lines = [line for line in lines if line.points]
    series = [
        {"name": one.name, "colour": one.colour, "points": [[round(1000 * at), value] for at, value in one.points]}
        for one in lines
    ]
    step_s = (end_s or 1) / ROWS
    rows = []
    for number in range(ROWS):
        found = [_highest(line, number * step_s, (number + 1) * step_s, number + 1 == ROWS) for line in lines]
        if any(value is not None for value in found):
            rows.append([_elapsed((number + 1) * step_s), *(_rounded(value) for value in found)])
    figures = table("The highest values up to each time", ["until", *(line.name for line in lines)], rows)
    return _figure(title, {"type": "lines", "series": series, "to": round(1000 * end_s)}, figures)


def thin_states(states: Iterable[dict[str, Any]], most: int = MOST_STATES) -> list[dict[str, Any]]:
    """Return the states of a run as so many at the most, merged evenly."""
    series = StatusSeries(head={}, states=[*states])
    series.condense(most)
    return series.states


def run_charts(states: Iterable[dict[str, Any]], started_ms: int, stopped_ms: int) -> Markup:
    """Return the charts of a run over its time, as its page has them, by its states (`StatusSeries`)."""
    drawn = [_drawn_state(one) for one in thin_states(states)]
    rows = [
        [
            _elapsed((one["at_ms"] - started_ms) / 1000),
            *(_rounded(one[name]) for name in ("emitted_per_s", "sent_per_s")),
            *(_rounded(one[name]["p99"]) for name in ("lag_ms", "puback_ms")),
            *(show_number(one[name]) for name in ("buffered", "connected", "reconnects", "refused", "dropped")),
            "yes" if one["broker_is_away"] else "no",
        ]
        for one in thin_states(states, ROWS)
    ]
    head = [
        "until",
        "taken a second",
        "sent a second",
        "late 99 % (ms)",
        "PUBACK 99 % (ms)",
        "in outboxes",
        "connected",
    ]
    figures = table("The run in parts", [*head, "reconnections", "refused", "dropped", "broker away"], rows)
    chart = {"type": "run", "states": drawn, "from": started_ms, "to": max(stopped_ms, started_ms + 1)}
    return join([element("div", class_="charts", data_chart=""), _data(chart), _folded(figures)])


def histogram(title: str, bars: Sequence[Bar], marked: Mapping[str, float | None]) -> Markup:
    """Return a histogram over a logarithmic axis; `marked` are percentiles (ms), each drawn as a line."""
    bars = [bar for bar in bars if bar.count]
    if not bars:
        return Markup()
    each = math.ceil(len(bars) / ROWS)
    parts = [bars[at : at + each] for at in range(0, len(bars), each)]
    rows = [
        [f"{show_ms(part[0].low_ms)} to {show_ms(part[-1].high_ms)}", show_number(sum(bar.count for bar in part))]
        for part in parts
    ]
    rows += [[name, show_ms(value)] for name, value in marked.items() if value is not None]
    drawn = [{"low": bar.low_ms, "high": bar.high_ms, "count": bar.count} for bar in bars]
    return _figure(
        title, {"type": "bars", "bars": drawn, "marks": [*marked.items()]}, table(title, ["", "values"], rows)
    )


def time_line(title: str, rows: Sequence[tuple[str, Sequence[Block]]], end_s: float) -> Markup:
    """Return rows of blocks over the time of a run."""
    drawn = [
        {
            "name": name,
            "spans": [
                {"from": 1000 * one.start_s, "to": 1000 * one.end_s, "weight": round(one.weight, 2), "title": one.title}
                for one in blocks
            ],
        }
        for name, blocks in rows
    ]
    said = [
        [name, "; ".join([*(one.title for one in blocks[:ROWS]), *(["…"] if len(blocks) > ROWS else [])])]
        for name, blocks in rows
    ]
    figures = table(title, ["fault", "when"], said, names=2)
    return _figure(title, {"type": "spans", "rows": drawn, "to": round(1000 * end_s)}, figures)


def sparkline(values: Sequence[float], said: str) -> Markup:
    """Return a small line without axes, for a cell of a table; `said` stands for it."""
    chart = {"type": "spark", "title": said, "values": [round(value, 2) for value in values]}
    return element("span", _picture(said), _data(chart), element("noscript", said), class_="spark")


def _figure(title: str, chart: dict[str, Any], figures: Markup) -> Markup:
    data = _data({"title": title, **chart})
    return element("figure", element("figcaption", title), _picture(title), data, _folded(figures))


def _picture(title: str) -> Markup:
    return element("svg", class_="chart", role="img", aria_label=title, data_chart="")


def _folded(figures: Markup) -> Markup:
    return element("details", element("summary", "The same as a table"), figures)


def _data(chart: dict[str, Any]) -> Markup:
    """Return data for the script of the page; nothing in it ends its element (HTML 4.12.1.3)."""
    text = orjson.dumps(_cleaned(chart)).decode()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return element("script", Markup(text), type="application/json")


def _cleaned(value: Any) -> Any:
    """Return a value with its texts as they may stand in a page."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, Mapping):
        return {plain_text(key): _cleaned(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one) for one in value]
    return value


def _drawn_state(state: Mapping[str, Any]) -> dict[str, Any]:
    bridge = state.get("bridge")
    drawn: dict[str, Any] = {name: state[name] for name in _OF_STATE} | {"bridge": None}
    if bridge:
        sinks = [{name: one[name] for name in _OF_SINK} for one in bridge["sinks"]]
        drawn["bridge"] = {"received_per_s": bridge["received_per_s"], "sinks": sinks}
    return drawn


def _highest(line: Line, start_s: float, end_s: float, is_last: bool) -> float | None:
    return max((value for at, value in line.points if start_s <= at < end_s or (is_last and at >= end_s)), default=None)


def _rounded(value: float | None) -> str:
    return show_number(None if value is None else round(value, 1 if abs(value) < 10 else None))


def _elapsed(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
