"""Devices that report on change publish what differs, are heard now and then, and number what they publish."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from devices.fleet.run_record import spoken_scenario
from devices.scenario.devices import Shard
from devices.scenario.pace import at_pace
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgefleet.doctor.needs import Needs
from edgewire.clock import iso_ms, parse_ms
from edgewire.config import parse_config
from edgewire.errors import ConfigError

START_MS = parse_ms("2026-03-20T00:00:00Z")
HOUR_MS = 3_600_000
WHOLE = Shard()
BANDS = {"temperature_c": 0.1, "pressure_hpa": 0.3}
Said = list[dict[str, Any]]


def scenario(on: Any, faults: Sequence[Any] = (), **keys: Any) -> Scenario:
    group = {"kind": "bme280", "count": 3, "interval": "10s", "on": on}
    return Scenario.model_validate({"seed": 3, "devices": [group | keys], "faults": list(faults)})


def said(one: Scenario, *windows: int, shard: Shard = WHOLE) -> dict[str, Said]:
    """Return what each device says in windows that follow one another, in the message contract."""
    timeline = Timeline(one, START_MS, shard)
    found: dict[str, Said] = defaultdict(list)
    for begin, end in itertools.pairwise(windows or (START_MS, START_MS + HOUR_MS)):
        for payload in timeline.batch(begin, end).payload:
            fields = orjson.loads(payload)
            found[fields["device_id"]].append(fields)
    return found


def by_hand(
    readings: Said, bands: dict[str, float], every: int, apart: int = 1, first_of_boot: Sequence[int] = ()
) -> Said:
    """Choose among all readings of a device, one after another."""
    told: Said = []
    last = -1
    for number, one in enumerate(readings):
        differs = last >= 0 and any(
            (one[name] is None) != (told[-1][name] is None)
            or (one[name] is not None and abs(one[name] - told[-1][name]) > band - 1e-9)
            for name, band in bands.items()
        )
        may = number - last >= apart and every - number % every >= apart
        if number % every == 0 or number in first_of_boot or (differs and may):
            last = number
            told.append(one)
    return told


@pytest.mark.parametrize(
    ("keys", "every", "apart"),
    [
        ({"max_interval": "10m"}, 60, 1),
        ({"max_interval": "605s", "min_interval": "25s"}, 60, 3),
        ({"max_interval": "10s"}, 1, 1),
    ],
    ids=["bands", "gap", "all"],
)
def test_what_has_left_its_dead_band_is_published(keys: dict[str, Any], every: int, apart: int) -> None:
    told, everything = said(scenario({"change": BANDS} | keys)), said(scenario(None))
    for device, readings in everything.items():
        wanted = by_hand(readings, BANDS, every, apart)
        assert [one | {"seq": number} for number, one in enumerate(wanted)] == told[device]
        times = [parse_ms(one["timestamp"]) for one in told[device]]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert apart * 10_000 <= min(gaps)
        assert max(gaps) <= every * 10_000


def test_only_a_value_that_differs_is_said_again_in_a_format_of_ones_own() -> None:
    payload = {"t": {"from": "temperature_c", "unit": "°F", "round": 0}, "n": "seq", "up": "uptime_s"}
    one = scenario("change", topic="t/{id}", payload=payload, count=1)
    timeline = Timeline(one, START_MS, in_dialects=True)
    rows = [orjson.loads(payload) for payload in timeline.batch(START_MS, START_MS + 3 * HOUR_MS).payload]
    assert [row["n"] for row in rows] == list(range(len(rows)))
    assert 5 < len(rows) < 400
    same = [later["up"] for earlier, later in itertools.pairwise(rows) if earlier["t"] == later["t"]]
    # Two hours of the three begin within.
    assert len(same) <= 2
    assert all(up % 3600 < 10 for up in same)


def test_sensors_without_a_value_and_with_faults_are_what_is_compared() -> None:
    """A stuck sensor changes nothing, so that its device is silent; one that fails says so once."""
    hour = {"from": iso_ms(START_MS + HOUR_MS), "to": iso_ms(START_MS + 2 * HOUR_MS), "kind": "bme280"}
    stuck = {"type": "stuck_at", "field": "temperature_c", **hour}
    on = {"change": {"temperature_c": 0.05}, "max_interval": "30m"}
    for faults, most in ([stuck], 3), ([], 10_000):
        everything = said(scenario(None, faults, count=1), START_MS, START_MS + 3 * HOUR_MS)["bme280-0001"]
        told = said(scenario(on, faults, count=1), START_MS, START_MS + 3 * HOUR_MS)["bme280-0001"]
        wanted = by_hand(everything, on["change"], 180)
        assert [one["timestamp"] for one in told] == [one["timestamp"] for one in wanted]
        within = [one for one in told if hour["from"] <= one["timestamp"] < hour["to"]]
        assert 2 <= len(within) <= most


def test_the_first_of_each_boot_is_published_as_number_0() -> None:
    reboot = {
        "type": "reboot", "kind": "bme280", "from": iso_ms(START_MS + 1_234_000), "to": iso_ms(START_MS + 1_300_000)
    }  # fmt: skip
    on = {"change": BANDS, "max_interval": "30m"}
    for device, rows in said(scenario(on, [reboot])).items():
        boots = list(dict.fromkeys(row["boot"] for row in rows))
        assert len(boots) == 2
        for boot in boots:
            of_boot = [row["seq"] for row in rows if row["boot"] == boot]
            assert of_boot == list(range(len(of_boot)))
        everything = said(scenario(None, [reboot]))[device]
        again = next(row for row in everything if row["boot"] == boots[1])
        assert next(row["timestamp"] for row in rows if row["boot"] == boots[1]) == again["timestamp"]


SPOKEN: dict[str, Any] = {"change": BANDS, "max_interval": "7m", "min_interval": "30s"}
GPS = {"kind": "gps", "count": 2, "on": {"change": {"altitude_m": 1}, "max_interval": "3m"}}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"interval": "5s..15s"},
        {"interval": "12500ms", "intervals": ["5s", "20s"]},
        {"working_hours": {"days": "mon-sun", "from": "00:10", "to": "00:55"}},
        GPS,
    ],
    ids=["bme280", "jitter", "listed", "hours", "gps"],
)
def test_same_messages_in_any_window_and_shard(keys: dict[str, Any]) -> None:
    one = scenario(**({"on": SPOKEN} | keys))
    begin, end = START_MS, START_MS + HOUR_MS
    whole = said(one, begin, end)
    assert sum(map(len, whole.values())) > 30
    windows = (begin, begin + 401_000, begin + 402_000, begin + 1_234_567, end)
    assert said(one, *windows, shard=Shard(0, 2)) | said(one, *windows, shard=Shard(1, 2)) == whole
    for begin in windows[1:3]:
        late = said(one, begin, end)
        for device, rows in whole.items():
            assert late[device] == [row for row in rows if row["timestamp"] >= iso_ms(begin)]


def test_small_windows_are_those_of_a_large_one() -> None:
    one = scenario({"change": BANDS, "max_interval": "20m"})
    assert said(one, *range(START_MS, START_MS + HOUR_MS + 1, 4000)) == said(one)


def test_an_interval_that_is_commanded_begins_with_a_message_and_goes_on_counting() -> None:
    timeline = Timeline(scenario({"change": BANDS, "max_interval": "20m"}), START_MS)
    timeline.batch(START_MS, START_MS + HOUR_MS)
    timeline.overrides.set_interval(0, 30_000, START_MS + HOUR_MS)
    timeline.overrides.reboot_device(1, START_MS + HOUR_MS, 5000)
    later = timeline.batch(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)
    rows: dict[str, Said] = defaultdict(list)
    for payload in later.payload:
        fields = orjson.loads(payload)
        rows[fields["device_id"]].append(fields)
    before = said(scenario({"change": BANDS, "max_interval": "20m"}))
    assert [row["seq"] for row in rows["bme280-0001"]] == list(
        range(len(before["bme280-0001"]), len(before["bme280-0001"]) + len(rows["bme280-0001"]))
    )
    assert [row["seq"] for row in rows["bme280-0002"]] == list(range(len(rows["bme280-0002"])))
    gaps = {parse_ms(row["timestamp"]) % 30_000 for row in rows["bme280-0001"]}
    assert len(gaps) == 1


def test_labels_name_the_messages_that_are_published() -> None:
    spikes = {
        "type": "bias", "kind": "bme280", "field": "temperature_c", "offset": 5, "rate": "20/day", "duration": "10m"
    }  # fmt: skip
    one = scenario({"change": BANDS, "max_interval": "20m"}, [spikes])
    timeline = Timeline(one, START_MS)
    rows = said(one, START_MS, START_MS + 12 * HOUR_MS)
    labels = timeline.labels(START_MS, START_MS + 12 * HOUR_MS)
    assert len(labels) > 3
    for label in labels:
        shown = [
            row["seq"] for row in rows[label.device_id]
            if label.start_ms <= parse_ms(row["timestamp"]) < (label.end_ms or 0)
        ]  # fmt: skip
        assert (label.first_seq, label.last_seq, label.messages) == (shown[0], shown[-1], len(shown))


def test_what_is_counted_long_after_the_power_on_is_what_was_counted_on_the_way() -> None:
    one = scenario({"change": {"temperature_c": 1}, "max_interval": "1m"}, count=1)
    far = START_MS + 10 * 24 * HOUR_MS
    walked, seen = Timeline(one, START_MS), 0
    for begin in range(START_MS, far, 24 * HOUR_MS):
        seen += len(walked.batch(begin, begin + 24 * HOUR_MS))
    timeline = Timeline(one, START_MS)
    assert timeline.batch(far, far + HOUR_MS).seq == walked.batch(far, far + HOUR_MS).seq
    assert timeline.batch(far - HOUR_MS, far).seq[-1] == seen - 1


def test_a_faster_pace_the_record_and_the_doctor_know_of_it() -> None:
    one = scenario({"change": BANDS, "min_interval": "40s", "max_interval": "20m"}, count=100)
    fast = at_pace(one, 10).devices[0].on_change
    assert fast is not None
    assert (fast.min_interval, fast.max_interval) == (4000, 120_000)
    assert one.messages_per_s == 2.5
    assert Needs.of(one).messages_per_s == 2.5
    assert one.standby_after_ms(one.devices[0].model_copy(update={"standby": True})) == 3 * 1_200_000
    own = scenario("change", topic="t/{id}", payload=["temperature_c"])
    assert Scenario.model_validate(spoken_scenario(own)).devices[0].on == "change"
    # Without a start an export powers them on as it begins: from then on messages are counted.
    assert one.power_on_ms(START_MS) == START_MS
    assert scenario(None).power_on_ms(START_MS) != START_MS


def test_a_live_run_does_not_count_for_minutes_before_it_begins() -> None:
    one = scenario("change", count=100)
    one.check_countable(None, START_MS)
    one.check_countable(START_MS - 24 * HOUR_MS, START_MS)
    scenario(None, count=100).check_countable(0, START_MS)
    with pytest.raises(ConfigError, match="have taken about 6,048,000 readings since: a live run counts 2,000,000"):
        one.check_countable(START_MS - 7 * 24 * HOUR_MS, START_MS)


def test_yaml_takes_the_word_for_what_it_is() -> None:
    text = "devices: [{kind: bme280, topic: 't/{id}', payload: {off: temperature_c, yes: true}, on: change}]"
    group = parse_config(text, Scenario, name="s.yaml").devices[0]
    assert group.on == "change"
    assert group.payload == {"off": "temperature_c", "yes": True}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"kind": "people"}, "a reading of people counts what passed since the one before, and none may be missing"),
        ({"kind": "traffic"}, "a reading of traffic counts what passed since the one before, and none may be missing"),
        ({"kind": "telematics"}, "telematics tells what happens as it happens, and has no readings; leave it out"),
        ({"dialect": "tasmota"}, "tasmota tells its sensors at an interval, changed or not: leave this out, or speak"),
        ({"on": {"change": {"temprature_c": 1}}}, "bme280 measures no number 'temprature_c'; did you mean 'temperat"),
        ({"on": {"change": {"temperature_c": -1}}}, "greater than or equal to 0"),
        ({"on": {"max_interval": "5s"}}, "is shorter than the interval, 10s: every reading would be published"),
        ({"interval": "10ms"}, "is more than 20,000 intervals of 10ms: write 200s or less"),
        ({"on": {"min_interval": "2h"}}, "is longer than max_interval, 1h"),
        ({"on": "often"}, "'change'"),
    ],
)
def test_what_cannot_be_reported_on_change_is_told(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match="for Scenario") as refused:
        scenario(**({"on": "change"} | keys))
    assert told in str(refused.value)
