"""Writes the comparison into a file: a page for a browser, Markdown, or JSON."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import orjson

from edgefleet.learn.comparison import PartComparison, as_json
from edgefleet.learn.learned import LearnedFleet
from edgefleet.learn.moments import Moments
from edgewire.errors import ConfigError
from edgewire.output import write_output

FORMATS = (".html", ".md", ".json")
_COLUMNS = ("field", "learned", "", "from", "to", "mean", "sd", "lag 1")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ccc}"
    "th:first-child,td:first-child,td:nth-child(2),td:nth-child(3){text-align:left}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}th,td{border-color:#444}}"
)


def check_report(path: Path) -> None:
    """Raise `ConfigError` for a name that tells none of the formats."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"--report {path}: write FILE.html, FILE.md or FILE.json")


def write_report(path: Path, fleet: LearnedFleet, parts: Sequence[PartComparison], counts: Sequence[int]) -> None:
    """Write the comparison; raises `ConfigError` where the file cannot be written."""
    match path.suffix:
        case ".json":
            content = orjson.dumps(as_json(fleet, parts, counts), option=orjson.OPT_INDENT_2) + b"\n"
        case ".md":
            content = ("\n".join(_markdown(fleet, parts, sum(counts))) + "\n").encode()
        case _:
            content = ("\n".join(_page(fleet, parts, sum(counts))) + "\n").encode()
    try:
        write_output(path, content)
    except OSError as error:
        raise ConfigError(f"--report {path}: cannot be written: {error.strerror or error}") from None


def _sentences(fleet: LearnedFleet, devices: int) -> Iterator[str]:
    yield (
        f"{fleet.read:,} messages in {fleet.seconds:,.0f} s: {fleet.used:,} learned of, {fleet.unused.total:,} not."
        f" {fleet.devices:,} devices were seen, and the scenario has {devices:,}."
    )
    if fleet.stopped_at:
        yield f"No more was read after {fleet.stopped_at}."
    yield from (f"Not learned of, {line}" for line in fleet.unused.lines())
    yield from (f"{count:,} {reason}" for reason, count in fleet.remarks.items())


def _heading(part: PartComparison) -> str:
    spoken = part.dialect or "a format of its own"
    return f"{part.group}: {part.devices:,} devices, {part.messages:,} messages, {spoken}"


def _beat(part: PartComparison) -> str:
    (seen, seen_sd), (said, said_sd) = part.captured_gaps, part.emulated_gaps
    return f"Captured every {seen:.4g} s (sd {seen_sd:.2g}), emulated every {said:.4g} s (sd {said_sd:.2g})."


def _rows(part: PartComparison) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a table: two rows a number, and one of what is none."""
    for one in part.fields:
        sides: Mapping[str, Moments | None] = {"captured": one.captured, "emulated": one.emulated}
        if one.captured is None:
            yield one.name, one.says, *[""] * (len(_COLUMNS) - 2)
        for side, found in sides.items():
            if found is not None:
                values = (found.low, found.high, found.mean, found.deviation)
                lag = "–" if found.lags[0] is None else f"{found.lags[0]:.2f}"
                is_first = side == "captured"
                named = (one.name, one.says) if is_first else ("", "")
                yield *named, side, *(f"{value:.5g}" for value in values), lag


def _markdown(fleet: LearnedFleet, parts: Sequence[PartComparison], devices: int) -> Iterator[str]:
    yield "# Captured and emulated\n"
    for line in _sentences(fleet, devices):
        yield f"- {line}"
    for part in parts:
        yield f"\n## {_heading(part)}\n"
        yield from (f"`{topic}`  " for topic in part.topics)
        yield f"{_beat(part)}\n"
        yield f"| {' | '.join(_COLUMNS)} |"
        yield "|---|---|---|" + "---:|" * (len(_COLUMNS) - 3)
        yield from (f"| {' | '.join(row)} |" for row in _rows(part))


def _page(fleet: LearnedFleet, parts: Sequence[PartComparison], devices: int) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><title>Captured and emulated</title>'
    yield f"<style>{_STYLE}</style><h1>Captured and emulated</h1><ul>"
    yield from (f"<li>{escape(line)}</li>" for line in _sentences(fleet, devices))
    yield "</ul>"
    for part in parts:
        yield f"<h2>{escape(_heading(part))}</h2>"
        yield from (f"<p><code>{escape(topic)}</code></p>" for topic in part.topics)
        yield f"<p>{escape(_beat(part))}</p><table>"
        yield _line("th", _COLUMNS)
        yield from (_line("td", row) for row in _rows(part))
        yield "</table>"
    yield "</html>"


def _line(tag: str, cells: Sequence[Any]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
