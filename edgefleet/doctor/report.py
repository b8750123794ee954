"""Tells what the doctor found: to people, and as the reason why a run does not begin."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from edgefleet.doctor.checks import DoctorCheck
from edgefleet.terminal import fit_table, say
from edgewire import logs
from edgewire.errors import EdgefleetError

_MARKS = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]", "failure": "[red]not enough[/red]"}

log = logs.get("doctor")


class NotEnough(EdgefleetError):
    """Says that this machine or a broker has less than the scenario needs, and names what to change."""


def print_checks(checks: Sequence[DoctorCheck], console: Console) -> None:
    """Print a line for each check, then what to change."""
    table = Table(box=None, pad_edge=False)
    for name in ("what", "needed", "there is", ""):
        table.add_column(name, overflow="fold")
    for check in checks:
        table.add_row(check.name, check.need, check.have, _MARKS[check.verdict])
    console.print(fit_table(table, console.width, one_a_line=True))
    for check in checks:
        if check.fix:
            say(console, f"-> {check.name}: {check.fix}")


def require_healthy(checks: Sequence[DoctorCheck]) -> None:
    """Raise `NotEnough` where something is not enough; warnings are logged."""
    failures = [check for check in checks if check.verdict == "failure"]
    if failures:
        said = "; ".join(f"{one.name}: {one.need} needed, {one.have} there (change: {one.fix})" for one in failures)
        raise NotEnough(f"this run would not come up: {said}. --no-check starts it all the same")
    for check in checks:
        if check.verdict == "warning":
            log.warning("may not be enough", what=check.name, need=check.need, have=check.have, change=check.fix)
