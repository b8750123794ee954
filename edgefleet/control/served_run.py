"""Says what the control interface has to know of a run, whether it goes on or is a record: all routes ask for it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from devices.scenario.actions import AnyAction
from edgefleet.control.controller import ActionOutcome
from edgefleet.control.run_map import MapPlaces
from edgewire.run_record import ActionRecord


class ServedMap(Protocol):
    """Is the map of a run, of now, or of `at_ms`, the devices' time: that raises `ConfigError` where now is all."""

    async def sites(self, at_ms: int | None = None) -> list[dict[str, Any]]:
        """Return the sites with the weather they have."""
        ...

    async def roads(self, site: str) -> dict[str, Any]:
        """Return the roads of a site. Raises `ConfigError` where there is none of this name."""
        ...

    async def devices(self) -> dict[str, Any]:
        """Return the devices that the map shows."""
        ...

    async def places(self, at_ms: int | None = None) -> MapPlaces:
        """Return where these devices are."""
        ...


class ServedRun(Protocol):
    """Is a run that people look at. What it cannot do or tell, it raises as an `EdgefleetError` with a sentence."""

    @property
    def map(self) -> ServedMap:
        """Return its map."""
        ...

    @property
    def status(self) -> Mapping[str, Any]:
        """Return how it is."""
        ...

    @property
    def actions(self) -> Sequence[ActionRecord]:
        """Return what was done to it."""
        ...

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs that are served beside each other: path from this one, and what they are."""
        ...

    async def history(self) -> bytes:
        """Return how it was over its time, as in `status.jsonl`."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """Return its groups of devices."""
        ...

    async def find_devices(
        self, text: str, group: str | None, kind: str | None, state: str | None, after: str, limit: int
    ) -> dict[str, Any]:
        """Return a page of the devices that are searched for."""
        ...

    async def look_at(self, device_id: str) -> dict[str, Any] | None:
        """Return all that is known of a device; None where there is none of this id."""
        ...

    async def perform(self, action: AnyAction) -> ActionOutcome:
        """Carry out an action."""
        ...

    def session(self) -> dict[str, Any]:
        """Return what is needed to do the same again."""
        ...

    async def dead_letters(self, query: Sequence[tuple[str, str]]) -> Any:
        """Return dead letters of its bridge."""
        ...
