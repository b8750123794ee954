"""A stream at a pace of its own shows the times of that pace, whatever times its messages name."""

from collections import defaultdict
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pytest

from devices.scenario.pace import at_pace, in_real_time
from devices.scenario.scenario import Scenario
from devices.sensors.gps.nmea import sentence
from devices.timeline.timeline import Timeline
from devices.timeline.wall_time import PacedTime
from edgewire.clock import parse_ms
from edgewire.messages import CONTRACT

NOON_MS = parse_ms("2026-03-04T12:00:00Z")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def paced(devices: list[dict[str, Any]], interval_ms: float, minutes: int = 3, **keys: Any) -> list[dict[str, Any]]:
    timeline = Timeline(Scenario.model_validate({"devices": devices} | keys), NOON_MS)
    timeline.paced = PacedTime(NOON_MS, interval_ms)
    windows = [timeline.batch(NOON_MS + n * 60_000, NOON_MS + (n + 1) * 60_000) for n in range(minutes)]
    return [orjson.loads(payload) for batch in windows for payload in batch.payload]


def test_the_kth_message_shows_the_time_of_its_turn() -> None:
    devices = [{"kind": kind, "count": 3, "interval": "2s"} for kind in CONTRACT]
    rows = paced(devices, 250)
    shown = np.array([ms(row["timestamp"]) - NOON_MS for row in rows])
    turns = np.arange(len(rows)) * 250
    # What is due at one moment shows one time.
    assert (shown <= turns).all()
    assert ((turns - shown) % 250 == 0).all()
    assert (turns - shown <= 1000).all()
    assert all(ms(row["ts"]) == ms(row["timestamp"]) for row in rows if "ts" in row)


def test_a_session_agrees_with_its_entry_its_exit_and_itself_at_any_pace() -> None:
    rows = paced([{"kind": "people", "count": 1, "interval": "1h", "settings": {"daily_customers": 5000}}], 700, 40)
    crossings: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if "time" in row:
            crossings[row["event_type"]].add(row["time"])
    sessions = [row for row in rows if row["event_type"] == "foot_traffic"]
    assert len(sessions) > 100
    for row in sessions:
        assert row["exit_time"] in crossings["exit"]
        assert ms(row["entry_time"]) < NOON_MS or row["entry_time"] in crossings["entry"]
        minutes = (ms(row["exit_time"]) - ms(row["entry_time"])) / 60_000
        assert row["trip_duration_minutes"] == round(minutes)
        assert row["weekday"] == datetime.fromisoformat(row["entry_time"]).strftime("%A")


def test_sentences_of_a_receiver_and_minutes_since_power_on_show_it_too() -> None:
    devices = [
        {"kind": "gps", "count": 2, "interval": "1s", "settings": {"nmea": True}},
        {"kind": "telematics", "count": 2, "interval": "1s"},
    ]
    rows = paced(devices, 4000)
    for row in rows:
        if "nmea" in row:
            clock = row["timestamp"][11:22].replace(":", "")
            assert all(clock in text for text in row["nmea"] if text[3:6] in ("RMC", "GGA", "GLL"))
            assert all(sentence(text[1:-3]) == text for text in row["nmea"])
        else:
            assert row["period_minute"] == (ms(row["timestamp"]) - NOON_MS) // 60_000
    assert max(row.get("period_minute", 0) for row in rows) > 20


def test_a_clock_that_is_wrong_is_as_wrong_at_any_pace() -> None:
    fault = {"type": "clock_step", "kind": "telematics", "offset": "1h", "from": "2026-03-04"}
    devices = [{"kind": "telematics", "count": 2, "interval": "1s"}]
    right, wrong = paced(devices, 90), paced(devices, 90, faults=[fault])
    assert {ms(one["timestamp"]) - ms(other["timestamp"]) for one, other in zip(wrong, right, strict=True)} == {
        3_600_000
    }
    assert all(one["ts"] == one["timestamp"] for one in wrong)


def test_times_pass_evenly_between_turns_and_as_ever_before_the_first() -> None:
    time = PacedTime(1000, 500)
    time.extend(np.array([5000, 5000, 9000]))
    assert time(np.array([0, 1000, 5000, 7000, 9000, 9100])).tolist() == [0, 1000, 1000, 1500, 2000, 2100]


def test_real_timestamps_make_a_time_scale_a_pace() -> None:
    text = {
        "time_scale": 60,
        "timestamps": "real",
        "devices": [
            {"kind": "bme280", "count": 1, "interval": "60s", "jitter": "6s"},
            {"kind": "people", "count": 1, "interval": "1h"},
        ],
    }
    fast = in_real_time(Scenario.model_validate(text))
    assert fast.time_scale == 1
    assert [group.interval for group in fast.devices] == [1000, 60_000]
    assert (fast.devices[0].jitter, fast.devices[1].settings["daily_customers"]) == (100, 60_000)
    assert in_real_time(fast) == fast
    slow = Scenario.model_validate(text | {"timestamps": "device"})
    assert in_real_time(slow) == slow
    # As many messages in a minute as there would be in an hour of the devices' time, and a visit lasts as long. At
    # power-on whoever is inside enters at once, and in a minute of these there are as many inside as in one of those.
    on_ms = NOON_MS - 3_600_000
    minute = [orjson.loads(one) for one in Timeline(fast, on_ms).batch(NOON_MS, NOON_MS + 60_000).payload]
    hour = [orjson.loads(one) for one in Timeline(slow, on_ms).batch(NOON_MS, NOON_MS + 3_600_000).payload]
    assert len(minute) == pytest.approx(len(hour), rel=0.25)
    stays = [row["trip_duration_minutes"] for row in minute if row.get("event_type") == "foot_traffic"]
    assert 10 < float(np.median(stays)) < 22


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_a_pace_stays_within_what_a_scenario_may_say(factor: float) -> None:
    scenario = Scenario(devices=[{"kind": kind, "count": 1, "interval": "5s"} for kind in CONTRACT])
    changed = at_pace(scenario, factor)
    assert Scenario.model_validate(changed.model_dump(mode="json", exclude_defaults=True)) == changed
