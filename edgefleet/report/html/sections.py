"""Makes the parts that the report of a run and that of its verification share, from the run record."""

import os
import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import log
from typing import Any

from edgefleet import __version__
from edgefleet.doctor.machine import Machine
from edgefleet.report.html.charts import Bar, run_charts
from edgefleet.report.html.markup import Markup, element, figure_cell, join, show_ms, show_number, table
from edgefleet.report.html.page import facts
from edgefleet.version import describe_version
from edgewire.clock import iso_ms
from edgewire.run_record import DeviceRecord, RunRecord, count_seqs

DEVICES_SHOWN = 50

CAUSES: tuple[tuple[str, Callable[[DeviceRecord], int]], ...] = (
    ("dropped by full outboxes", lambda device: count_seqs(device.dropped) - device.dropped_by_fault),
    ("dropped by faults or resets", lambda device: device.dropped_by_fault),
    ("still in outboxes at the end", lambda device: count_seqs(device.unsent) - count_seqs(device.unacknowledged)),
    ("sent and never acknowledged", lambda device: count_seqs(device.unacknowledged)),
)
"""What becomes of messages that do not arrive, other than that the broker refuses them."""


def show_causes(record: RunRecord, more: Iterable[tuple[str, Mapping[str, int | None]]] = ()) -> Markup:
    """Return what did not leave or arrive as it should, by cause and kind; `more` has further causes by kind."""
    kinds = sorted({device.kind for device in record.devices})
    counts: dict[str, dict[str, int | None]] = defaultdict(dict)
    for kind, reasons in record.refused.items():
        for reason, count in reasons.items():
            counts[f"refused by the broker: {reason}"][kind] = count
    for name, count_device in CAUSES:
        of_kinds: Counter[str] = Counter()
        for device in record.devices:
            of_kinds[device.kind] += count_device(device)
        if of_kinds.total():
            counts[name].update(of_kinds)
    counts.update({name: dict(of_kinds) for name, of_kinds in more if any(of_kinds.values())})
    if not counts:
        return element("p", "Nothing was refused, dropped, lost or late.", class_="quiet")
    rows = []
    for name, by_kind in counts.items():
        total = sum(count or 0 for count in by_kind.values())
        rows.append([name, *(show_number(by_kind.get(kind) or 0) for kind in kinds), show_number(total)])
    return table("Messages by cause and kind of device", ["cause", *kinds, "all"], rows)


def show_course(record: RunRecord, states: Sequence[dict[str, Any]]) -> Markup:
    """Return how a run was over its time, by what it has told of itself meanwhile."""
    if not states:
        return element("p", "The run has left no time line in its folder.", class_="quiet")
    return run_charts(states, record.started_ms, max(record.stopped_ms, states[-1]["at_ms"]))


def show_devices(record: RunRecord, sinks: Mapping[str, Mapping[str, int]] | None = None) -> Markup:
    """Return the devices with the most messages in trouble; `sinks` has how many are missing of each, by sink."""
    sinks = sinks or {}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    kinds = {}
    for device in record.devices:
        trouble = found[device.device_id]
        kinds[device.device_id] = device.kind
        trouble["refused"] += count_seqs(device.refused_ranges)
        for name, count_device in CAUSES:
            trouble[name] += count_device(device)
        trouble["reconnects"] += device.reconnects
    for sink, missing in sinks.items():
        for device_id, count in missing.items():
            found[device_id][f"lost in {sink}"] += count
    troubled = [name for name, trouble in found.items() if any(trouble.values())]
    if not troubled:
        of = f"None of {len(kinds):,} devices lost a message or its connection." if kinds else "There was no device."
        return element("p", of, class_="quiet")

    def weight(device_id: str) -> tuple[int, int, str]:
        trouble = found[device_id]
        return -(trouble.total() - trouble["reconnects"]), -trouble["reconnects"], device_id

    troubled.sort(key=weight)
    every = [*(f"lost in {sink}" for sink in sinks), "refused", *(name for name, _ in CAUSES), "reconnects"]
    columns = [name for name in every if any(found[device_id][name] for device_id in troubled)]
    rows = [
        [element("code", name), kinds[name], *(show_number(found[name][column]) for column in columns)]
        for name in troubled[:DEVICES_SHOWN]
    ]
    more = len(troubled) - len(rows)
    caption = f"{len(troubled):,} of {len(kinds):,} devices"
    caption += f"; the {len(rows)} with the most messages, and {more:,} more that are not listed" if more else ""
    return table(caption, ["device", "kind", *columns], rows, names=2)


def show_about(record: RunRecord, more: Iterable[tuple[str, object]] = (), *, made_on: str) -> Markup:
    """Return what identifies the run, and the versions and the machine with which this page was made."""
    duration_ms = record.stopped_ms - record.started_ms
    shards = "" if record.shards == [(0, 1)] else ", ".join(f"{index}/{count}" for index, count in record.shards)
    limits = [
        f"{name.removesuffix('_s').replace('_', ' ')} {show_ms(1000 * value) if name.endswith('_s') else f'{value:,}'}"
        for name, value in record.limits.items()
        if isinstance(value, int | float) and value != float("inf")
    ]
    return facts(
        [
            ("Run", element("code", record.run_id)),
            ("Scenario", element("code", record.scenario)),
            ("SHA-256 of the scenario", element("code", record.scenario_sha256 or "not recorded")),
            ("Seed", str(record.seed)),
            ("Broker", element("code", record.broker)),
            ("Devices", f"{record.device_count:,}"),
            ("Shards", shards),
            ("Began", iso_ms(record.started_ms)),
            ("Ended", f"{iso_ms(record.stopped_ms)} (after {show_ms(duration_ms)})"),
            ("Limits", ", ".join(limits)),
            (
                "Devices' time",
                ""
                if record.time_scale == 1 and record.sim_started_ms == record.started_ms and not record.time_changes
                else f"from {iso_ms(record.sim_started_ms)}"
                + (f", {record.time_scale:g} times as fast as the clock" if record.time_scale != 1 else "")
                + "".join(f", {one.time_scale:g} times from {iso_ms(one.at_ms)}" for one in record.time_changes),
            ),
            *more,
            ("edgefleet", f"{describe_version()}, Python {platform.python_version()}"),
            (made_on, _machine()),
        ]
    )


def show_footer() -> Markup:
    """Return when and by what the page was made."""
    return element("footer", f"Made by edgefleet {__version__} at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC. "
                             "This page is complete in itself: it loads nothing.")  # fmt: skip


def group_buckets(histogram: Mapping[str, object]) -> list[Bar]:
    """Return the buckets of a histogram in a run record, two and two together; they grow by the same ratio."""
    buckets = histogram.get("buckets")
    edges = [(float(edge), int(count)) for edge, count in buckets] if isinstance(buckets, list) else []
    ratio = 1.1001  # of the histogram: from 0.1 ms to 1,000 s in 170 edges
    bars: dict[int, tuple[float, int]] = {}
    for edge, count in edges:
        place = _place(edge) // 2
        bars[place] = (max(edge, bars.get(place, (0.0, 0))[0]), count + bars.get(place, (0.0, 0))[1])
    return [Bar(high / ratio**2, high, count) for _, (high, count) in sorted(bars.items())]


def percentiles(histogram: Mapping[str, object]) -> dict[str, float | None]:
    """Return the percentiles of a histogram in a run record, as far as it has them."""
    found = {name: histogram.get(name) for name in ("p50", "p95", "p99")}
    return {name: float(value) if isinstance(value, int | float) else None for name, value in found.items()}


def show_first(ids: Sequence[str], count: int) -> Markup:
    """Return the first of `count` ids."""
    more = ", …" if count > len(ids) else ""
    return join([join(element("span", ", " if at else "", element("code", one)) for at, one in enumerate(ids)), more])


def total_cells(counts: Iterable[tuple[int | None, str, bool]]) -> list[Markup]:
    """Return cells of (number, where `--json` has it, whether a number above 0 is bad)."""
    return [figure_cell(number, path, state="bad" if bad and number else None) for number, path, bad in counts]


def _place(edge_ms: float) -> int:
    return round(log(max(edge_ms, 0.1) / 0.1) / (log(1e7) / 169))


def _machine() -> str:
    machine = Machine.read()
    memory = "" if machine.memory_bytes is None else f", {machine.memory_bytes / 2**30:.1f} GiB of memory free"
    of = f" of {os.cpu_count()}" if os.cpu_count() != machine.cores else ""
    return f"{platform.system()} {platform.release()}, {platform.machine()}, {machine.cores:g}{of} processors{memory}"
