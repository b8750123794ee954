"""Where a report goes: whole or not at all, and never in the place of something else."""

import os
from pathlib import Path

import orjson
import pytest

from edgefleet.report.html.files import check_page, list_run_files, read_run_labels, write_page
from edgewire.errors import ConfigError

LABEL = {
    "device_id": "g-1", "kind": "gps", "boot": 1, "type": "dropout", "fields": [], "parameters": {}, "layer": "link",
    "start_ms": 1, "end_ms": None, "first_seq": None, "last_seq": None, "messages": 2,
}  # fmt: skip


def test_a_report_replaces_a_report_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    for content in (b"one", b"two"):
        check_page(path, [])
        write_page(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["run.json", "labels.jsonl", "devices.parquet", "link.html"])
def test_no_file_of_the_run_is_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "link.html").symlink_to("run.json")
    with pytest.raises(ConfigError, match="that file is part of the run"):
        check_page(tmp_path / name, list_run_files([tmp_path]))


def test_what_is_no_file_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path, "Is a directory"),
        (tmp_path / "file" / "report.html", "Not a directory|File exists"),
    ):
        with pytest.raises(ConfigError, match=f"--html {path}: cannot be written: ({reason})"):
            check_page(path, [])
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"):
        write_page(tmp_path, b"")


def test_a_stream_is_written_into(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        check_page(pipe, [])
        write_page(pipe, b"page")
        assert os.read(reader, 10) == b"page"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_labels_are_read_where_there_are_some(tmp_path: Path) -> None:
    assert read_run_labels([tmp_path]) == []
    (tmp_path / "labels.jsonl").write_bytes(orjson.dumps(LABEL) + b"\n")
    assert [label.messages for label in read_run_labels([tmp_path, tmp_path])] == [2, 2]


@pytest.mark.parametrize(
    "line", [b"x", b"[]", b"{}", b"7", orjson.dumps(LABEL | {"start_ms": "1"}), orjson.dumps(LABEL | {"more": 1}), b"["]
)
def test_a_line_that_is_no_label_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "labels.jsonl").write_bytes(orjson.dumps(LABEL) + b"\n" + line + b"\n")
    with pytest.raises(ConfigError, match=r"labels\.jsonl: line 2 is no label of a fault"):
        read_run_labels([tmp_path])
