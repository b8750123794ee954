"""Lines are those of the file, and one that is too long ends the reading before it is held."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.bounded_lines import LinesTooLarge, bounded_lines

PATH = Path("a.csv")


class EndlessFile(io.RawIOBase):
    """Has no end, and no line in it; says how much of it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        self.given += size
        return b"a" * size


@given(st.lists(st.sampled_from([b"", b"ab\n", b"a\rb", b"\n", b"c"])))
def test_lines_are_those_of_the_file(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    longest = len(content)
    assert [*bounded_lines(io.BytesIO(content), PATH, longest=longest)] == io.BytesIO(content).readlines()


def test_a_line_that_is_too_long_is_named() -> None:
    with pytest.raises(LinesTooLarge, match=r"a\.csv:2: is longer than 3 characters: is it the right file\?"):
        list(bounded_lines(io.StringIO("ab\nabcd\n"), PATH, longest=3))


def test_a_file_that_is_too_large_is_named() -> None:
    with pytest.raises(LinesTooLarge, match=r"a\.csv:1025: is larger than 1 MiB"):
        list(bounded_lines(io.BytesIO((b"a" * 1023 + b"\n") * 2000), PATH, longest=2000, most=1 << 20))


def test_a_file_without_an_end_is_left_soon() -> None:
    file = EndlessFile()
    with pytest.raises(LinesTooLarge, match="is longer than 100 bytes"):
        list(bounded_lines(file, PATH, longest=100))
    assert file.given == 101
