"""What the model leaves of a recording, call by call."""

import random
import textwrap
from pathlib import Path

import pytest

from tests.power_loss.disk import RecordedDisk, Survival, UnknownCall, write_state
from tests.power_loss.syscalls import parse_trace

ROOT = Path("/r")


def hexed(text: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def opened(path: str, descriptor: int, flags: str = "O_RDWR|O_CREAT") -> str:
    return f"1 openat(AT_FDCWD, {hexed(path)}, {flags}, 0644) = {descriptor}"


def after(*lines: str, survival: Survival = Survival.NOTHING, seed: int = 1) -> dict[str, bytes | None]:
    disk = RecordedDisk(ROOT)
    for call in parse_trace(lines):
        disk.apply(call)
    return disk.lose_power(survival, random.Random(seed))


FILE = [opened("/r/a", 3), f"1 write(3, {hexed('one')}, 3) = 3"]
SYNCED_FOLDER = [opened("/r", 4, "O_RDONLY"), "1 fsync(4) = 0"]


def test_a_name_is_there_once_its_folder_is_synced_and_its_contents_once_the_file_is() -> None:
    assert after(*FILE) == {}
    assert after(*FILE, "1 fsync(3) = 0") == {}
    assert after(*FILE, *SYNCED_FOLDER) == {"a": b""}
    assert after(*FILE, *SYNCED_FOLDER, "1 fdatasync(3) = 0") == {"a": b"one"}
    assert after(*FILE, survival=Survival.EVERYTHING) == {"a": b"one"}
    assert after(*FILE, survival=Survival.NAMES) == {"a": b""}


def test_writes_go_where_the_position_the_end_or_the_call_says() -> None:
    lines = [
        *FILE,
        f"1 write(3, {hexed('two')}, 3) = 2",
        "1 lseek(3, 1, SEEK_SET) = 1",
        f"1 write(3, {hexed('N')}, 1) = 1",
        f"1 pwrite64(3, {hexed('!')}, 1, 7) = 1",
        opened("/r/a", 5, "O_WRONLY|O_APPEND"),
        f"1 writev(5, [{{iov_base={hexed('x')}, iov_len=1}}, {{iov_base={hexed('y')}, iov_len=1}}], 2) = 2",
    ]
    assert after(*lines, survival=Survival.EVERYTHING) == {"a": b"oNetw\0\0!xy"}
    assert after(*lines, "1 ftruncate(3, 2) = 0", survival=Survival.EVERYTHING) == {"a": b"oN"}
    assert after(*lines, opened("/r/a", 6, "O_WRONLY|O_TRUNC"), survival=Survival.EVERYTHING) == {"a": b""}


def test_a_rename_is_there_as_a_whole_or_not() -> None:
    lines = [*FILE, *SYNCED_FOLDER, "1 fsync(3) = 0", f"1 rename({hexed('/r/a')}, {hexed('/r/b')}) = 0"]
    assert after(*lines) == {"a": b"one"}
    assert after(*lines, "1 fsync(4) = 0") == {"b": b"one"}
    assert {tuple(after(*lines, survival=Survival.SOME, seed=seed)) for seed in range(20)} == {("a",), ("b",)}
    assert after(*lines, f"1 unlink({hexed('/r/b')}) = 0", "1 fsync(4) = 0") == {}


def test_a_folder_that_is_not_synced_takes_all_with_it() -> None:
    lines = [
        f"1 mkdir({hexed('/r/d')}, 0777) = 0",
        opened("/r/d/a", 3),
        opened("/r/d", 4, "O_RDONLY"),
        "1 fsync(4) = 0",
    ]
    assert after(*lines) == {}
    assert after(*lines, opened("/r", 5, "O_RDONLY"), "1 fsync(5) = 0") == {"d": None, "d/a": b""}


def test_a_sync_covers_what_was_there_when_it_began() -> None:
    lines = [
        *FILE,
        *SYNCED_FOLDER,
        "1 fdatasync(3 <unfinished ...>",
        f"2 pwrite64(3, {hexed('late')}, 4, 3) = 4",
        "1 <... fdatasync resumed>) = 0",
    ]
    assert after(*lines) == {"a": b"one"}
    assert after(*lines, "1 fsync(3) = 0") == {"a": b"onelate"}


def test_a_number_that_is_given_again_while_its_close_goes_on_is_the_new_file() -> None:
    lines = [
        opened("/r/old", 3),
        "2 close(3 <unfinished ...>",
        *FILE,
        "2 <... close resumed>) = 0",
        f"1 write(3, {hexed('two')}, 3) = 3",
        "1 close(3) = 0",
        f"1 write(3, {hexed('a socket')}, 8) = 8",
    ]
    assert after(*lines, survival=Survival.EVERYTHING) == {"a": b"onetwo", "old": b""}


def test_of_a_long_write_any_pages_and_some_sectors_are_left() -> None:
    data = "x" * 40_000
    lines = [opened("/r/a", 3), *SYNCED_FOLDER, f"1 write(3, {hexed(data)}, 40000) = 40000"]
    left = {after(*lines, survival=Survival.SOME, seed=seed)["a"] for seed in range(40)}
    assert len(left) > 30
    for content in left:
        assert content is not None
        for start in range(0, len(content), 512):
            assert set(content[start : start + 512]) in ({0}, {ord("x")})


def test_what_the_model_does_not_know_is_said(tmp_path: Path) -> None:
    for line in (
        f"1 link({hexed('/r/a')}, {hexed('/r/b')}) = 0",
        f"1 creat({hexed('/r/b')}, 0644) = 5",
        f"1 truncate({hexed('/r/a')}, 0) = 0",
        "1 fallocate(3, 0, 0, 4096) = 0",
        opened("/r/unknown", 5, "O_RDONLY"),
        "1 sendfile(3, 7, NULL, 9) = 9",
        "1 copy_file_range(7, NULL, 3, NULL, 9, 0) = 9",
        f"1 rename({hexed('/r/a')}, {hexed('/elsewhere')}) = 0",
        f"1 rename({hexed('/r/d/a')}, {hexed('/r/a')}) = 0",
    ):
        with pytest.raises(UnknownCall):
            after(*FILE, f"1 mkdir({hexed('/r/d')}, 0777) = 0", opened("/r/d/a", 9), line)
    assert after(f"1 link({hexed('/r/a')}, {hexed('/r/b')}) = -1 EEXIST (File exists)") == {}
    assert after("1 sendfile(8, 3, NULL, 9) = 9", *FILE) == {}
    with pytest.raises(ValueError, match="no line of strace"):
        list(parse_trace(["strace: Process 12 attached"]))
    write_state({"d": None, "d/a": b"x"}, tmp_path)
    assert (tmp_path / "d" / "a").read_bytes() == b"x"


def test_files_elsewhere_do_not_count() -> None:
    lines = textwrap.dedent(f"""\
        {opened("/elsewhere", 3)}
        1 write(3, {hexed("x")}, 1) = 1
        1 fsync(3) = 0
        1 +++ exited with 0 +++""").splitlines()
    assert after(*lines, survival=Survival.EVERYTHING) == {}
