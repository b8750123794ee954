"""Holds messages as a sink has them, in columns: a run may have millions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

CHUNK = 50_000


class Arrivals(NamedTuple):
    """Holds some messages of one stream in the order in which they arrived there; all columns are of one length."""

    stream: str
    """Within one, the messages of a device keep their order: the HTTP store, or one Kafka topic."""
    device_id: Sequence[str]
    boot: Sequence[int]
    seq: Sequence[int]
    timestamp_ms: Sequence[int]
    """When each was measured, by the device's clock."""
    arrived_ms: Sequence[int]
    """When each arrived, by the sink's clock."""
    fields: Sequence[Mapping[str, Any] | None] = ()
    """What each says, where the source was told to read that; empty where it was not."""


class ArrivalSource(Protocol):
    """Reads a sink."""

    def read_arrivals(self) -> Iterator[Arrivals]:
        """Yield what arrived since the last call; raises `ServiceUnavailable` that names the sink."""
        ...

    def find_arrivals(self, devices: Sequence[tuple[str, int]]) -> Iterator[Arrivals]:
        """Yield what `read_arrivals` leaves out for its age of these boots (device id, boot), where that can be found.

        Raises `ServiceUnavailable` that names the sink.
        """
        ...

    def find_conflicts(self) -> Iterator[Arrivals]:
        """Yield under which ids other content came than is there, and when last, where the sink can tell.

        Raises `ServiceUnavailable` that names the sink.
        """
        ...

    @property
    def note(self) -> str:
        """Return what one must know to read the numbers; may be empty."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def from_rows(rows: Iterable[tuple[str, int, int, int, int]], stream: str = "rows") -> Iterator[Arrivals]:
    """Yield rows (device_id, boot, seq, timestamp_ms, arrived_ms) as columns."""
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK)):
        yield Arrivals(stream, *zip(*chunk, strict=True))
