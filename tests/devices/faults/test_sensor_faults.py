"""What each type of fault makes of the messages of a device."""

from typing import Any

import numpy as np
import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire.clock import iso_ms, parse_ms
from edgewire.messages import CONTRACT, ContractError

BEGIN_MS = parse_ms("2026-03-04T12:00:00Z")
FROM_MS, TO_MS = BEGIN_MS + 600_000, BEGIN_MS + 1_800_000
END_MS = BEGIN_MS + 2_400_000
WHEN = {"from": "2026-03-04T12:10:00Z", "to": "2026-03-04T12:30:00Z"}
HOUR_MS = 3_600_000


def timeline(kind: str, *faults: dict[str, Any]) -> Timeline:
    groups = [{"kind": kind, "count": 4, "interval": "10s"}]
    return Timeline(
        Scenario(seed=3, devices=groups, faults=[{"kind": kind, **WHEN, **fault} for fault in faults]), EPOCH_MS
    )


def rows(line: Timeline) -> dict[tuple[str, int], tuple[int, dict[str, Any]]]:
    """Device and seq -> due time and message."""
    batch = line.batch(BEGIN_MS, END_MS)
    messages = [orjson.loads(payload) for payload in batch.payload]
    return {(row["device_id"], row["seq"]): (due, row) for due, row in zip(batch.due_ms, messages, strict=True)}


def pairs(kind: str, *faults: dict[str, Any]) -> list[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Due time, clean and faulty message of the first device in the window; outside nothing may differ.

    But for what a fault leaves for some time after it.
    """
    trail_ms = 90_000 if any(fault["type"] == "gps_loss" for fault in faults) else 0
    line = timeline(kind, *({"devices": [f"{kind}-0001"], **fault} for fault in faults))
    clean, faulty = rows(timeline(kind)), rows(line)
    assert set(clean) == set(faulty)
    inside = []
    for key, (due, row) in clean.items():
        assert list(row) == list(faulty[key][1])
        if key[0] == f"{kind}-0001" and FROM_MS <= due < TO_MS:
            inside.append((due, row, faulty[key][1]))
        elif key[0] != f"{kind}-0001" or not TO_MS <= due < TO_MS + trail_ms:
            assert faulty[key] == (due, row)
    assert inside
    return inside


def numbers(kind: str, field: str, **fault: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hours since the fault began, true and faulty values of a field; nothing else may differ."""
    found = pairs(kind, {"field": field, **fault})
    for _, clean, faulty in found:
        assert clean | {field: 0} == faulty | {field: 0}
        assert type(clean[field]) is type(faulty[field])
    hours = [(due - FROM_MS) / HOUR_MS for due, _, _ in found]
    return (
        np.array(hours), np.array([row[field] for _, row, _ in found]), np.array([row[field] for _, _, row in found])
    )  # fmt: skip


def test_bias() -> None:
    _, true, wrong = numbers("bme280", "temperature_c", type="bias", offset=5)
    np.testing.assert_allclose(wrong - true, 5, atol=1e-9)
    assert wrong.tolist() == np.round(wrong, 2).tolist()


def test_gain_of_a_whole_number_stays_one() -> None:
    _, true, wrong = numbers("traffic", "vehicle_count", type="gain", factor=1.5)
    assert wrong.dtype == np.int64
    assert wrong.tolist() == np.rint(1.5 * true).tolist()
    assert true.sum() > 0


def test_drift_begins_with_the_fault() -> None:
    hours, true, wrong = numbers("bme280", "pressure_hpa", type="drift", per_hour=-6)
    np.testing.assert_allclose(wrong - true, -6 * hours, atol=0.006)


def test_spikes_are_rare_large_and_of_either_sign() -> None:
    _, true, wrong = numbers("bme280", "temperature_c", type="spike", size=2, chance=0.25)
    spikes = (wrong - true)[wrong != true]
    # 120 readings, a quarter of them: five deviations either way.
    assert 6 <= len(spikes) <= 54
    assert np.abs(spikes).min() >= 2 - 0.01
    assert np.abs(spikes).max() > 6
    assert {-1, 1} == set(np.sign(spikes))


def test_noise_has_its_deviation() -> None:
    _, true, wrong = numbers("bme280", "humidity", type="noise", sigma=3)
    # 120 readings: the deviation of a deviation is 6.5 %.
    assert 2.0 < (wrong - true).std() < 4.0
    assert abs((wrong - true).mean()) < 1.4


def test_stuck_at_the_last_reading_before() -> None:
    _, true, wrong = numbers("bme280", "temperature_c", type="stuck_at")
    before = [
        row for due, row in rows(timeline("bme280")).values() if due < FROM_MS and row["device_id"] == "bme280-0001"
    ]
    assert set(wrong) == {max(before, key=lambda row: int(row["seq"]))["temperature_c"]}
    assert len(set(true)) > 10


def test_quantise() -> None:
    _, true, wrong = numbers("bme280", "humidity", type="quantise", step=0.5)
    assert (wrong % 0.5 == 0).all()
    assert np.abs(wrong - true).max() <= 0.25 + 1e-9


def test_clip() -> None:
    middle = round(float(np.median(numbers("bme280", "temperature_c", type="gain", factor=1)[1])), 2)
    _, true, wrong = numbers("bme280", "temperature_c", type="clip", high=middle)
    assert wrong.tolist() == np.minimum(true, middle).tolist()
    assert (wrong != true).any()
    _, true, wrong = numbers("bme280", "temperature_c", type="clip", low=middle)
    assert wrong.tolist() == np.maximum(true, middle).tolist()


# Ranges: what users report (opendata-stuttgart/sensors-software #394 #739 #926 #1012 #1030, esphome/issues #3383), and
# what the RPi.bme280 driver was measured to read, over the spread of calibrations from unit to unit.
@pytest.mark.parametrize(
    ("code", "temperature", "humidity", "pressure"),
    [
        ("temperature_zero", (-147, -134), (0, 100), (580, 800)),
        ("all_zero", (-147, -134), (0, 0), (1290, 1336)),
        ("all_ones", (183, 192), (100, 100), (-100, -90)),
        ("pressure_reset", None, None, (790, 840)),
    ],
)
def test_code_faults(code: str, temperature: Any, humidity: Any, pressure: Any) -> None:
    for _, clean, faulty in pairs("bme280", {"type": "code_fault", "code": code}):
        for field, limits in (("temperature_c", temperature), ("humidity", humidity), ("pressure_hpa", pressure)):
            low, high = limits or (clean[field], clean[field])
            assert low <= faulty[field] <= high
        assert clean["metadata"] == faulty["metadata"]
        if temperature:
            # A broken sensor sends what it sends: ingest is there to refuse it.
            with pytest.raises(ContractError, match="temperature_c"):
                CONTRACT["bme280"].check(faulty)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bme280", "gps", "people", "telematics"])
def test_a_clock_step_moves_all_times_of_a_message(kind: str) -> None:
    for due, clean, faulty in pairs(kind, {"type": "clock_step", "offset": "-1h"}):
        assert parse_ms(faulty["timestamp"]) == due - HOUR_MS
        for field in {"ts", "time", "entry_time", "exit_time"} & set(clean):
            assert parse_ms(faulty[field]) == parse_ms(clean[field]) - HOUR_MS
        rest = set(clean) - {"timestamp", "ts", "time", "entry_time", "exit_time"}
        assert {name: clean[name] for name in rest} == {name: faulty[name] for name in rest}


def test_a_clock_drift_grows_from_its_beginning() -> None:
    for due, _, faulty in pairs("gps", {"type": "clock_drift", "per_hour": "12s"}):
        assert parse_ms(faulty["timestamp"]) == due + round((due - FROM_MS) * 12 / 3600)


def test_gps_loss() -> None:
    for _, clean, faulty in pairs("gps", {"type": "gps_loss"}):
        lost = ("latitude", "longitude", "altitude_m", "speed_kmh", "heading_deg")
        assert faulty == clean | {"fix": "none", "hdop": 99.99, "satellites": 0} | dict.fromkeys(lost)
        CONTRACT["gps"].check(faulty)
    for _, clean, faulty in pairs("telematics", {"type": "gps_loss"}):
        assert faulty == clean | {"latitude": None, "longitude": None}


def test_gps_loss_is_in_the_sentences_too() -> None:
    devices = [{"kind": "gps", "count": 1, "interval": "10s", "settings": {"nmea": True}}]
    fault = {"type": "gps_loss", "from": "2026-03-04T12:00:00Z", "to": "2026-03-04T12:01:00Z"}
    line = Timeline(Scenario(devices=devices, faults=[fault]), parse_ms("2026-03-04T11:00:00Z"))
    start = parse_ms("2026-03-04T12:00:00Z")
    lost = [orjson.loads(payload) for payload in line.batch(start, start + 60_000, clean=True).payload]
    assert len(lost) == 6
    for row in lost:
        assert row["nmea"][0].startswith(f"$GNRMC,{row['timestamp'][11:19].replace(':', '')}")
        assert [text.split(",")[2] for text in row["nmea"] if text[3:6] == "RMC"] == ["V"]
        assert row["clean_nmea"][0].split(",")[2] == "A"
    assert "nmea" in line.labels(start, start + 60_000)[0].fields


def after_loss(kind: str, world: int, lost_min: int, **settings: Any) -> list[tuple[float, dict[str, Any]]]:
    """Age of the fix (s), and message with its clean values, of units that had lost the satellites for so long."""
    devices = [{"kind": kind, "count": 12, "interval": "1s", "settings": {"signal_loss": False, **settings}}]
    end = parse_ms("2026-03-04T12:00:00Z")
    fault = {"type": "gps_loss", "kind": kind, "from": iso_ms(end - lost_min * 60_000), "to": iso_ms(end)}
    line = Timeline(Scenario(world=world, devices=devices, faults=[fault]), end - 86_400_000)
    found = [orjson.loads(payload) for payload in line.batch(end, end + 120_000, clean=True).payload]
    shown = [row for row in found if any(row[name[6:]] != row[name] for name in row if name.startswith("clean_"))]
    # It is the fault that they show, so that its labels have them as well.
    assert sum(label.messages for label in line.labels(end, end + 120_000)) == len(shown) > 0
    return [((parse_ms(row["timestamp"]) - end) / 1000, row) for row in found]


def mean_by_age(rows: list[tuple[float, dict[str, Any]]], name: str, begin: float, end: float) -> float:
    return float(np.mean([row[name] - row[f"clean_{name}"] for age, row in rows if begin <= age < end]))


@pytest.mark.parametrize("world", [1, 2])
def test_after_gps_loss_satellites_are_found_one_by_one(world: int) -> None:
    rows = after_loss("gps", world, 1, nmea=True)
    assert all(row["fix"] in ("2d", "3d") for _, row in rows)
    assert mean_by_age(rows, "hdop", 0, 2) > 1 > 0.2 > mean_by_age(rows, "hdop", 30, 60)
    missing = [mean_by_age(rows, "satellites", begin, begin + 5) for begin in range(0, 30, 5)]
    assert missing[0] < -3
    assert (np.diff(missing) > -0.2).all()
    for age, row in rows:
        assert row["satellites"] <= row["clean_satellites"]
        assert row["hdop"] >= row["clean_hdop"]
        gga, gsa = (next(text.split(",") for text in row["nmea"] if text[3:6] == name) for name in ("GGA", "GSA"))
        assert (int(gga[7]), float(gga[8])) == (min(row["satellites"], 12), row["hdop"])
        assert len([one for one in gsa[3:15] if one]) == int(gga[7])
        assert float(gsa[16]) == row["hdop"]
        if age >= 90:
            assert [row[name] for name in row if name.startswith("clean_")] == [
                row[name[6:]] for name in row if name.startswith("clean_")
            ]


@pytest.mark.parametrize("kind", ["gps", "telematics"])
def test_a_fix_of_few_satellites_is_off_by_more(kind: str) -> None:
    rows = after_loss(kind, 2, 1)
    off = {
        name: np.array([
            np.hypot(row["latitude"] - row["clean_latitude"], (row["longitude"] - row["clean_longitude"]) * 0.66)
            for age, row in rows
            if begin <= age < end
        ])
        * 111_320
        for name, begin, end in (("first", 0, 3), ("later", 20, 60), ("old", 90, 120))
    }  # fmt: skip
    assert off["first"].mean() > 1 > 0.3 > off["later"].mean()
    assert not off["old"].any()


def test_satellites_come_back_more_slowly_after_hours() -> None:
    short, long = (after_loss("gps", 2, minutes) for minutes in (5, 300))
    assert mean_by_age(short, "satellites", 15, 30) > -1.2 > -2 > mean_by_age(long, "satellites", 15, 30)
    assert mean_by_age(long, "hdop", 20, 30) > mean_by_age(short, "hdop", 20, 30) + 0.1
    assert mean_by_age(long, "satellites", 80, 90) > -0.5


def test_a_value_that_is_not_there_stays_so() -> None:
    found = pairs("gps", {"type": "gps_loss"}, {"type": "bias", "field": "speed_kmh", "offset": 3})
    assert all(faulty["speed_kmh"] is None for _, _, faulty in found)


def test_faults_of_one_value_work_in_the_order_of_the_calendar() -> None:
    bias, clip = (
        {"field": "humidity", "type": "bias", "offset": 200},
        {"field": "humidity", "type": "clip", "high": 100},
    )
    assert {row["humidity"] for _, _, row in pairs("bme280", bias, clip)} == {100}
    assert {row["humidity"] >= 200 for _, _, row in pairs("bme280", clip, bias)} == {True}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bme280", "people"])
def test_dropout(kind: str) -> None:
    line = timeline(kind, {"type": "dropout", "devices": [f"{kind}-0001"]})
    clean, faulty = rows(timeline(kind)), rows(line)
    gone = {key for key, (due, _) in clean.items() if key[0] == f"{kind}-0001" and FROM_MS <= due < TO_MS}
    assert gone
    assert faulty == {key: row for key, row in clean.items() if key not in gone}
    batch = line.batch(BEGIN_MS, END_MS, lost=True)
    names = [line.devices[position].device_id for position in batch.device]
    assert [(name, seq) for name, seq, text in zip(names, batch.seq, batch.payload, strict=True) if not text] == sorted(
        gone, key=lambda key: (clean[key][0], key[1])
    )
    assert len(batch) == len(clean)


def test_scattered_dropout_has_its_chance() -> None:
    faulty = rows(timeline("bme280", {"type": "dropout", "chance": 0.3}))
    gone = len(rows(timeline("bme280"))) - len(faulty)
    # 480 readings in the window; five deviations either way.
    assert 95 <= gone <= 193
