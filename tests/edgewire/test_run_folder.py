"""The folder of a run: another run is not written over unasked, and leaves no evidence behind."""

from pathlib import Path

import pytest

from edgewire.errors import ConfigError
from edgewire.run_folder import RunFolder
from edgewire.run_record import RunRecord
from tests.run_records import small_record

COMPANIONS = ("labels.jsonl", "devices.parquet")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_checkpoint_stays_until_the_record_takes_its_place(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "r-1")
    folder.claim(overwrite=False)
    folder.begin()
    folder.write_checkpoint(small_record())
    assert RunRecord.load(folder.path).state == "running"
    folder.write_final(small_record())
    assert RunRecord.load(folder.path) == small_record()
    assert small_record().state == "complete"
    assert names(folder.path) == ["run.json"]


@pytest.mark.parametrize("found", ["run.json", "labels.jsonl"])
def test_a_folder_of_another_run_is_refused(tmp_path: Path, found: str) -> None:
    (tmp_path / found).write_text("of another run")
    with pytest.raises(ConfigError, match=f"--record {tmp_path}: it holds {found} of another run; .*--overwrite"):
        RunFolder(tmp_path, COMPANIONS).claim(overwrite=False)
    assert (tmp_path / found).read_text() == "of another run"


def test_what_another_run_left_goes_as_this_one_begins(tmp_path: Path) -> None:
    for name in ("run.json", *COMPANIONS, "notes.txt"):
        (tmp_path / name).write_text("of another run")
    folder = RunFolder(tmp_path, COMPANIONS)
    folder.claim(overwrite=True)
    assert len(names(tmp_path)) == 4, "the run has not begun, and may never"
    folder.begin()
    assert names(tmp_path) == ["notes.txt"], "what is not ours stays"


def test_a_run_that_does_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "r-1")
    folder.claim(overwrite=False)
    folder.abandon()
    assert names(tmp_path) == []


def test_a_folder_that_was_there_or_holds_something_stays(tmp_path: Path) -> None:
    old = RunFolder(tmp_path / "old")
    old.path.mkdir()
    old.claim(overwrite=False)
    old.abandon()
    new = RunFolder(tmp_path / "new")
    new.claim(overwrite=False)
    new.write_checkpoint(small_record())
    new.abandon()
    assert names(tmp_path) == ["new", "old"]


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    folder = RunFolder(tmp_path)
    folder.claim(overwrite=True)
    with pytest.raises(ConfigError, match=r"run\.json: is of another run and cannot be removed"):
        folder.begin()
