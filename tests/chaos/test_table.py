from pathlib import Path

import pytest

from tests.chaos.__main__ import choose_runs
from tests.chaos.checker import Verdict
from tests.chaos.faults import FAULTS
from tests.chaos.run import Result
from tests.chaos.table import BEGIN, END, table, write_into


def result(fault: str, **counts: int) -> Result:
    return Result(fault, 1, 2, 3, Verdict(published=600, must=500, **counts), 4.0, None)


def test_a_row_sums_the_runs_of_a_fault_and_the_last_row_all() -> None:
    results = [result("after-commit", http_duplicates=7), result("after-commit", lost=1), result("reset-kafka")]
    lines = table(FAULTS, results, seed=9, seconds=60)
    assert "3 runs in 1 minutes" in lines[0]
    assert "seed 9" in lines[0]
    assert "Not drawn this time: `before-commit`, " in lines[0]
    assert "`reset-kafka`" not in lines[0]
    assert lines[4].endswith("| 2 | 4 | 6 | 1,000 | 1 | 7 | 0 | 0 | 0 | 0 |")
    assert lines[5].startswith("| `reset-kafka`")
    assert "0 (none allowed)" in lines[5]
    assert lines[-1].startswith("| **all** | 3 | 6 | 9 | 1,500 | 1 |")


def test_the_table_replaces_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "d.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(document, ["new"])
    write_into(document, ["newer"])
    assert document.read_text() == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"
    document.write_text("no markers")
    with pytest.raises(ValueError, match="has no"):
        write_into(document, ["new"])


def test_every_fault_has_a_run_in_each_round_and_the_mix_four() -> None:
    chosen = [fault for fault in FAULTS if fault.name in ("stop", "mix")]
    runs = list(choose_runs(chosen, 5, 2, is_mixed=False, is_all=True))
    assert [run for run in runs if run[0] == "stop"] == [("stop", 5), ("stop", 6)]
    assert [seed for name, seed in runs if name == "mix"] == [5, 1005, 2005, 3005, 6, 1006, 2006, 3006]
    assert sorted(choose_runs(chosen, 5, 2, is_mixed=True, is_all=True)) == sorted(runs)
    assert len(list(choose_runs(chosen, 5, 2, is_mixed=False, is_all=False))) == 4
