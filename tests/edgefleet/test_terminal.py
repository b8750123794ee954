"""On a terminal of any width no figure is cut short, and sentences break between words."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from devices.fleet.metrics import FleetSnapshot
from edgefleet.doctor import DoctorCheck, print_checks
from edgefleet.launch.worker_status import WorkerState
from edgefleet.report.live import FleetView, table
from edgefleet.terminal import echo, fit_table, say
from edgefleet.verify import Counts, Latency, RunVerdict, SinkVerdict, print_verdict

WIDTHS = [60, 80, 120]
MANY = 15_000_000
SENTENCE = "the clocks of the fleet and of the sink differ by about 3 s, and so the latencies of this run mean nothing"


def shown(width: int, draw: object) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    assert callable(draw)
    draw(console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "…" not in text.replace(": , …", "")
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    return lines


@pytest.mark.parametrize("width", WIDTHS)
def test_a_verdict(width: int) -> None:
    counts = Counts(
        sent=MANY,
        stored=MANY - 3,
        refused=1_234_567,
        duplicates=3_456_789,
        late=MANY,
        latency=Latency(370, 3770, 123_456),
    )
    verdict = RunVerdict(
        run_id="c97bdff6cac24a5398b4d13543dff340",
        sent={"telematics": MANY},
        sinks={
            name: SinkVerdict(total=counts, per_kind={"telematics": counts}, note=SENTENCE)
            for name in ("http", "kafka")
        },
        gaps=(SENTENCE,),
    )
    lines = shown(width, lambda console: print_verdict(verdict, console))
    text = " ".join(" ".join(lines).split())
    for figure in ("15,000,000", "14,999,997", "1,234,567", "3,456,789", "3,770", "123,456", "telematics", "kafka"):
        assert figure in text
    assert SENTENCE in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_live_table(width: int, workers: int) -> None:
    part = FleetSnapshot(devices=MANY, connected=MANY, emitted=MANY, acknowledged=MANY - 1, dropped=1_234_567)
    now = FleetView(2.0, [(WorkerState.RUNNING, replace(part)) for _ in range(workers)])
    lines = shown(width, lambda console: console.print(table("fleet", FleetView(0.0, []), now, width)))
    text = " ".join(lines)
    for figure in (f"{MANY * workers:,}/{MANY * workers:,}", f"{1_234_567 * workers:,}", "PUBACK p99", "reconnects"):
        assert figure in text


@pytest.mark.parametrize("width", WIDTHS)
def test_what_the_doctor_found(width: int) -> None:
    checks = [
        DoctorCheck("open files", "failure", "15,000,064", "1,048,576 (hard limit 1,048,576)", SENTENCE),
        DoctorCheck("memory", "ok", "120,000 MiB at the most, once the caches are full", "24,001 MiB available now"),
    ]
    lines = shown(width, lambda console: print_checks(checks, console))
    text = " ".join(" ".join(lines).split())
    for words in ("15,000,064", "1,048,576 (hard limit 1,048,576)", "not enough", SENTENCE, "24,001 MiB available now"):
        assert words in text


@pytest.mark.parametrize(("width", "is_table"), [(20, False), (60, True)])
def test_a_table_that_does_not_fit_becomes_paragraphs(width: int, is_table: bool) -> None:
    made = Table("kind", "sent", "re-\nfused", box=None)
    made.add_row("gps", "15,000,000", "1,500")
    made.add_row("people", "3", "")
    lines = [line.rstrip() for line in shown(width, lambda console: console.print(fit_table(made, width)))]
    if is_table:
        assert lines[-2].split() == ["gps", "15,000,000", "1,500"]
    else:
        assert lines == ["gps", "  sent 15,000,000", "  refused 1,500", "people", "  sent 3"]


def test_sentences_wrap_between_words_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    echo(SENTENCE)
    assert capsys.readouterr().out == f"{SENTENCE}\n"
    monkeypatch.setenv("COLUMNS", "40")
    echo(f"{SENTENCE}\nsecond line", err=True)
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(lines) == f"{SENTENCE} second line"
    assert " ".join(line.strip() for line in shown(40, lambda console: say(console, SENTENCE))) == SENTENCE
