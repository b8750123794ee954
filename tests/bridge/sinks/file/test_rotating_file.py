"""A file of whole lines, whatever a crash left of it."""

import errno
import gzip
import os
from pathlib import Path

import orjson
import psutil
import pytest

from bridge.sinks.file.rotating_file import RotatingFile, Rotation


def seqs(path: Path) -> list[int]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert data.endswith(b"\n")
    return [orjson.loads(line)["seq"] for line in data.splitlines()]


@pytest.mark.parametrize("torn", [b'{"seq":2', b"x" * 200_000, b""])
def test_a_torn_line_is_cut_off_when_the_file_is_opened_again(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"seq":1}\n' + torn)
    file = RotatingFile(path, Rotation(10_000), lambda: 0.0)
    file.append_lines(b'{"seq":3}\n')
    file.close()
    assert seqs(path) == [1, 3]
    path.write_bytes(torn)
    RotatingFile(path, Rotation(10_000), lambda: 0.0).close()
    assert path.read_bytes() == b""


LINES = b"".join(b'{"seq":%d,"text":"%s"}\n' % (number, b"x" * 300) for number in range(6))  # three sectors and more


@pytest.mark.parametrize(
    ("start", "end", "whole"),
    [
        (len(LINES), 2048, 6),  # a part of its sector
        (512, 1024, 1),
        (1024, 1536, 3),
        (1536, 2048, 4),
        (0, 512, 0),
    ],
)
def test_lines_that_lack_a_sector_are_cut_off(tmp_path: Path, start: int, end: int, whole: int) -> None:
    """After a power cut the end of the last lines may be on disk, and what is before it not: it reads as zeros."""
    path = tmp_path / "x.jsonl"
    torn = bytearray(LINES)
    torn[start:end] = bytes(end - start)
    path.write_bytes(bytes(torn) + b'{"seq":9}\n')
    RotatingFile(path, Rotation(10_000), lambda: 0.0).close()
    assert path.read_bytes() == b"".join(LINES.splitlines(keepends=True)[:whole])


def failing(*_: object) -> int:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("by", ["write", "rotate"])
def test_lines_that_a_sick_disk_neither_takes_nor_cuts_are_cut_when_it_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """What stayed unsynced in front of safe lines would take them along after a power cut."""
    path = tmp_path / "x.jsonl"
    file = RotatingFile(path, Rotation(10_000), lambda: 0.0)
    file.append_lines(b'{"seq":1}\n')
    with monkeypatch.context() as sick:
        sick.setattr("bridge.sinks.file.rotating_file._sync_data", failing)
        sick.setattr("bridge.sinks.file.rotating_file.os.ftruncate", failing)
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                file.append_lines(b'{"seq":2}\n')
    assert seqs(path) == [1, 2]
    if by == "write":
        file.append_lines(b'{"seq":2}\n')
        assert seqs(path) == [1, 2]
    else:
        rotated = file.rotate()
        assert rotated is not None
        assert seqs(rotated) == [1]
    file.close()


def test_a_file_that_cannot_be_cut_is_not_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"seq":1}\n{"se')
    monkeypatch.setattr("bridge.sinks.file.rotating_file.os.ftruncate", failing)
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output"):
            RotatingFile(path, Rotation(10_000), lambda: 0.0)
    assert str(path) not in [one.path for one in psutil.Process().open_files()]


@pytest.mark.parametrize("zeros", [1, 511])
def test_zeros_that_are_a_message_stay(tmp_path: Path, zeros: int) -> None:
    path = tmp_path / "x.txt"
    content = b"a text" + bytes(zeros) + b"and more\n" + b"y" * 70_000 + b"\0\0\n\0z\n"
    path.write_bytes(content)
    RotatingFile(path, Rotation(1_000_000), lambda: 0.0).close()
    assert path.read_bytes() == content


def test_the_name_of_a_file_that_is_there_already_is_made_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made it may have been killed before that."""
    synced: list[Path] = []
    monkeypatch.setattr("bridge.sinks.file.rotating_file.sync_folder", synced.append)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n")
    RotatingFile(path, Rotation(10_000), lambda: 0.0).close()
    assert synced == [tmp_path]


def test_what_a_crash_left_uncompressed_is_compressed_later(tmp_path: Path) -> None:
    left = tmp_path / "x-20260301T120000.000000Z.jsonl"
    left.write_bytes(b'{"seq":1}\n')
    (tmp_path / "x-20260301T120000.000000Z.jsonl.gz").write_bytes(b"half")
    file = RotatingFile(tmp_path / "x.jsonl", Rotation(10_000, compress=True), lambda: 0.0)
    file.clean_up()
    file.close()
    assert not left.exists()
    assert seqs(Path(f"{left}.gz")) == [1]
