"""Draws charts: the marks as SVG that is stretched to the width there is, their words as text that is not.

So a chart can be read on a telephone and on paper alike. Each has a sentence that says what can be seen in it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgefleet.report.html.markup import Markup, element, join, show_ms, show_number

WIDTH, HEIGHT = 1000, 100
"""Of the drawing, in its own units."""

_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Line:
    """Holds a series of a chart: (seconds, value) in the order of time."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = "a"
    """`a` or `b`, and `bad` for what should not be."""


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


def line_chart(title: str, lines: Sequence[Line], end_s: float, unit: str = "") -> Markup:
    """Return lines over the time of a run, from 0 to `end_s` seconds."""
    lines = [line for line in lines if line.points]
    top = _ceiling(max((value for line in lines for _, value in line.points), default=0))
    marks = [
        element("line", class_="grid", x1=0, x2=WIDTH, y1=_y(step, top), y2=_y(step, top)) for step in _halves(top)
    ]
    for line in lines:
        places = [f"{_x(at, end_s)},{_y(value, top)}" for at, value in line.points]
        if len(lines) == 1:
            first, last = (_x(line.points[at][0], end_s) for at in (0, -1))
            area = " ".join([f"{first},{HEIGHT}", *places, f"{last},{HEIGHT}"])
            marks.append(element("polygon", points=area, class_=f"area {line.colour}"))
        # A single point has no line to be seen by.
        places = places if len(places) > 1 else [f"0,{_y(line.points[0][1], top)}", *places]
        marks.append(element("polyline", points=" ".join(places), class_=f"line {line.colour}"))
    seen = [_sum_up(line, unit) for line in lines]
    return _chart(title, lines, marks, [(show_number(step), step / top) for step in _halves(top)],
                  _seconds_ticks(end_s), f"{title}. " + " ".join(seen))  # fmt: skip


def histogram(title: str, bars: Sequence[Bar], marked: Mapping[str, float | None]) -> Markup:
    """Return a histogram over a logarithmic axis; `marked` are percentiles (ms), each drawn as a line."""
    bars = [bar for bar in bars if bar.count]
    low, high = _decades(bars)
    top = max((bar.count for bar in bars), default=1)

    def place(milliseconds: float) -> float:
        value = math.log10(max(milliseconds, low) / low) / math.log10(high / low)
        return round(WIDTH * min(1.0, value), 1)

    marks = []
    for bar in bars:
        start, end = place(bar.low_ms), place(bar.high_ms)
        height = max(1.0, round(HEIGHT * bar.count / top, 1))
        said = f"{show_ms(bar.low_ms)} – {show_ms(bar.high_ms)}: {show_number(bar.count)}"
        rect = {"x": start, "y": HEIGHT - height, "width": round(max(1.0, end - start - 1.5), 1), "height": height}
        marks.append(element("g", element("title", said), element("rect", class_="bar", **rect)))
    given = {name: value for name, value in marked.items() if value is not None}
    marks += [
        element("line", class_="mark", x1=place(value), x2=place(value), y1=0, y2=HEIGHT) for value in given.values()
    ]
    decades = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    ticks = [(show_ms(10.0**power), place(10.0**power) / WIDTH) for power in decades]
    values = ", ".join(f"{name} {show_ms(value)}" for name, value in given.items())
    count = sum(bar.count for bar in bars)
    said = f"{title}. {show_number(count)} values{f'; {values}' if values else ''}."
    heights = [(show_number(count), share) for count, share in ((0, 0.0), (top, 1.0))]
    return _chart(title, [], marks, heights, ticks, said, note=values)


def time_line(title: str, rows: Sequence[tuple[str, Sequence[Block]]], end_s: float) -> Markup:
    """Return rows of blocks over the time of a run."""
    lines = []
    for name, blocks in rows:
        marks = []
        for block in blocks:
            start, end = _x(block.start_s, end_s), _x(block.end_s, end_s)
            rect = {"x": start, "y": 0, "width": round(max(2.0, end - start), 1), "height": HEIGHT}
            opacity = round(0.3 + 0.7 * block.weight, 2)
            marks.append(
                element("g", element("title", block.title), element("rect", class_="fault", opacity=opacity, **rect))
            )
        lines.append(element("div", element("span", name, class_="row"), _svg(marks), class_="lane"))
    said = f"{title}. " + " ".join(
        f"{name}: {', '.join(block.title for block in blocks[:3])}{', …' if len(blocks) > 3 else ''}."
        for name, blocks in rows
    )
    axis = element("div", _ticks(_seconds_ticks(end_s)), class_="xs lanes")
    plot = element("div", *lines, axis, class_="timeline", role="img", aria_label=said)
    return element("figure", element("figcaption", element("b", title)), plot, class_="chart")


def sparkline(values: Sequence[float], said: str) -> Markup:
    """Return a small line without axes, for a cell of a table."""
    top = max(values, default=0) or 1
    step = WIDTH / max(1, len(values) - 1)
    points = " ".join(
        f"{round(step * at, 1)},{round(HEIGHT * (1 - value / top), 1)}" for at, value in enumerate(values)
    )
    line = element("polyline", points=points, class_="line a") if len(values) > 1 else ""
    return element("span", _svg([line]), class_="spark", role="img", aria_label=said)


def _chart(
    title: str,
    legend: Sequence[Line],
    marks: Iterable[Markup],
    heights: Iterable[tuple[str, float]],
    ticks: Iterable[tuple[str, float]],
    said: str,
    note: str = "",
) -> Markup:
    keys = [element("span", element("i", class_=line.colour), line.name, class_="key") for line in legend]
    caption = element("figcaption", element("b", title), *keys, element("span", note, class_="key") if note else "")
    left = [element("span", name, style=f"bottom:{100 * share:.1f}%") for name, share in heights]
    plot = element(
        "div",
        element("div", *left, class_="ys", aria_hidden="true"),
        _svg(marks),
        element("div", _ticks(ticks), class_="xs", aria_hidden="true"),
        class_="plot",
        role="img",
        aria_label=said,
    )
    return element("figure", caption, plot, class_="chart")


def _svg(marks: Iterable[object]) -> Markup:
    return element("svg", *marks, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", aria_hidden="true")


def _ticks(ticks: Iterable[tuple[str, float]]) -> Markup:
    # The first and the last are kept within the drawing.
    return join(
        element(
            "span",
            name,
            class_="first" if share < 0.03 else "last" if share > 0.97 else None,
            style=f"left:{100 * share:.1f}%",
        )
        for name, share in ticks
    )


def _x(at_s: float, end_s: float) -> float:
    return round(WIDTH * min(1.0, max(0.0, at_s / end_s if end_s else 0.0)), 1)


def _y(value: float, top: float) -> float:
    return round(HEIGHT * (1 - value / top), 2)


def _halves(top: float) -> list[float]:
    return [0, top / 2 if top % 2 else top // 2, top]


def _ceiling(value: float) -> float:
    """Return the round number that is not below the value."""
    if value <= 1:
        return 1
    size = 10 ** math.floor(math.log10(value))
    return next(int(step * size) for step in (1, 2, 4, 5, 6, 8, 10) if step * size >= value)


def _seconds_ticks(end_s: float) -> list[tuple[str, float]]:
    if end_s <= 0:
        return [("0 s", 0.0)]
    days = math.ceil(end_s / 86400 / 5) * 86400
    step = next((step for step in _STEPS_S if end_s / step <= 5), days)
    return [(_clock(at * step), at * step / end_s) for at in range(int(end_s / step) + 1)]


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _decades(bars: Sequence[Bar]) -> tuple[float, float]:
    """Return where the axis begins and ends (ms): at least one power of ten, and as much as the bars need."""
    if not bars:
        return 1, 100
    low, high = min(max(0.01, bar.low_ms) for bar in bars), max(bar.high_ms for bar in bars)
    while high / low < 10:
        low, high = low / 1.5, high * 1.5
    return low, high


def _sum_up(line: Line, unit: str) -> str:
    values = [value for _, value in line.points]
    shown: Callable[[float], str] = lambda value: show_number(round(value, 1 if value < 10 else None))  # noqa: E731
    return f"{line.name}: from {shown(min(values))} to {shown(max(values))}{unit}, at the end {shown(values[-1])}."
