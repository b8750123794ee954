"""Computes battery and radio of a device from its key and the time, so that any moment can be told by itself."""

from bisect import bisect_right

import numpy as np

from devices.world.random import Hashes, Ints, extend, uniform

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15

# Open-circuit voltage of a lithium-polymer cell by charge: the long plateau and the knee below 10 %. Judgement, after
# the shape that data sheets of 3.7 V cells show.
_CHARGE = (0.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0)
_VOLTS = (3.00, 3.45, 3.68, 3.74, 3.79, 3.87, 4.02, 4.20)

_RSSI_SPREAD_DBM = 8.0
"""Devices of one place differ by this much each way: distance and walls."""

_WALKS = ((3_600_000, 4.0), (120_000, 2.0))
"""Period (ms) and reach (dBm) of the slow and the fast part of a device's random walk."""


def battery_pct(elapsed_ms: int, life_ms: int) -> float:
    """Return the charge left after this long, in per cent; when it is empty somebody changes the battery."""
    return round(100 * (1 - (elapsed_ms % life_ms) / life_ms), 1)


def battery_v(charge_pct: float) -> float:
    """Return the voltage of a lithium-polymer cell at this charge."""
    above = min(max(bisect_right(_CHARGE, charge_pct), 1), len(_CHARGE) - 1)
    low, high = _CHARGE[above - 1], _CHARGE[above]
    share = (charge_pct - low) / (high - low)
    return round(_VOLTS[above - 1] + share * (_VOLTS[above] - _VOLTS[above - 1]), 2)


def rssi_dbm(typical_dbm: float, key: int, now_ms: int) -> int:
    """Return the signal strength of the device with this key: its own level, and a smooth random walk around it."""
    level = typical_dbm + _RSSI_SPREAD_DBM * _symmetric(key, 0)
    for stream, (period_ms, reach_dbm) in enumerate(_WALKS, start=1):
        knot, within = divmod(now_ms, period_ms)
        share = within / period_ms
        smooth = share * share * (3 - 2 * share)
        before, after = _symmetric(key, stream, knot), _symmetric(key, stream, knot + 1)
        level += reach_dbm * (before + smooth * (after - before))
    return round(min(-10.0, max(-125.0, level)))


def rssi_dbm_column(typical_dbm: float, keys: Hashes, times_ms: Ints) -> Ints:
    """Return what `rssi_dbm` does, of many devices at once: each at its time."""
    level = typical_dbm + _RSSI_SPREAD_DBM * (2 * uniform(extend(keys, 0)) - 1)
    for stream, (period_ms, reach_dbm) in enumerate(_WALKS, start=1):
        knots, within = np.divmod(times_ms, period_ms)
        share = within / period_ms
        smooth = share * share * (3 - 2 * share)
        walk = extend(keys, stream)
        before, after = (2 * uniform(extend(walk, at)) - 1 for at in (knots, knots + 1))
        level += reach_dbm * (before + smooth * (after - before))
    return np.rint(np.clip(level, -125.0, -10.0)).astype(np.int64)


def draw(key: int, *counters: int) -> float:
    """Return a draw in [0, 1) for a device and counters: the finaliser of splitmix64, as in `devices.world.random`."""
    bits = key & _MASK
    for counter in counters:
        bits = ((bits ^ (counter & _MASK)) * _GOLDEN + _GOLDEN) & _MASK
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
        bits ^= bits >> 31
    return (bits >> 11) * 2.0**-53


def _symmetric(key: int, *counters: int) -> float:
    return 2 * draw(key, *counters) - 1
