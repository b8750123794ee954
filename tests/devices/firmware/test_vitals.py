"""Battery and radio: bounded, smooth, and the same whenever asked."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.vitals import battery_pct, battery_v, draw, rssi_dbm, rssi_dbm_column
from devices.world import random as rng

keys = st.integers(0, 2**64 - 1)
times = st.integers(0, 2**42)


@given(key=keys, now_ms=times, typical=st.integers(-100, -40))
def test_signal_strength_walks_around_the_level_of_its_device(key: int, now_ms: int, typical: int) -> None:
    here = rssi_dbm(typical, key, now_ms)
    assert typical - 15 <= here <= typical + 15
    assert abs(rssi_dbm(typical, key, now_ms + 1000) - here) <= 1
    assert rssi_dbm(typical, key, now_ms) == here


def test_devices_differ_and_walk() -> None:
    assert len({rssi_dbm(-67, key, 0) for key in range(50)}) > 5
    assert len({rssi_dbm(-67, 1, minute * 60_000) for minute in range(240)}) > 3


@given(elapsed_ms=times, life_ms=st.integers(60_000, 10**11))
def test_a_battery_empties_and_is_changed(elapsed_ms: int, life_ms: int) -> None:
    charge = battery_pct(elapsed_ms, life_ms)
    assert 0 <= charge <= 100
    assert 3.0 <= battery_v(charge) <= 4.2
    assert battery_pct(0, life_ms) == battery_pct(life_ms, life_ms) == 100


def test_the_voltage_falls_slowly_and_then_fast() -> None:
    volts = [battery_v(charge) for charge in range(101)]
    assert volts == sorted(volts)
    assert volts[50] - volts[20] < volts[10] - volts[0]


@given(bits=keys, first=st.integers(0, 2**40), second=st.integers(0, 2**40))
def test_draws_are_those_of_the_world(bits: int, first: int, second: int) -> None:
    drawn = rng.uniform(rng.extend(np.array([bits], dtype=np.uint64), first, second))[0]
    assert draw(bits, first, second) == drawn


@given(devices=st.lists(st.tuples(keys, times), min_size=1, max_size=20), typical=st.integers(-95, -40))
def test_many_devices_at_once_have_the_strength_of_each(devices: list[tuple[int, int]], typical: int) -> None:
    asked = np.array([key for key, _ in devices], dtype=np.uint64)
    column = rssi_dbm_column(typical, asked, np.array([now_ms for _, now_ms in devices]))
    assert column.tolist() == [rssi_dbm(typical, key, now_ms) for key, now_ms in devices]
