"""What a sink keeps for a while only is there when the run is over, once and in order."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgefleet.verify.arrivals import Arrivals, from_rows
from edgefleet.verify.recorded_source import RecordedSource

ROWS = [(f"gps-{number % 3}", 1, number, 1000 * number, 1000 * number + 5) for number in range(9)]


class ForgetfulSink:
    """Has what arrived since it was asked last, and no more."""

    note = "forgets"

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, int, int, int]] = []
        self.is_closed = False

    def read_arrivals(self) -> Iterator[Arrivals]:
        rows, self.rows = self.rows, []
        yield from from_rows(rows)

    def find_arrivals(self, devices: Sequence[tuple[str, int]]) -> Iterator[Arrivals]:
        yield from from_rows([(device_id, boot, 0, 0, 0) for device_id, boot in devices])

    def find_conflicts(self) -> Iterator[Arrivals]:
        yield from ()

    def close(self) -> None:
        self.is_closed = True


def rows(found: Iterator[Arrivals]) -> list[tuple[object, ...]]:
    return [row for one in found for row in zip(*one[1:6], strict=True)]


def test_what_was_read_along_comes_first_and_once(tmp_path: Path) -> None:
    sink = ForgetfulSink()
    source = RecordedSource(sink, tmp_path / "arrivals")
    for at in (0, 3, 6):
        sink.rows = ROWS[at : at + 2]
        source.read_along()
    sink.rows = ROWS[8:]
    assert rows(source.read_arrivals()) == [row for number, row in enumerate(ROWS) if number not in (2, 5)]
    assert rows(source.read_arrivals()) == []
    sink.rows = ROWS[:1]
    assert rows(source.read_arrivals()) == ROWS[:1]
    assert (rows(source.find_arrivals([("x", 2)])), [*source.find_conflicts()], source.note) == (
        [("x", 2, 0, 0, 0)], [], "forgets"
    )  # fmt: skip
    source.close()
    assert sink.is_closed
