"""The table of runs in docs/reliability.md."""

import os
import platform
from collections import defaultdict
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.checker import Verdict
from tests.chaos.run import Fault, Result

BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
_HEAD = (
    "fault",
    "runs",
    "kills",
    "other faults",
    "messages",
    "lost",
    "duplicates in HTTP",
    "duplicates in Kafka",
    "out of order",
    "ledgers unbalanced",
    "failed",
)


def table(faults: Sequence[Fault], results: Sequence[Result], seed: int, seconds: float) -> list[str]:
    """A row for every fault that was run, and their sum. Where duplicates are barred, the cell says so."""
    by_fault: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_fault[result.fault].append(result)
    rows = [
        [f"`{fault.name}`: {fault.text}", *_cells(by_fault[fault.name], fault)]
        for fault in faults
        if fault.name in by_fault
    ]
    rows.append(["**all**", *_cells(list(results), None)])
    return [
        f"{len(results)} runs in {seconds / 60:.0f} minutes on {datetime.now(UTC):%Y-%m-%d}, seed {seed},"
        f" {os.cpu_count()} cores of {_processor()}, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}.{_not_drawn(faults, by_fault)}",
        "",
        "| " + " | ".join(_HEAD) + " |",
        "|---|" + "---:|" * (len(_HEAD) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def write_into(document: Path, lines: Sequence[str], begin: str = BEGIN, end: str = END) -> None:
    """Put a table between two markers of the document."""
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{document} has no '{begin}' … '{end}' to write the table between")
    body = "\n".join(["", *lines, ""])
    document.write_text(f"{before}{begin}\n{body}\n{end}{after}", encoding="utf-8")


def _cells(results: Sequence[Result], fault: Fault | None) -> list[str]:
    verdicts = [result.verdict for result in results]
    http = f"{sum(verdict.http_duplicates for verdict in verdicts):,}"
    kafka = f"{sum(verdict.kafka_duplicates for verdict in verdicts):,}"
    return [
        f"{len(results):,}",
        f"{sum(result.kills for result in results):,}",
        f"{sum(result.injected for result in results):,}",
        f"{sum(verdict.must for verdict in verdicts):,}",
        f"{sum(verdict.lost for verdict in verdicts):,}" + _taken(verdicts),
        http if fault is None or fault.promise.http else f"{http} (none allowed)",
        kafka if fault is None or fault.promise.kafka else f"{kafka} (none allowed)",
        f"{sum(verdict.out_of_order for verdict in verdicts):,}",
        f"{sum(verdict.unbalanced for verdict in verdicts):,}",
        f"{sum(not verdict.ok for verdict in verdicts):,}",
    ]


def _not_drawn(faults: Sequence[Fault], drawn: Container[str]) -> str:
    """Say of which faults there is no row, where the time was over before their turn."""
    left = [f"`{fault.name}`" for fault in faults if fault.name not in drawn]
    return f" Not drawn this time: {', '.join(left)}." if left else ""


def _taken(verdicts: Sequence[Verdict]) -> str:
    """Say what is gone with spools that were taken away."""
    taken = sum(verdict.taken for verdict in verdicts)
    return f" (and {taken:,} with the spool)" if taken else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
