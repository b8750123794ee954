"""How a fleet comes back: nobody but the devices themselves spreads it."""

from collections import Counter
from random import Random

from devices.firmware.reconnect import ReconnectConfig

DEVICES = 5000


def most_in_a_second(config: ReconnectConfig, outage_s: float) -> int:
    """Of a fleet whose dials are refused at once: the most devices within one second, once the broker is back."""
    rng, returns = Random(1), Counter[int]()
    for _ in range(DEVICES):
        at_s, failures = config.delay_s(0, rng.random()), 1
        while at_s < outage_s:
            at_s += config.delay_s(failures, rng.random())
            failures += 1
        returns[int(at_s - outage_s)] += 1
    return max(returns.values())


def test_after_a_long_outage_the_cap_spreads_the_fleet() -> None:
    assert DEVICES * 2 / 60 * 0.8 < most_in_a_second(ReconnectConfig(), 120) < DEVICES * 2 / 60 * 1.3


def test_after_a_restart_the_base_spreads_the_fleet() -> None:
    assert most_in_a_second(ReconnectConfig(), 0.1) > DEVICES / 2
    assert most_in_a_second(ReconnectConfig(base="20s"), 0.1) < DEVICES / 20 * 1.3


def test_a_fixed_wait_spreads_nothing() -> None:
    assert most_in_a_second(ReconnectConfig(policy="fixed"), 120) == DEVICES
