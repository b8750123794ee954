"""What is compared of GPS receivers: the sky in their NMEA sentences, the dilution, and what comes after a loss."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from benchmarks.realism.trip_statistics import MONDAY_MS, PLACE
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from devices.world.world import HOUR_MS

_LOST, _FOUND = "2026-03-02T08:10:00Z", "2026-03-02T08:20:00Z"
_FOUND_MS = MONDAY_MS + 8 * HOUR_MS + 20 * 60_000
_LEAST_MESSAGES = 20


def receiver_statistics(version: int, seed: int, units: int = 12, hours: int = 8) -> Iterator[tuple[str, float]]:
    """Yield what the table has of receivers of a world, by name."""
    sky = _messages(version, seed, units, "60s", MONDAY_MS + 8 * HOUR_MS, hours * HOUR_MS, nmea=True)
    yield from _sentences(sky)
    yield from _dilution(sky)
    fault = {"type": "gps_loss", "from": _LOST, "to": _FOUND}
    after = _messages(version, seed, units, "1s", _FOUND_MS - 3000, 30_000, fault)
    first: dict[str, float] = {}
    for row in after:
        if row["fix"] != "none":
            first.setdefault(row["device_id"], row["hdop"])
    yield "first HDOP after a `gps_loss` of ten minutes, mean", float(np.mean(list(first.values())))


def _messages(
    version: int, seed: int, units: int, interval: str, begin_ms: int, length_ms: int, *faults: dict[str, Any],
    **settings: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the messages of gps units, in the order of time."""
    group = {"kind": "gps", "count": units, "interval": interval, "settings": settings}
    scenario = Scenario.model_validate(
        {"seed": seed, "world": version, "sites": [PLACE], "devices": [group], "faults": faults, "vehicles": 0}
    )
    batch = Timeline(scenario, MONDAY_MS).batch(begin_ms, begin_ms + length_ms)
    return sorted(map(orjson.loads, batch.payload), key=lambda row: (row["timestamp"], row["device_id"]))


def _sentences(messages: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    heights: dict[str, set[str]] = {}
    whole, agrees, geoid = [], [], []
    for row in messages:
        lines = [line[1:].split("*")[0].split(",") for line in row["nmea"]]
        for fields in lines:
            for at in range(4, len(fields) - 3, 4) if fields[0] == "GPGSV" else ():
                heights.setdefault(fields[at], set()).add(fields[at + 1])
        gga = next(fields for fields in lines if fields[0].endswith("GGA"))
        if row["fix"] != "none":
            whole.append(gga[1].endswith(".00"))
            agrees.append(int(gga[7]) == row["satellites"])
        if row["fix"] == "3d":
            geoid.append(float(gga[11]))
    yield "heights of a satellite in 8 h, most of one number (degrees)", max(map(len, heights.values()))
    yield "epochs at full seconds (%)", 100 * float(np.mean(whole))
    yield "epochs of which GGA says as many satellites as the message (%)", 100 * float(np.mean(agrees))
    yield "geoid at Paris (m)", float(np.mean(geoid))


def _dilution(messages: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    by_count: dict[int, list[float]] = {}
    for row in messages:
        if row["fix"] == "3d":
            by_count.setdefault(row["satellites"], []).append(row["hdop"])
    means = [float(np.mean(by_count[count])) for count in sorted(by_count) if len(by_count[count]) >= _LEAST_MESSAGES]
    yield "one satellite more, of which the mean HDOP rises (%)", 100 * float((np.diff(means) > 0).mean())
    yield "HDOP with most satellites, beside the least there is", means[-1] / min(means)
