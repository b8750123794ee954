"""Puts the faults of a run on a time line: each where they are few, and how many at a time where they are many.

Rare days are labelled as faults are, and have a time line of their own.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate, islice, pairwise

from devices.faults.labels import Label
from devices.faults.rare_day_labels import RARE_DAY_TYPES
from edgefleet.report.html.charts import Block, time_line
from edgefleet.report.html.markup import Markup, element, join, show_number
from edgewire.run_record import RunRecord

MOST_LABELS = 200_000
FEW = 40
"""So many of one type are drawn one by one."""
STEPS = 120
"""Of more, how many there are in each of so many parts of the run."""

Span = tuple[float, float, str]
"""Start and end (s since the start of the run), and the device."""


def show_faults(record: RunRecord, labels: Iterable[Label], end_s: float) -> Markup:
    """Return the faults of a run by type, over its time, and its rare days below them."""
    spans: dict[str, list[Span]] = defaultdict(list)
    messages: dict[str, int] = defaultdict(int)
    iterator = iter(labels)
    for label in islice(iterator, MOST_LABELS):
        start_s, stop_s = _elapsed_s(record, label.start_ms), end_s
        if label.end_ms is not None:
            stop_s = min(end_s, _elapsed_s(record, label.end_ms))
        messages[label.type] += label.messages
        if start_s <= end_s and stop_s >= 0:
            spans[label.type].append((max(0.0, start_s), max(stop_s, 0.0), label.device_id))
    cut = ""
    if next(iterator, None) is not None:
        cut = element("p", f"Of the labels, the first {show_number(MOST_LABELS)} are shown.", class_="quiet")
    faults: list[tuple[str, list[Block]]] = []
    rare_days: list[tuple[str, list[Block]]] = []
    for name, found in sorted(spans.items()):
        devices = _count(len({device for *_, device in found}), "device")
        row = (
            f"{name} · {devices}, {_count(messages[name], 'message')}",
            _each(found) if len(found) <= FEW else _density(found, end_s),
        )
        (rare_days if name in RARE_DAY_TYPES else faults).append(row)
    if messages.keys() - RARE_DAY_TYPES:
        shown = [time_line("Faults of the scenario", faults, end_s)]
    else:
        shown = [element("p", "No fault of the scenario fell into this run.", class_="quiet")]
    if rare_days:
        shown.append(time_line("Rare days", rare_days, end_s))
    return join([*shown, cut])


def _elapsed_s(record: RunRecord, at_ms: int) -> float:
    return record.device_time.elapsed_ms(at_ms) / 1000


def _each(spans: Iterable[Span]) -> list[Block]:
    return [Block(start, end, 0.6, f"{device}, {start:.1f} s to {end:.1f} s") for start, end, device in sorted(spans)]


def _density(spans: list[Span], end_s: float) -> list[Block]:
    step_s = (end_s or 1) / STEPS
    changes = [0] * (STEPS + 1)
    for start, end, _ in spans:
        first = min(STEPS - 1, int(start / step_s))
        changes[first] += 1
        changes[max(first + 1, min(STEPS, int(end / step_s) + 1))] -= 1
    active = list(accumulate(changes))
    most = max(active)
    edges = [0, *(at for at in range(1, STEPS) if active[at] != active[at - 1]), STEPS]
    return [
        Block(first * step_s, last * step_s, active[first] / most,
              f"{active[first]:,} at a time, {first * step_s:.1f} s to {last * step_s:.1f} s")
        for first, last in pairwise(edges)
        if active[first]
    ]  # fmt: skip


def _count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"
