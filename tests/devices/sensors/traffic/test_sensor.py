"""Traffic camera: counts, headways and what it misses, with the statistics of real ones."""

from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.sensors.base import Population
from devices.sensors.columns import Columns
from devices.sensors.traffic.sensor import TrafficSensor, TrafficSettings
from devices.sensors.traffic.vehicles import DetectedVehicles
from devices.sensors.traffic.view import camera_views
from devices.timeline.timeline import Timeline
from devices.world.components import components
from devices.world.random import hash_bits
from devices.world.roads import LANE
from devices.world.world import Site, World
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# A country lane with about 450 vehicles in its busiest hour, which is the volume of Telraam's streets.
ROAD = 57


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    """Return the readings as the rows that consumers see."""
    values = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def readings(from_ms: int, to_ms: int, *groups: dict[str, Any], seed: int = 5) -> list[dict[str, Any]]:
    timeline = Timeline(Scenario(seed=seed, devices=groups), from_ms)
    return [orjson.loads(payload) for payload in timeline.batch(from_ms, to_ms).payload]


class TestCamera:
    def test_the_parts_of_a_count_agree_with_it(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "traffic", "count": 8, "interval": "5m"})
        assert any(row["vehicle_count"] == 0 for row in rows)
        for row in rows:
            count, gaps = row["vehicle_count"], row["inter_arrival_stats"]
            for tally in ("color_counts", "class_counts", "direction_counts"):
                assert sum(row[tally].values()) == count
            if count == 0:
                assert row["avg_speed"] is row["min_speed"] is row["max_speed"] is None
            else:
                assert 0 < row["min_speed"] <= row["avg_speed"] <= row["max_speed"]
            if count < 2:
                assert gaps["mean"] is None
            else:
                assert gaps["min"] <= gaps["mean"] <= gaps["max"]
                assert gaps["mean"] * (count - 1) <= row["interval_s"] + 0.001 * count

    @pytest.mark.slow
    def test_colours_and_classes_have_the_published_shares(self) -> None:
        # Of what passes; what a camera makes of colours at night is another test's.
        group = {"kind": "traffic", "count": 6, "interval": "30m", "settings": {"detection": 1}}
        rows = readings(MONDAY_MS, MONDAY_MS + 3 * DAY_MS, group)
        total = sum(row["vehicle_count"] for row in rows)
        assert total > 50_000
        # Axalta 2025 and DfT 2007.
        for tally, name, share in (
            ("color_counts", "white", 0.29), ("color_counts", "black", 0.23), ("color_counts", "gray", 0.22),
            ("class_counts", "car", 0.78), ("class_counts", "van", 0.14), ("class_counts", "truck", 0.06),
        ):  # fmt: skip
            assert sum(row[tally].get(name, 0) for row in rows) / total == pytest.approx(share, abs=0.01)

    @pytest.mark.slow
    def test_rush_hours_are_busier_and_slower_than_nights(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 5 * DAY_MS, {"kind": "traffic", "count": 12, "interval": "1h"})

        def mean(field: str, hours: tuple[int, ...]) -> float:
            return float(
                np.mean([r[field] for r in rows if int(r["timestamp"][11:13]) in hours and r["vehicle_count"]])
            )

        assert mean("vehicle_count", (17, 18)) > 5 * mean("vehicle_count", (2, 3))
        assert mean("avg_speed", (18,)) < 0.95 * mean("avg_speed", (3, 4))
        assert mean("traffic_density_score", (18,)) > mean("traffic_density_score", (3,))

    def test_vehicles_of_the_fleet_are_in_the_counts(self) -> None:
        cameras = {"kind": "traffic", "count": 12, "interval": "5m"}
        day = (MONDAY_MS + DAY_MS // 4, MONDAY_MS + DAY_MS // 2)
        alone = readings(*day, cameras)
        shared = readings(*day, cameras, {"kind": "gps", "count": 200, "interval": "6h"})
        more = [
            with_fleet["vehicle_count"] - without["vehicle_count"]
            for with_fleet, without in zip([r for r in shared if "vehicle_count" in r], alone, strict=True)
        ]
        assert min(more) >= 0
        assert sum(more) > 100

    @pytest.mark.slow
    def test_a_day_s_count_is_that_of_its_hours(self) -> None:
        group = {"kind": "traffic", "count": 6, "settings": {"detection": 1, "outage_chance": 0}}
        begin = MONDAY_MS + DAY_MS
        days = readings(begin, begin + DAY_MS, group | {"interval": "1d"})
        hours = readings(begin - DAY_MS, begin + DAY_MS, group | {"interval": "1h"})
        for day in days:
            end = parse_ms(day["timestamp"])
            its = [row for row in hours if row["device_id"] == day["device_id"]]
            its = [row for row in its if end - DAY_MS < parse_ms(row["timestamp"]) <= end]
            assert len(its) == 24
            assert day["vehicle_count"] == pytest.approx(sum(row["vehicle_count"] for row in its), rel=0.06)
            speeds, weights = zip(*((row["avg_speed"] or 0, row["vehicle_count"]) for row in its), strict=True)
            assert day["avg_speed"] == pytest.approx(np.average(speeds, weights=weights), rel=0.03)

    def test_memory_does_not_grow_with_the_vehicles(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World.build(5, [Site(name="a", latitude=48.0, longitude=2.0)])
        cameras, zeros = np.arange(10), np.zeros(10, dtype=np.int64)
        population = Population(hash_bits(1, "cameras", cameras), zeros, np.full(10, HOUR_MS), cameras)
        ids, hours = (part.ravel() for part in np.meshgrid(cameras, np.arange(1, 25)))
        whole = rows_of(TrafficSensor(TrafficSettings(), population).sample(world, ids, MONDAY_MS + hours * HOUR_MS))
        drawn: list[int] = []

        class Watched(DetectedVehicles):
            def __init__(self, *arguments: Any) -> None:
                drawn.append(int(arguments[4].sum()))
                super().__init__(*arguments)

        monkeypatch.setattr("devices.sensors.traffic.sensor.DetectedVehicles", Watched)
        careful = TrafficSensor(TrafficSettings(), population, vehicles_at_once=10_000)
        assert rows_of(careful.sample(world, ids, MONDAY_MS + hours * HOUR_MS)) == whole
        assert len(drawn) > 5
        assert max(drawn) < 15_000

    @pytest.mark.slow
    def test_flow_factor_scales_the_traffic(self) -> None:
        group = {"kind": "traffic", "count": 6, "interval": "1h"}
        plain = readings(MONDAY_MS, MONDAY_MS + DAY_MS, group)
        double = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {**group, "settings": {"flow_factor": 2}})
        ratio = sum(r["vehicle_count"] for r in double) / sum(r["vehicle_count"] for r in plain)
        assert ratio == pytest.approx(2, abs=0.1)

    @pytest.mark.slow
    def test_vehicles_are_missed_by_light_rain_and_chance(self) -> None:
        group = {"kind": "traffic", "count": 6, "interval": "1h"}
        days = (MONDAY_MS, MONDAY_MS + 2 * DAY_MS)
        ideal = readings(*days, {**group, "settings": {"detection": 1, "outage_chance": 0}})
        weak = readings(*days, {**group, "settings": {"detection": 0.8, "outage_chance": 0}})
        pairs = [
            (a["vehicle_count"], b["vehicle_count"], a["timestamp"][11:13]) for a, b in zip(weak, ideal, strict=True)
        ]
        assert all(seen <= there for seen, there, _ in pairs)

        def share(hours: tuple[str, ...]) -> float:
            rows = [pair for pair in pairs if pair[2] in hours]
            return sum(pair[0] for pair in rows) / sum(pair[1] for pair in rows)

        assert 0.70 < share(("00", "01", "02", "03", "22", "23")) < share(("10", "11", "12")) < 0.81
        assert all((row["confidence"] is None) == (row["vehicle_count"] == 0) for row in weak)
        assert all(0.5 < row["confidence"] < 1 for row in weak if row["vehicle_count"])

    def test_a_blind_camera_says_so(self) -> None:
        settings = {"night": "blind", "outage_chance": 0}
        rows = readings(
            MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "traffic", "count": 8, "interval": "1h", "settings": settings}
        )
        blind = [row for row in rows if row["uptime"] == 0]
        # Telraam, over a year: 44 % of hours; in early March the night is a little longer than that.
        assert 0.38 < len(blind) / len(rows) < 0.55
        assert all(row["vehicle_count"] == 0 and row["avg_speed"] is None for row in blind)
        noon = [row for row in rows if row["timestamp"][11:13] == "12"]
        assert all(row["uptime"] == 1 and row["vehicle_count"] for row in noon)
        assert any(0 < row["uptime"] < 1 for row in rows)

    def test_outages_lower_the_uptime_and_the_count_for_some_minutes(self) -> None:
        group = {"kind": "traffic", "count": 4, "interval": "5m", "settings": {"outage_chance": 1}}
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, group)
        down = sum(1 - row["uptime"] for row in rows) * 5 / 4
        assert 10 < down < 90  # two of 2 to 45 minutes
        assert all(row["vehicle_count"] == 0 for row in rows if row["uptime"] == 0)

    @pytest.mark.slow
    def test_the_tide_turns_between_morning_and_evening(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 5 * DAY_MS, {"kind": "traffic", "count": 8, "interval": "1h"})

        def inbound(hour: str) -> float:
            there = [row for row in rows if row["timestamp"][11:13] == hour]
            return sum(row["direction_counts"].get("inbound", 0) for row in there) / sum(
                row["vehicle_count"] for row in there
            )

        # Telraam: .59 at 8 h to .41 at 17 h on one street, .27 to .55 (seen from the other side) on the other.
        assert 0.55 < inbound("08") < 0.75
        assert 0.25 < inbound("17") < 0.45

    @pytest.mark.slow
    def test_trucks_are_slower_and_more_alike_than_cars_on_highways(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "traffic", "count": 12, "interval": "10s"})
        alone = [row for row in rows if sum(row["class_counts"].values()) == 1 and row["traffic_density_score"] < 0.1]
        speeds = {
            name: np.array([row["avg_speed"] for row in alone if name in row["class_counts"] and row["avg_speed"] > 72])
            for name in ("car", "truck")
        }
        assert len(speeds["truck"]) > 20
        assert speeds["truck"].mean() < speeds["car"].mean() - 5
        assert speeds["truck"].std() < speeds["car"].std()


WEEKS = 26
WORLD = World.build(5, [Site(name="a", latitude=48.1, longitude=-1.4)])


@lru_cache
def half_a_year() -> dict[str, np.ndarray]:
    """What a camera that misses nothing counts on that lane, hour by hour [day, hour]."""
    keys, places = hash_bits(1, "cameras", np.arange(400)), np.zeros(400, dtype=np.int64)
    key = keys[camera_views(WORLD, keys, places).roads == ROAD][:1]
    interval = np.array([HOUR_MS // 6])
    camera = TrafficSensor(
        TrafficSettings(detection=1, outage_chance=0), Population(key, places[:1], interval, places[:1])
    )
    times = parse_ms("2026-01-05T00:00:00Z") + (np.arange(WEEKS * 7 * 24 * 6) + 1) * HOUR_MS // 6
    counts = [
        camera.sample(WORLD, np.zeros_like(part), part)["vehicle_count"] for part in np.array_split(times, 7 * WEEKS)
    ]
    return {
        "counts": np.concatenate(counts).reshape(-1, 24, 6).sum(axis=2).astype(float),
        "weekday": np.arange(7 * WEEKS) % 7,
    }


class TestOverDispersion:
    """Telraam, two streets of Chateaubourg, 2022 (realism.md section 3): 7 to 20 h on weekdays; seed 5."""

    @pytest.mark.slow
    def test_hourly_fano_factor(self) -> None:
        year = half_a_year()
        hours = year["counts"][year["weekday"] < 5][:, 7:20]
        assert 200 < hours.mean() < 400  # the volume of such streets
        assert 11 < (hours.var(axis=0) / hours.mean(axis=0)).mean() < 20

    @pytest.mark.slow
    def test_effects_of_day_and_hour(self) -> None:
        year = half_a_year()
        hours = year["counts"][year["weekday"] < 5][:, 7:20]
        relative = hours / hours.mean(axis=0)
        day = relative.mean(axis=1)
        assert 0.08 < day.std() < 0.18
        residual = relative / day[:, None] - 1
        beyond_poisson = np.sqrt(residual.var() - (1 / hours.mean(axis=0)).mean())
        assert 0.10 < beyond_poisson < 0.25
        lag = np.corrcoef(residual[:, :-1].ravel(), residual[:, 1:].ravel())[0, 1]
        assert 0.07 < lag < 0.26

    @pytest.mark.slow
    def test_share_of_the_weekend_and_of_the_hours(self) -> None:
        year = half_a_year()
        counts, weekday = year["counts"], year["weekday"]
        work = counts[weekday < 5].mean(axis=0)
        assert counts[weekday == 5].mean() / work.mean() == pytest.approx(0.85, abs=0.06)
        assert counts[weekday == 6].mean() / work.mean() == pytest.approx(0.57, abs=0.06)
        shares = 100 * work / work[6:22].sum()
        for hour, share in ((8, 7.0), (12, 6.9), (17, 10.2), (20, 3.5)):
            assert shares[hour] == pytest.approx(share, abs=0.7)

    def test_busier_hours_are_a_little_slower(self) -> None:
        traffic, plan = components(WORLD).traffic, components(WORLD).roads.plan
        days = parse_ms("2026-01-05T00:00:00Z") + np.arange(120) * DAY_MS
        times = days[np.arange(120) % 7 < 5][:, None] + np.arange(7 * 6, 20 * 6) * HOUR_MS // 6
        found = []
        for lane in np.flatnonzero(plan.road_class == LANE):
            flow = traffic.flow_at(np.zeros(times.size, dtype=np.int64), np.full(times.size, lane), times.ravel())
            volume, speed = (values.reshape(-1, 6).mean(axis=1) for values in (flow.vehicles_per_hour, flow.speed_ms))
            found.append(np.corrcoef(np.random.default_rng(1).poisson(volume), speed)[0, 1])
        # Telraam has -0.25, one figure of two streets whose hours are not told. Ours differ by 0.06 from lane to lane;
        # for that, and for what is unknown of theirs, 0.15 either way is by judgement.
        assert -0.40 < np.mean(found) < -0.10
        assert max(found) < 0


@pytest.mark.slow
def test_vehicles_of_the_fleet_are_seen_as_they_drive() -> None:
    rush = (MONDAY_MS + 8 * HOUR_MS, MONDAY_MS + 9 * HOUR_MS)
    lonely = {"flow_factor": 1e-9, "detection": 1, "outage_chance": 0}
    rows = readings(
        *rush,
        {"kind": "traffic", "count": 30, "interval": "20s", "settings": lonely},
        {"kind": "telematics", "count": 120, "interval": "4s"},
    )
    trace = [(parse_ms(row["timestamp"]), row["speed_mph"]) for row in rows if "speed_mph" in row]
    moments, speeds = np.array([moment for moment, _ in trace]), np.array([mph for _, mph in trace]) * 1.609344
    seen = [row for row in rows if row.get("vehicle_count") == 1]
    assert len(seen) > 50
    for row in seen:
        end = parse_ms(row["timestamp"])
        assert row["class_counts"] == {"van": 1}
        assert np.abs(speeds[(moments > end - 20_000) & (moments <= end + 2000)] - row["avg_speed"]).min() < 3
    assert len({tuple(row["direction_counts"]) for row in seen}) == 2
