"""Plays a recording back: which of its devices, at which of its moments, a device of the fleet is at an instant."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.replay.config import ReplayConfig
from devices.replay.loading import load_recording, replayed_targets
from devices.replay.targets import ReplayTarget
from devices.sensors.columns import Column, DictionaryColumn
from devices.sensors.kind import DeviceKind
from devices.world.random import Ints, hash_bits, uniform

_OFFSETS = "replay/offset"


class Played(NamedTuple):
    """Names a device of the fleet, as a player has to know it."""

    device_id: str
    place: int
    """In its group, from 0."""
    key: int


class ReplayPlayer:
    """What a group plays back, for some of its devices. Pure: an instant tells all."""

    def __init__(
        self, config: ReplayConfig, kind: DeviceKind, seed: int, start_ms: int, devices: Sequence[Played]
    ) -> None:
        """`start_ms` is when devices are powered on. Raises as `load_recording`."""
        self._config = config
        targets = replayed_targets(config, kind)
        self._recording = load_recording(config, targets)
        self._targets = targets
        recording = self._recording
        known = {name: number for number, name in enumerate(recording.ids)}
        places = np.array([device.place for device in devices], dtype=np.int64)
        count = len(recording.ids)
        self._ids = np.array([known.get(device.device_id, device.place % count) for device in devices], dtype=np.int64)
        # Whoever is not the first with an id is somewhere else in what was recorded.
        keys = np.array([device.key for device in devices], dtype=np.uint64)
        named = np.array([device.device_id in known for device in devices], dtype=bool)
        share = uniform(hash_bits(seed, _OFFSETS, keys))
        is_first = named | (places < count)
        self._offset_ms = np.where(is_first, 0, (share * recording.period_ms).astype(np.int64))
        self._anchor_ms = start_ms if config.align == "start" else recording.first_ms

    @property
    def span(self) -> tuple[int, int] | None:
        """Return from when to when (ms since 1970) devices speak; None where always."""
        if self._config.loop:
            return None
        length_ms = max(1, round(self._recording.period_ms / self._config.speed))
        return self._anchor_ms, self._anchor_ms + length_ms

    def read(self, ids: Ints, times: Ints) -> dict[str, Column]:
        """Return the fields of devices, by their places among those given, at instants (ms since 1970)."""
        found = self._recording.read(
            self._ids[ids], self._moments(ids, times), self._targets, is_linear=self._config.is_linear
        )
        return {target.name: _column(found[column], target) for column, target in self._targets.items()}

    def _moments(self, ids: Ints, times: Ints) -> Ints:
        """Return the moments in the recording."""
        recording = self._recording
        passed = np.rint((times - self._anchor_ms) * self._config.speed).astype(np.int64) + self._offset_ms[ids]
        # Without loop nobody asks beyond the end, but for what a device would have said before or after.
        last_ms = recording.period_ms - 1
        passed = passed % recording.period_ms if self._config.loop else np.clip(passed, 0, last_ms)
        return np.asarray(recording.first_ms + passed)


def replay_defaults(config: ReplayConfig, kind: DeviceKind) -> Mapping[str, Any]:
    """Return the interval (ms) and the number of devices that a recording has itself. Raises as `load_recording`."""
    recording = load_recording(config, replayed_targets(config, kind))
    gap_ms = min(max(round(recording.gap_ms / config.speed), 10), 7 * 86_400_000)
    return {"interval": f"{gap_ms}ms", "count": len(recording.ids)}


def _column(values: NDArray[Any], target: ReplayTarget) -> Column:
    """Return a column as messages have it."""
    if target.type == "text":
        words, indices = np.unique([("" if one is None else f"x{one}") for one in values.tolist()], return_inverse=True)
        return DictionaryColumn(indices, [word[1:] if word else None for word in words.tolist()])
    known = ~np.isnan(values)
    safe = np.where(known, values, 0.0)
    written: NDArray[Any]
    match target.type:
        case "flag":
            written = safe != 0
        case "whole":
            written = np.rint(safe).astype(np.int64)
        case _:
            written = np.round(safe, 9) + 0.0
    if known.all() and not target.is_nullable:
        return written
    column = written.astype(object)
    column[~known] = None
    rows: list[Any] = column.tolist()
    return rows
