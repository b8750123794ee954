"""A file of whole lines, whatever a crash left of it."""

import gzip
from pathlib import Path

import orjson
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


def test_what_a_crash_left_uncompressed_is_compressed_later(tmp_path: Path) -> None:
    left = tmp_path / "x-20260301T120000.000000Z.jsonl"
    left.write_bytes(b'{"seq":1}\n')
    (tmp_path / "x-20260301T120000.000000Z.jsonl.gz").write_bytes(b"half")
    file = RotatingFile(tmp_path / "x.jsonl", Rotation(10_000, compress=True), lambda: 0.0)
    file.clean_up()
    file.close()
    assert not left.exists()
    assert seqs(Path(f"{left}.gz")) == [1]
