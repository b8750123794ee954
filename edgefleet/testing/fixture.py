"""Holds what the fixture `edgefleet` of pytest has started for one test."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from edgefleet.testing.broker import LocalBroker
from edgefleet.testing.fleet import AsyncFleet, Duration, EmulatedFleet
from edgefleet.testing.verification import Rows, Verification, verify

_LINES = 10
"""Of what a broker printed, in a report."""


class EdgefleetFixture:
    """Starts brokers and fleets for a test, and ends those that it has left when it is over."""

    def __init__(self, folder: Path) -> None:
        """Keep records and scenarios in `folder`."""
        self.folder = folder
        self._brokers: list[LocalBroker] = []
        self._fleets: list[EmulatedFleet] = []

    def broker(self, engine: str | None = None) -> LocalBroker:
        """Start an MQTT broker on a port of its own; it ends with the test.

        Mosquitto where it is installed, or else a broker out of a wheel (`pip install 'edgefleet[demo]'`); `engine`
        names one. Raises `ServiceUnavailable`, which says what to install, where there is none.
        """
        broker = LocalBroker(engine)
        self._brokers.append(broker)
        return broker.start()

    def fleet(
        self,
        kind: str | None = None,
        count: int = 1,
        *,
        broker: LocalBroker | str,
        every: Duration | None = None,
        faults: Sequence[Mapping[str, Any]] = (),
        scenario: Mapping[str, Any] | str | Path | None = None,
        start: datetime | str | None = None,
        time_scale: float | None = None,
        seed: int | None = None,
        workers: int = 1,
        connect_timeout: float = 60,
        **group: Any,
    ) -> EmulatedFleet:
        """Return devices that run as long as a `with` block does; the arguments are those of `EmulatedFleet`."""
        fleet = EmulatedFleet(
            kind,
            count,
            broker=broker,
            every=every,
            faults=faults,
            scenario=scenario,
            start=start,
            time_scale=time_scale,
            seed=seed,
            workers=workers,
            connect_timeout=connect_timeout,
            folder=self.folder / f"fleet-{len(self._fleets)}",
            **group,
        )
        self._fleets.append(fleet)
        return fleet

    def async_fleet(self, kind: str | None = None, count: int = 1, **arguments: Any) -> AsyncFleet:
        """Return the same for a test that is a coroutine: a fleet for `async with`."""
        return AsyncFleet(self.fleet(kind, count, **arguments))

    def verify(
        self,
        fleet: EmulatedFleet | AsyncFleet,
        rows: Rows | Callable[[], Rows] | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        ingest: str | None = None,
        kafka: str | None = None,
        within: Duration = 0,
    ) -> Verification:
        """Return whether all that a fleet sent is among the rows that a pipeline has stored; see `verify`."""
        sent = fleet.fleet if isinstance(fleet, AsyncFleet) else fleet
        return verify(sent, rows, keys=keys, ingest=ingest, kafka=kafka, within=within)

    def sections(self) -> list[tuple[str, str]]:
        """Return what fleets and brokers printed, with a heading, for the report of a test that has failed."""
        found = [(f"edgefleet: broker {one.name} at {one.url}", _last_lines(one.log_tail())) for one in self._brokers]
        for one in self._fleets:
            said = "\n".join([*(one.problems if one.has_record else ()), one.log_tail()]).strip()
            found.append((f"edgefleet: fleet, record in {one.record_folder}", said))
        return [(heading, text or "printed nothing") for heading, text in found]

    def close(self) -> None:
        """End everything that still runs."""
        for fleet in reversed(self._fleets):
            fleet.close()
        for broker in reversed(self._brokers):
            broker.close()


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-_LINES:])
