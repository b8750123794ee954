"""The folder of a run: another run is not written over unasked, and leaves no evidence behind."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewire.errors import ConfigError
from edgewire.run_checkpoint import RunCheckpoint
from edgewire.run_folder import RunFolder, find_rescue_places
from edgewire.run_record import RunRecord
from tests.run_records import small_record

COMPANIONS = ("labels.jsonl", "devices.parquet")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_checkpoint_stays_until_the_record_takes_its_place(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "r-1")
    folder.claim(overwrite=False)
    folder.begin()
    folder.write_checkpoint(RunCheckpoint.of(small_record()))
    assert RunRecord.load(folder.path) == replace(small_record(), state="running")
    folder.write_final(small_record())
    # One that was under way on its thread.
    folder.write_checkpoint(RunCheckpoint.of(small_record()))
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


@pytest.mark.parametrize("has_start", [False, True])
def test_a_run_that_does_not_begin_leaves_no_folder(tmp_path: Path, has_start: bool) -> None:
    folder = RunFolder(tmp_path / "runs" / "r-1")
    folder.claim(overwrite=False)
    if has_start:
        folder.begin()
        folder.write_start(RunCheckpoint.of(small_record()))
        assert RunRecord.load(folder.path).state == "running"
    folder.abandon()
    assert names(tmp_path) == []


def test_a_run_that_has_written_what_it_sent_is_not_abandoned(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "r-1")
    folder.claim(overwrite=False)
    folder.write_start(RunCheckpoint.of(small_record()))
    folder.write_checkpoint(RunCheckpoint.of(small_record()))
    folder.abandon()
    assert names(folder.path) == ["run.json"]


def test_a_folder_that_was_there_or_holds_something_stays(tmp_path: Path) -> None:
    old = RunFolder(tmp_path / "old")
    old.path.mkdir()
    old.claim(overwrite=False)
    old.abandon()
    new = RunFolder(tmp_path / "new")
    new.claim(overwrite=False)
    new.write_checkpoint(RunCheckpoint.of(small_record()))
    new.abandon()
    assert names(tmp_path) == ["new", "old"]


def test_an_earlier_process_of_the_same_run_is_not_forgotten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.find_unfinished("r-1") is None
    folder.write_checkpoint(RunCheckpoint.of(small_record()))
    said = folder.find_unfinished("r-1")
    assert said is not None
    assert "killed after its checkpoint of 2027-01-15T08:01:00.000Z" in said
    assert "17 messages: they are unaccounted for" in said
    assert folder.find_unfinished("r-2") is None, "of another run"
    folder.write_final(small_record())
    assert folder.find_unfinished("r-1") is None, "it came to its end"


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    folder = RunFolder(tmp_path)
    folder.claim(overwrite=True)
    with pytest.raises(ConfigError, match=r"run\.json: is of another run and cannot be removed"):
        folder.begin()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that have no room for a record."""
    folders: list[Path] = []
    real_fdopen = os.fdopen

    def fdopen(descriptor: int, *arguments: Any) -> Any:
        place = Path(f"/proc/self/fd/{descriptor}").readlink().parent
        if place in folders:
            os.close(descriptor)
            descriptor = os.open("/dev/full", os.O_WRONLY)
        return real_fdopen(descriptor, *arguments)

    monkeypatch.setattr("edgewire.output.os.fdopen", fdopen)
    return folders


def test_a_record_that_its_disk_does_not_take_goes_elsewhere(tmp_path: Path, full: list[Path]) -> None:
    there, full_too, spare = tmp_path / "there", tmp_path / "full", tmp_path / "spare"
    (full_too / "edgefleet-run-r-1").mkdir(parents=True)
    spare.mkdir()
    folder = RunFolder(there, rescue_places=lambda: [tmp_path / "nowhere", full_too, spare])
    folder.claim(overwrite=False)
    folder.write_checkpoint(RunCheckpoint.of(small_record()))
    full.append(there)
    with pytest.raises(ConfigError, match=r"run\.json: the run record cannot be written: No space left on device"):
        folder.write_checkpoint(RunCheckpoint.of(small_record()))
    assert names(there) == ["run.json"], "half a file takes room where there is none"
    path = folder.write_final(small_record())
    assert path == spare / "edgefleet-run-r-1" / "run.json"
    assert RunRecord.load(path.parent) == small_record()
    assert path.parent.stat().st_mode & 0o077 == 0
    assert RunRecord.load(there).state == "running", "the checkpoint is still there"


def test_a_record_that_no_disk_takes_is_one_error(tmp_path: Path, full: list[Path]) -> None:
    folder = RunFolder(tmp_path, rescue_places=lambda: [tmp_path / "nowhere"])
    full.append(tmp_path)
    with pytest.raises(ConfigError, match=f"{tmp_path}/run.json: the run record cannot be written: No space left"):
        folder.write_final(small_record())


@pytest.mark.parametrize("find", ["tempfile.gettempdir", "pathlib.Path.home"])
def test_a_machine_may_lack_a_place(find: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(find_rescue_places())

    def fail(*_: object) -> Path:
        raise FileNotFoundError if find.endswith("dir") else RuntimeError

    monkeypatch.setattr(find, fail)
    assert len(list(find_rescue_places())) == len(whole) - 1
