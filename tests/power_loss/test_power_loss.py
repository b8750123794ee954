"""A sample of the power losses, some seconds; `make power-loss` is the long form, docs/reliability.md explains it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.power_loss.bridge_recording import record_bridge
from tests.power_loss.replay import complaints_of, record_workload, replay
from tests.services.fixtures import require_program

pytestmark = pytest.mark.chaos


@pytest.fixture(autouse=True)
def _strace() -> None:
    require_program("strace", "strace")


@pytest.mark.parametrize(("workload", "steps"), [("spool", 3), ("files", 16)])
def test_what_was_said_to_be_safe_is_there_after_a_power_loss(workload: str, steps: int, tmp_path: Path) -> None:
    outcome = replay(record_workload(workload, 11, steps, tmp_path), tmp_path, some=1)
    assert complaints_of([outcome]) == []
    assert outcome.states >= outcome.calls / 4 >= 20


def test_what_a_bridge_has_acknowledged_is_there_after_a_power_loss(tmp_path: Path) -> None:
    recording = record_bridge(11, 8, tmp_path)
    outcome = replay(recording, tmp_path, some=1)
    assert complaints_of([outcome]) == []
    assert recording.notes.count == 8
    assert outcome.states >= 40


@pytest.mark.parametrize(("workload", "complaint"), [("files", "lines that were reported"), ("spool", "was committed")])
@pytest.mark.parametrize("left_out", ["fdatasync", "fsync"])
def test_a_program_that_does_not_sync_is_found_out(
    workload: str, complaint: str, left_out: str, tmp_path: Path
) -> None:
    """Without `fdatasync` what is in the files may be missing, without `fsync` their folders."""
    recording = record_workload(workload, 12, 2, tmp_path)
    careless = replace(recording, calls=[call for call in recording.calls if call.name != left_out])
    assert any(complaint in one for one in complaints_of([replay(careless, tmp_path, some=0)]))
