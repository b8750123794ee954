"""Reads a sink along while it is filled, for one that keeps little of it: what was read waits in a file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from edgefleet.verify.arrivals import Arrivals, ArrivalSource


class RecordedSource:
    """Yields what a source has yielded so far, and then what it yields."""

    def __init__(self, source: ArrivalSource, file: Path) -> None:
        """Keep what was read in `file`, about 100 bytes a message; it must not be there yet."""
        self._source = source
        self._file = file

    def read_along(self) -> None:
        """Read what has arrived since the last time, and keep it. Blocks; raises `ServiceUnavailable`, `OSError`."""
        with self._file.open("ab") as file:
            for arrivals in self._source.read_arrivals():
                file.write(orjson.dumps([*arrivals]) + b"\n")

    def read_arrivals(self) -> Iterator[Arrivals]:
        """Yield what was kept, once, and then what arrived since."""
        if self._file.exists():
            with self._file.open("rb") as file:
                for line in file:
                    yield Arrivals(*orjson.loads(line))
            self._file.unlink()
        yield from self._source.read_arrivals()

    def find_arrivals(self, devices: Sequence[tuple[str, int]]) -> Iterator[Arrivals]:
        """Yield what the source finds."""
        return self._source.find_arrivals(devices)

    def find_conflicts(self) -> Iterator[Arrivals]:
        """Yield what the source finds."""
        return self._source.find_conflicts()

    @property
    def note(self) -> str:
        """Return what one must know to read the numbers."""
        return self._source.note

    def close(self) -> None:
        """Let go of the sink."""
        self._source.close()
