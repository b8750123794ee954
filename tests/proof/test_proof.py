"""A proof counts what its parts print, and holds only where all was tried and nothing lost."""

from pathlib import Path

import pytest

from tests.chaos.table import write_into
from tests.fuzz.campaign import FuzzOutcome
from tests.proof.__main__ import BEGIN, DOCUMENT, END, PartOutcome, document, run_part
from tests.proof.history import earlier_rows
from tests.proof.parts import PARTS, Counts, ProofPart

CHAOS = """\
seed 7, 1000 rounds of 2 faults, evidence of failures in build/chaos
   1 ok     kill               seed 7       3 kills   0 faults  1200 messages, 0 lost, 4+0 duplicates, 0 out of order
   2 ok     mosquitto_kill     seed 7       1 kills  12 faults   800 messages, 0 lost, 0+0 duplicates, 0 out of order
"""
POWER_LOSS = f"""\
from seed 7 on
{"spool":8} seed {7:<7} {210:6} calls {4000:7} states {0:4} broken
{"bridge":8} seed {7:<7} {90:6} calls {1500:7} states {0:4} broken
5500 states, 0 broken promises
"""
EXPORTS = "seed 7\n...\n12 places ({'file': 7, 'lake': 5}): 31 killed, 4 refused, 0 not exact\n"
FUZZ = f"""\
seed 7, 10 s for each of 2
{FuzzOutcome("mqtt", 7, 12_000, 400, 20, 45, 9.5)}
{FuzzOutcome("cbor", 7, 3_000, 100, 9, 40, 9.5)}
15,000 runs, 0 findings
"""
PRINTED = {
    "chaos": (CHAOS, Counts(2, "4 kills, 12 other faults, 2,000 messages", 0)),
    "power loss": (POWER_LOSS, Counts(2, "300 calls, 5,500 different states of the disk", 0)),
    "exports": (EXPORTS, Counts(12, "31 killed, 4 begun twice and refused", 0)),
    "fuzz": (FUZZ, Counts(15_000, "2 targets, 500 branches", 0)),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_counted_by_what_it_prints(name: str) -> None:
    printed, counts = PRINTED[name]
    assert PARTS[name].count(printed) == counts
    assert PARTS[name].count("Traceback (most recent call last):").tried == 0


@pytest.mark.parametrize(
    ("name", "said", "instead"),
    [
        ("chaos", "ok     kill ", "FAILED kill "),
        ("chaos", "1200 messages, 0 lost", "1200 messages, 1 lost"),
        ("power loss", "4000 states    0", "4000 states    1"),
        ("exports", "0 not exact", "1 not exact"),
        ("fuzz", "0 findings", "1 findings"),
    ],
)
def test_what_was_lost_is_counted(name: str, said: str, instead: str) -> None:
    printed = PRINTED[name][0]
    assert said in printed
    counts = PARTS[name].count(printed.replace(said, instead, 1))
    assert counts.lost == 1
    assert not PartOutcome(name, 7, 1.0, 0, counts).is_clean


def outcome(counts: Counts, code: int = 0) -> PartOutcome:
    return PartOutcome("chaos", 7, 60.0, code, counts)


def test_a_part_that_tried_nothing_or_did_not_end_proves_nothing() -> None:
    good = Counts(1, "", 0)
    assert outcome(good).is_clean
    for bad, said in (
        (outcome(good, 1), "FAILED"),
        (outcome(good, -1), "did not end"),
        (outcome(Counts(0, "", 0)), "nothing was tried"),
        (outcome(Counts(1, "", 2)), "FAILED"),
    ):
        assert not bad.is_clean
        assert said in document([bad])[-1]


def test_every_proof_leaves_a_line_and_all_are_added_up(tmp_path: Path) -> None:
    page = tmp_path / "proof.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    for lost in (0, 2):
        whole = [PartOutcome(name, 7, 60.0, 0, Counts(600, "", lost)) for name in PARTS]
        write_into(page, document(whole, earlier_rows(page.read_text())), BEGIN, END)
    rows = earlier_rows(page.read_text())
    assert [row.count("600 |") for row in rows] == [4, 4]
    assert [row.endswith(f"| {lost} |") for row, lost in zip(rows, (0, 8), strict=True)] == [True, True]
    assert "| together | | | | 1,200 | 1,200 | 1,200 | 1,200 | 8 |" in page.read_text()


def test_a_part_that_cannot_begin_is_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = ProofPart("x", 1.0, lambda *_: ["tests.there_is_no_such_module"], PARTS["chaos"].count)
    monkeypatch.setitem(PARTS, "chaos", part)
    found = run_part("chaos", 0.1, 7, tmp_path)
    assert (found.code, found.is_clean) == (1, False)
    assert "there_is_no_such_module" in (tmp_path / "chaos.log").read_text()


def test_the_parts_share_the_time_and_the_page_has_a_place_for_them() -> None:
    assert sum(part.share for part in PARTS.values()) == pytest.approx(1)
    assert "<!-- proof: begin -->" in DOCUMENT.read_text(encoding="utf-8")
