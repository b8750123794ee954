"""What a run leaves on disk; one that takes nothing does not end the run, and costs nothing else."""

from pathlib import Path

import pytest

from devices.fleet.metrics import FleetSnapshot
from edgefleet.launch.shard import ShardResult
from edgefleet.report.run_files import COMPANIONS, RunFiles
from edgefleet.report.run_summary import has_failed
from edgewire import logs
from edgewire.run_checkpoint import RunCheckpoint
from edgewire.run_folder import RunFolder
from edgewire.run_record import RunRecord
from tests.run_records import small_record

RESULT = ShardResult(record=small_record(), labels=[], final=FleetSnapshot())


async def test_a_run_leaves_its_record_table_and_labels(tmp_path: Path) -> None:
    files = RunFiles(RunFolder(tmp_path / "run", COMPANIONS), with_labels=True)
    await files.write_checkpoint(RunCheckpoint.of(small_record()))
    assert RunRecord.load(tmp_path / "run").state == "running"
    assert files.write_result(RESULT) is RESULT
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["devices.parquet", "labels.jsonl", "run.json"]
    assert (files.path, files.problems) == (tmp_path / "run", [])


async def test_a_full_disk_is_told_once_and_the_record_goes_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("warning")
    run, spare = tmp_path / "run", tmp_path / "spare"
    spare.mkdir()
    files = RunFiles(RunFolder(run, COMPANIONS, lambda: [spare]), with_labels=True)
    run.write_text("a file where the folder should be")
    for _ in range(2):
        await files.write_checkpoint(RunCheckpoint.of(small_record()))
    assert capsys.readouterr().err.count("no checkpoint") == 1
    told = files.write_result(RESULT)
    assert told.record.problems == {"record": files.problems[0]}
    assert has_failed(told.record)
    assert files.path == spare / "edgefleet-run-r-1"
    assert files.problems == [f"{run} took no record, it is in {files.path}: is the disk full?"]
    assert RunRecord.load(files.path) == small_record()
    assert (files.path / "labels.jsonl").exists()


def test_where_nothing_can_be_written_each_file_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.write_text("a file where the folder should be")
    files = RunFiles(RunFolder(run, COMPANIONS, list), with_labels=True)
    files.write_result(RESULT)
    assert [problem.split(": ")[0] for problem in files.problems] == [
        f"{run}/run.json",
        f"{run}/devices.parquet",
        f"{run}/labels.jsonl",
    ]
