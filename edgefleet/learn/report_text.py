"""Writes the comparison for people, in at most 80 columns."""

from collections.abc import Iterator, Sequence

from edgefleet.learn.comparison import FieldComparison, PartComparison
from edgefleet.learn.learned import LearnedFleet
from edgefleet.learn.moments import Moments

WIDTH = 80
_NAME = 20
_HEAD = f"  {'':<{_NAME}} {'':<8} {'from':>9} {'to':>9} {'mean':>9} {'sd':>9} {'lag 1':>6}"


def report_lines(fleet: LearnedFleet, parts: Sequence[PartComparison], devices: int) -> Iterator[str]:
    """Yield the lines of the summary; `devices` are those of the scenario."""
    yield f"{fleet.read:,} messages in {fleet.seconds:,.0f} s: {fleet.used:,} learned of, {fleet.unused.total:,} not"
    if fleet.stopped_at:
        yield f"no more was read after {fleet.stopped_at}"
    yield from _wrapped(fleet.unused.lines(), "not learned of, ")
    for reason, count in fleet.remarks.items():
        yield from _wrapped([f"{count:,} {reason}"], "")
    yield f"{fleet.devices:,} devices in {len(fleet.groups)} groups; the scenario has {devices:,}"
    for part in parts:
        yield ""
        spoken = part.dialect or "a format of its own"
        yield f"{part.group}: {part.devices:,} devices, {part.messages:,} messages, {spoken}"
        for topic in part.topics:
            yield f"  {topic}"[:WIDTH]
        (seen, seen_sd), (said, said_sd) = part.captured_gaps, part.emulated_gaps
        yield f"  every {seen:.4g} s (sd {seen_sd:.2g}); emulated every {said:.4g} s (sd {said_sd:.2g})"
        numbers = [one for one in part.fields if one.captured is not None]
        if numbers:
            yield _HEAD
        for one in part.fields:
            yield from _field_lines(one)


def _field_lines(one: FieldComparison) -> Iterator[str]:
    if one.captured is None:
        yield f"  {one.name[:_NAME]:<{_NAME}} {one.says}"[:WIDTH]
        return
    yield f"  {one.name[:_NAME]:<{_NAME}} captured{_numbers(one.captured)}"
    if one.emulated is not None:
        yield f"  {'':<{_NAME}} emulated{_numbers(one.emulated)}"


def _numbers(found: Moments) -> str:
    cells = [f" {_short(value):>9}" for value in (found.low, found.high, found.mean, found.deviation)]
    lag = "–" if found.lags[0] is None else f"{found.lags[0]:.2f}"
    return "".join(cells) + f" {lag:>6}"


def _short(value: float) -> str:
    text = f"{value:.5g}"
    return text if len(text) <= 9 else f"{value:.2g}"


def _wrapped(lines: Sequence[str], before: str) -> Iterator[str]:
    import textwrap

    for line in lines:
        yield from textwrap.wrap(before + line, WIDTH, subsequent_indent="    ")
