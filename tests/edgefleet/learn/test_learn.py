"""`edgefleet learn`: what devices say becomes a scenario whose devices say the like."""

import math
import random
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from devices.scenario.loading import load_scenario
from devices.timeline.timeline import Timeline
from tests.edgefleet.learn.installation import BEGIN_MS, Row, learn, learned, pumps, tasmota, thermometers, write_lines


def test_devices_of_a_format_of_their_own_are_one_group(tmp_path: Path) -> None:
    report, scenario = learned(tmp_path, pumps())
    (group,) = scenario["devices"]
    assert group["topic"] == "works/{site}/{id}/state"
    assert group["payload"]["id"] == "{id}"
    assert group["payload"]["ts"] == {"from": "timestamp", "as": "epoch_ms"}
    assert (group["count"], group["interval"], len(scenario["sites"])) == (6, "5s", 2)
    fields = scenario["kinds"][group["kind"]]["fields"]
    assert set(fields[group["payload"]["state"]]["on_off"]["says"]) == {"running", "idle"}
    assert 200 < fields["starts"]["counter"]["per_hour"] < 250
    assert report["used"] == report["messages"] == 360


def test_what_is_emulated_is_like_what_was_captured(tmp_path: Path) -> None:
    report, _ = learned(tmp_path, pumps(count=20))
    (group,) = report["groups"]
    (load,) = [one for one in group["fields"] if one["name"] == "load"]
    captured, emulated = load["captured"], load["emulated"]
    assert abs(captured["mean"] - emulated["mean"]) < captured["deviation"] / 2
    assert abs(captured["lag_1"] - emulated["lag_1"]) < 0.15
    assert 0.7 < emulated["deviation"] / captured["deviation"] < 1.4
    gaps = group["interval_s"]
    assert gaps["captured"]["mean"] == pytest.approx(gaps["emulated"]["mean"], rel=0.01)


def test_topics_of_one_device_are_messages_of_one_reading(tmp_path: Path) -> None:
    _, scenario = learned(tmp_path, thermometers())
    (group,) = scenario["devices"]
    assert [one["topic"] for one in group["messages"]] == ["cellar/{id}/temperature", "cellar/{id}/humidity"]
    assert [one["payload"] for one in group["messages"]] == ["temperature", "humidity"]
    assert scenario["kinds"][group["kind"]]["fields"]["humidity"]["decimals"] == 0


def test_topics_at_other_intervals_are_parts_of_the_device(tmp_path: Path) -> None:
    seldom = [(BEGIN_MS + at, f"cellar/t{number}9/battery", b"%d" % (90 - at // 120_000 + number))
              for number in range(4) for at in range(0, 600_000, 60_000)]  # fmt: skip
    _, scenario = learned(tmp_path, thermometers(), seldom)
    (group,) = scenario["devices"]
    assert [part["interval"] for part in group["device"]] == ["10s", "1m"]


def test_a_dialect_is_spoken_where_all_is_known_by_it(tmp_path: Path) -> None:
    report, scenario = learned(tmp_path, tasmota())
    (group,) = scenario["devices"]
    assert (group["dialect"], group["interval"], group["count"]) == ("tasmota", "30s", 3)
    assert report["unused"] == {"tasmota: availability, which is no reading": 3}
    timeline = Timeline(load_scenario(tmp_path / "fleet.yaml"), BEGIN_MS, in_dialects=True)
    payloads = [orjson.loads(one) for one in timeline.batch(BEGIN_MS, BEGIN_MS + 60_000).payload]
    air = [one["BME280"] for one in payloads if "BME280" in one]
    assert air
    assert all(13 < one["Temperature"] < 18 and one["Pressure"] == 1002.4 for one in air)


def packs(count: int = 3, readings: int = 20) -> Iterator[Row]:
    """Yield packs of SenML of a cellar's air, and of a freezer that says what no contract has."""
    rng = random.Random(8)
    for number in range(count):
        for reading in range(readings):
            at_ms = BEGIN_MS + reading * 30_000 + number * 100
            air = [{"bn": f"cellar-{number}/", "n": "temperature", "u": "Cel", "v": round(14 + rng.gauss(0, 0.2), 1)},
                   {"n": "humidity", "u": "%RH", "v": 60.5 + reading % 5}]  # fmt: skip
            yield at_ms, f"senml/cellar-{number}", orjson.dumps(air)
            cold = [{"bn": f"freezer-{number}/", "n": "frost_mm", "v": round(3 + rng.gauss(0, 0.2), 2)}]
            yield at_ms + 50, f"senml/freezer-{number}", orjson.dumps(cold)


def lines(tags: str = "", count: int = 3, readings: int = 20) -> Iterator[Row]:
    """Yield line protocol as an agent on a host writes it."""
    rng = random.Random(9)
    for number in range(count):
        for reading in range(readings):
            at_ms = BEGIN_MS + reading * 20_000 + number * 100
            text = (
                f"pump,host=pump-{number}{tags} bar={2 + rng.gauss(0, 0.1):.2f},rpm={1400 + reading % 7}i {at_ms}000000"
            )
            yield at_ms, f"telegraf/pump-{number}/pump", text.encode()


def test_a_format_of_any_fields_is_spoken_by_groups_that_have_the_same(tmp_path: Path) -> None:
    report, scenario = learned(tmp_path, packs(), lines())
    found = {tuple(scenario["kinds"][one["kind"]]["fields"]): one for one in scenario["devices"]}
    said = {tuple(name for name in names if not name.endswith(("_slow", "_fast"))) for names in found}
    assert said == {("temperature_c", "humidity"), ("frost_mm",), ("bar", "rpm")}
    assert sorted((one["dialect"], one["interval"], one["count"]) for one in scenario["devices"]) == [
        ("influx", "20s", 3), ("senml", "30s", 3), ("senml", "30s", 3),
    ]  # fmt: skip
    assert report["unused"] == {}
    timeline = Timeline(load_scenario(tmp_path / "fleet.yaml"), BEGIN_MS, in_dialects=True)
    payloads = timeline.batch(BEGIN_MS, BEGIN_MS + 60_000).payload
    assert any(b'"n":"temperature","u":"Cel"' in one for one in payloads)
    assert any(b" bar=" in one and b",rpm=" in one for one in payloads)
    # With tags that no emulated device has it would not be all that they say.
    report, scenario = learned(tmp_path, lines(",room=cold"))
    assert all("dialect" not in one for one in scenario["devices"])


def test_values_that_are_null_or_of_several_types_are_learned_as_well(tmp_path: Path) -> None:
    rows = [
        (BEGIN_MS + at * 1000, f"hall/d{number}7/state", orjson.dumps({"a": None, "b": at, "c": at if number else "x"}))
        for number in range(3)
        for at in range(20)
    ]
    report, _ = learned(tmp_path, rows)
    assert report["used"] == 60


def test_an_id_in_payloads_tells_devices_of_one_topic_apart(tmp_path: Path) -> None:
    rows = [(BEGIN_MS + at * 1000, "sensors/data", orjson.dumps({"device_id": f"d-{number}", "t": at + number}))
            for number in range(3) for at in range(20)]  # fmt: skip
    _, scenario = learned(tmp_path, rows)
    (group,) = scenario["devices"]
    assert (group["count"], group["topic"], group["payload"]["device_id"]) == (3, "sensors/data", "{id}")


@pytest.mark.parametrize(("options", "devices"), [(("--scale", 10), 100), (("--count", 7), 7), ((), 10)])
def test_as_many_devices_as_one_likes(options: tuple[object, ...], devices: int, tmp_path: Path) -> None:
    report, _ = learned(tmp_path, pumps(), thermometers(), options=options)
    assert report["devices"] == {"seen": 10, "written": devices}
    assert len(Timeline(load_scenario(tmp_path / "fleet.yaml"), BEGIN_MS).devices) == devices


def test_every_message_is_learned_of_or_counted_with_its_reason(tmp_path: Path) -> None:
    once = [(BEGIN_MS, "works/boot/pump-001/hello", b'{"v":1}'), (BEGIN_MS, "works/a/b/c/d", b"")]
    report, _ = learned(tmp_path, pumps(), tasmota(), once)
    assert report["messages"] == report["used"] + sum(report["unused"].values())
    assert report["unused"]["the payload is empty"] == 1
    assert report["unused"]["said once by each device: at which interval is not seen"] == 1


def test_the_summary_fits_a_terminal(tmp_path: Path) -> None:
    capture = write_lines(tmp_path / "capture.jsonl", pumps(), thermometers(), tasmota())
    result = learn(capture, "--out", tmp_path / "fleet.yaml")
    lines = result.stdout.splitlines()[:-1]
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["load", "captured"] for line in lines)


def test_a_course_of_the_day_is_learned_where_two_days_were_seen(tmp_path: Path) -> None:
    rng = random.Random(8)
    rows = [(BEGIN_MS + at * 1_800_000, f"roof/r{number}1/sun",
             b"%.1f" % (max(0.0, math.sin((at / 2 + 6) / 24 * 2 * math.pi)) * 500 + rng.gauss(20, 5)))
            for number in range(4) for at in range(3 * 48)]  # fmt: skip
    report, scenario = learned(tmp_path, rows)
    fields = scenario["kinds"]["device1"]["fields"]
    points = fields["sun_day"]["profile"]["points"]
    # The capture begins at noon: it is highest at 12, and nothing at midnight.
    assert points["12:30"] > points["00:30"] + 300
    (sun,) = report["groups"][0]["fields"]
    captured, emulated = sun["captured"], sun["emulated"]
    assert emulated["mean"] == pytest.approx(captured["mean"], rel=0.1)
    assert emulated["lag_1"] == pytest.approx(captured["lag_1"], abs=0.05)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("report.html", "<td>load</td><td>noise, over"),
        ("report.md", "| load | noise, over"),
        ("report.json", '"name": "load"'),
    ],
)
def test_the_summary_as_a_file(name: str, said: str, tmp_path: Path) -> None:
    capture = write_lines(tmp_path / "capture.jsonl", pumps())
    result = learn(capture, "--out", tmp_path / "fleet.yaml", "--report", tmp_path / name)
    assert result.exit_code == 0
    written = (tmp_path / name).read_text()
    assert said in written
    assert "works/{site}/{id}/state" in written


def test_a_report_of_another_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    capture = write_lines(tmp_path / "capture.jsonl", pumps(count=2))
    result = learn(capture, "--out", tmp_path / "fleet.yaml", "--report", tmp_path / "report.pdf")
    assert "write FILE.html, FILE.md or FILE.json" in str(result.exception)
    assert not (tmp_path / "fleet.yaml").exists()
