"""What a target of fuzzing is."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.json_mutator import mutate_json

ROOT = Path(__file__).parents[2]

Run = Callable[[bytes], None]
"""Reads the bytes; whatever it raises is a finding."""

Mutate = Callable[[bytes, int, int], bytes | None]
"""Makes another input of one, of so many bytes at most, by a seed; None where it cannot."""


@dataclass(frozen=True, slots=True)
class Target:
    """Tells how one reader is fuzzed."""

    prepare: Callable[[], Run]
    """Imports what is to be measured, and returns what runs a case."""
    seeds: Callable[[], Iterable[bytes]]
    """What the first inputs are."""
    measured: tuple[str, ...]
    """Modules and packages whose branches count as ways to be found."""
    most_bytes: int = 4096
    mutate: Mutate = mutate_json
    """Changes an input so that it keeps its shape; what it can make nothing of is changed byte by byte."""
    case_s: int = 10
    """What takes longer is a hang. A case takes some 100 µs, but where a winter's weather is computed for it."""
    unmeasured: tuple[str, ...] = ()
    """Modules that are left out of those: Atheris keeps for good what comparisons of arrays come to."""


def require_words(error: Exception, most: int = 1 << 20, *, about: str = "") -> None:
    """Whatever is refused is so with a reason, which names what it is about, and with no more than that."""
    said = str(error).strip()
    assert about in said
    assert 0 < len(said) < most


def file_writer(suffix: str) -> Callable[[bytes], AbstractContextManager[Path]]:
    """Return what puts bytes into a file, each time one of another name, for the length of a `with` block."""
    folder = tempfile.mkdtemp(prefix="edgefleet-fuzz-")
    number = 0

    @contextmanager
    def written(data: bytes) -> Iterator[Path]:
        nonlocal number
        number += 1
        path = Path(folder) / f"{number}{suffix}"
        path.write_bytes(data)
        try:
            yield path
        finally:
            path.unlink()

    return written
