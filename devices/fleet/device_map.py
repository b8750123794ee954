"""Tells where the devices of one process are, and how they are, in few bytes: for a map that is looked at."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from devices.scenario.devices import Device
from devices.sensors.kind import LocatePlaces
from devices.sensors.registry import KINDS
from devices.world.random import Hashes, Ints
from devices.world.world import World

AT_ONCE = 500
"""Devices that are located in one go of the event loop, while others send: some 2 ms."""
STATES = ("connected", "disconnected", "paused", "asleep", "off", "standby")
"""A state is told by its number."""
UNIT_M = 0.5
NOWHERE = -32768
"""Where a kind has no place of its own."""
_FARTHEST = 32767


class MappedDevice(Protocol):
    """Is what a map shows the place of."""

    @property
    def device(self) -> Device:
        """Return who it is."""
        ...


Mapped = TypeVar("Mapped", bound=MappedDevice)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Holds devices of one kind in one world."""

    locate: LocatePlaces
    world: World
    rows: Ints
    keys: Hashes
    sites: Ints
    ordinals: Ints


class DeviceMap(Generic[Mapped]):
    """Keeps what does not change about the devices while they stay the same."""

    def __init__(self) -> None:
        self._clients: Sequence[Mapped] = ()
        self._version = 0
        self._batches: list[_Batch] = []

    async def locate(
        self,
        clients: Sequence[Mapped],
        world_of: Callable[[Mapped], World],
        state_of: Callable[[Mapped], str],
        at_ms: int,
        *,
        with_ids: bool,
    ) -> dict[str, Any]:
        """Return places and states of devices at an instant, as arrays; with their ids, kinds and sites if wanted.

        The order is the same for as long as `version` is.
        """
        if clients != self._clients or not self._version:
            self._clients, self._version = clients, self._version + 1
            self._batches = [*_batches(clients, world_of)]
        version, batches = self._version, self._batches
        places = np.full((2, len(clients)), NOWHERE, dtype="<i2")
        for batch in batches:
            for begin in range(0, len(batch.rows), AT_ONCE):
                some = slice(begin, begin + AT_ONCE)
                times = np.full(len(batch.rows[some]), at_ms, dtype=np.int64)
                found = batch.locate(batch.world, batch.keys[some], batch.sites[some], batch.ordinals[some], times)
                units = np.rint(np.asarray(found) / UNIT_M)
                places[:, batch.rows[some]] = np.clip(units, -_FARTHEST, _FARTHEST)
                await asyncio.sleep(0)
        states = np.empty(len(clients), dtype=np.uint8)
        for begin in range(0, len(clients), AT_ONCE):
            some = slice(begin, begin + AT_ONCE)
            states[some] = [STATES.index(state_of(client)) for client in clients[some]]
            await asyncio.sleep(0)
        row = {
            "version": version,
            "at_ms": at_ms,
            "east": places[0].tobytes(),
            "north": places[1].tobytes(),
            "states": states.tobytes(),
        }
        if with_ids:
            devices = [client.device for client in clients]
            row |= {
                "ids": [device.device_id for device in devices],
                "kinds": [device.kind for device in devices],
                "sites": [device.site for device in devices],
            }
        return row


def _batches(clients: Sequence[Mapped], world_of: Callable[[Mapped], World]) -> list[_Batch]:
    rows: dict[tuple[str, int], list[int]] = {}
    worlds: dict[int, World] = {}
    for row, client in enumerate(clients):
        world = world_of(client)
        worlds[id(world)] = world
        rows.setdefault((client.device.kind, id(world)), []).append(row)
    found = []
    for (kind, world_id), some in rows.items():
        locate, world = KINDS[kind].locate, worlds[world_id]
        if locate is None:
            continue
        site_index = {site.name: index for index, site in enumerate(world.sites)}
        devices = [clients[row].device for row in some]
        found.append(
            _Batch(
                locate,
                world,
                np.array(some, dtype=np.int64),
                np.array([device.key for device in devices], dtype=np.uint64),
                np.array([site_index[device.site] for device in devices], dtype=np.int64),
                np.array([device.ordinal for device in devices], dtype=np.int64),
            )
        )
    return found
