"""Reads the lines of a file of somebody else, of which none may be so long that it could not be held."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, AnyStr


class LinesTooLarge(ValueError):
    """Says in which line a file has more than is read."""


def bounded_lines(file: IO[AnyStr], path: Path, *, longest: int, most: int | None = None) -> Iterator[AnyStr]:
    """Yield the lines of an open file of up to `longest` characters (bytes, where it is binary), and `most` in all.

    Raises `LinesTooLarge` with a sentence that names the file and the line.
    """
    read = number = 0
    while line := file.readline(longest + 1):
        read, number = read + len(line), number + 1
        if most is not None and read > most:
            raise LinesTooLarge(f"{path}:{number}: is larger than {most >> 20} MiB: is it the right file?")
        if len(line) > longest:
            unit = "bytes" if isinstance(line, bytes) else "characters"
            raise LinesTooLarge(f"{path}:{number}: is longer than {longest:,} {unit}: is it the right file?")
        yield line
