"""The sentence that says what the limit was names the right component and its evidence."""

from typing import Any

import pytest

from devices.fleet.bottleneck import diagnose
from devices.fleet.latency import Histogram
from devices.fleet.metrics import FleetSnapshot


def histogram(milliseconds: float) -> Histogram:
    made = Histogram()
    made.add([milliseconds] * 100)
    return made


def snapshot(lag_ms: float = 1, puback_ms: float = 1, **values: Any) -> FleetSnapshot:
    lag, puback = histogram(lag_ms), histogram(puback_ms)
    return FleetSnapshot(**{"devices": 100, "connected": 100, "elapsed_s": 10, "lag": lag, "puback": puback} | values)


@pytest.mark.parametrize(
    ("run", "component", "evidence"),
    [
        (snapshot(cpu_s=1), "none", "at 10% of a core"),
        (snapshot(lag_ms=300, cpu_s=9.9), "generator", "no core was left"),
        (snapshot(lag_ms=300, cpu_s=2), "generator", "something else used its processor"),
        (snapshot(puback_ms=5000), "broker", "acknowledged within 5"),
        (snapshot(stalled=5000), "broker", "5,000 messages waited"),
        (snapshot(refused_dials=7, connected=93), "broker", "refused 7 connections, and 7 devices were not connected"),
        (snapshot(slowed_s=12), "broker", "slow to answer for 12 s"),
        (snapshot(reconnects=40), "network", "40 reconnections"),
        (snapshot(connected=60), "network", "40 devices not connected"),
        (snapshot(connected=60, unconnected=39), "network", "40 devices not connected"),
        (snapshot(connected=60, unconnected=40), "none", "the run ended before 40 devices had connected"),
        (snapshot(connected=60, resting=40), "none", "at 0% of a core"),
    ],
)
def test_the_component_and_the_evidence(run: FleetSnapshot, component: str, evidence: str) -> None:
    limit = diagnose(run)
    assert limit.component == component
    assert evidence in limit.summary


def test_processes_add_up() -> None:
    total = FleetSnapshot.total([snapshot(cpu_s=5), snapshot(cpu_s=1, lag_ms=100)])
    assert (total.devices, total.cpu_s, total.elapsed_s, total.lag.total) == (200, 6, 20, 200)
    assert "at 30% of a core" in diagnose(total).summary
