"""Learns when devices speak: how far apart, how evenly, and whether at a beat or when something has changed."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from devices.world.random import Floats
from edgefleet.learn.seen import SeenGroup, SeenMessage, SeenSlot
from edgewire.config import duration_text

_LEAST_MS, _MOST_MS = 10, 7 * 86_400_000
_OTHER_BEAT = 1.7
"""Devices whose interval is so many times that of another are other devices."""
_UNEVEN = 0.5
"""Share of the interval from which on gaps are told as a range."""
_OF_TWO_UNIFORM = 1.37
"""The range from 5 to 95 % of the difference of two even delays is so many times the longest delay."""
_STEPS_MS = (1, 10, 50, 100, 500, 1000)


class Beat(NamedTuple):
    """Says how far apart the messages of a device are."""

    interval_ms: int
    config: dict[str, Any]
    """The keys of a group."""
    gaps: Floats


def learn_beat(slot: SeenSlot) -> Beat | None:
    """Return the beat of the messages on one topic; None where no device has said anything twice."""
    gaps = gaps_of(slot.by_device.values())
    if not len(gaps):
        return None
    low, middle, high = (float(one) for one in np.percentile(gaps, (5, 50, 95)))
    interval_ms = round_interval(middle)
    spread = high - low
    if spread > _UNEVEN * middle and low >= _LEAST_MS:
        mean_ms, half = float(gaps.mean()), min(spread / 2, 0.9 * float(gaps.mean()))
        least, most = round_interval(mean_ms - half), round_interval(mean_ms + half)
        # Both may be the longest interval that there is.
        if least < most:
            return Beat(round(mean_ms), {"interval": f"{duration_text(least)}..{duration_text(most)}"}, gaps)
    config: dict[str, Any] = {"interval": duration_text(interval_ms)}
    jitter_ms = round(spread / _OF_TWO_UNIFORM)
    if jitter_ms >= max(2, interval_ms // 500):
        config["jitter"] = duration_text(min(jitter_ms, interval_ms - 1))
    return Beat(interval_ms, config, gaps)


def split_by_beat(group: SeenGroup) -> list[SeenGroup]:
    """Return the devices of a group apart by how often they speak, where some do much more often than others."""
    beats: dict[str, float] = {}
    for device in group.devices:
        told = max((slot.by_device.get(device, []) for slot in group.slots.values()), key=len)
        if len(told) > 1:
            beats[device] = float(np.median(np.diff([message.at_ms for message in told])))
    ordered = sorted(beats, key=beats.__getitem__)
    apart: list[list[str]] = []
    for device in ordered:
        if apart and beats[device] <= _OTHER_BEAT * max(beats[apart[-1][0]], 1.0):
            apart[-1].append(device)
        else:
            apart.append([device])
    if len(apart) < 2:
        return [group]
    # Who has said too little goes with the most.
    max(apart, key=len).extend(device for device in group.devices if device not in beats)
    return [group.of_devices(set(devices)) for devices in apart]


def gaps_of(told: Iterable[list[SeenMessage]]) -> Floats:
    """Return the gaps between the messages of each device, in ms."""
    found = [np.diff([message.at_ms for message in messages]) for messages in told if len(messages) > 1]
    return np.concatenate(found).astype(np.float64) if found else np.empty(0)


def round_interval(milliseconds: float) -> int:
    """Return an interval as people set it: 10 s and not 10,003 ms, within a hundredth."""
    for step in reversed(_STEPS_MS):
        rounded = round(milliseconds / step) * step
        if rounded and abs(rounded - milliseconds) <= milliseconds / 100:
            return min(max(rounded, _LEAST_MS), _MOST_MS)
    return min(max(round(milliseconds), _LEAST_MS), _MOST_MS)
