"""Schedules that change while a fleet runs: whatever devices are told, and when, seqs have no gaps within a boot."""

from collections import defaultdict

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
WINDOW_MS = 1000
SCENARIO = Scenario(
    seed=5,
    devices=[
        {"kind": "bme280", "count": 3, "interval": "700ms", "jitter": "300ms"},
        {"kind": "people", "count": 2, "interval": "1500ms"},
        {"kind": "gps", "count": 1, "interval": "400ms"},
    ],
    faults=[{"type": "reboot", "kind": "bme280", "devices": ["bme280-0002"], "rate": "6/min", "duration": "1s..3s"}],
)
Told = tuple[int, int, str, int]
"""Window, device, what, interval."""

orders = st.lists(
    st.tuples(
        st.integers(0, 14),
        st.integers(0, 4),
        st.sampled_from(["interval", "stop", "start", "reset"]),
        st.sampled_from([100, 250, 999, 4000]),
    ),
    max_size=12,
)


def play(told: list[Told]) -> tuple[Timeline, list[tuple[int, int, int, int, bytes]]]:
    """Twenty windows, and before each what is told then: due, device, boot, seq, payload."""
    timeline = Timeline(SCENARIO, NOON_MS)
    rows: list[tuple[int, int, int, int, bytes]] = []
    for window in range(20):
        begin = NOON_MS + window * WINDOW_MS
        for _, device, what, interval_ms in [one for one in told if one[0] == window]:
            overrides = timeline.overrides
            if what == "interval" and not overrides.is_stopped(device):
                overrides.set_interval(device, interval_ms, begin)
            elif what == "stop":
                overrides.stop_sampling(device, begin)
            elif what == "start" and overrides.is_stopped(device):
                overrides.resume_sampling(device, begin)
            elif what == "reset":
                overrides.reboot_device(device, begin, 1500)
        batch = timeline.batch(begin, begin + WINDOW_MS)
        rows += zip(batch.due_ms, batch.device, batch.boot, batch.seq, batch.payload, strict=True)
    return timeline, rows


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(told=orders)
def test_seqs_have_no_gaps_within_a_boot_whatever_is_told(told: list[Told]) -> None:
    timeline, rows = play(told)
    seqs: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for due_ms, device, boot, seq, payload in rows:
        seqs[device, boot].append(seq)
        fields = orjson.loads(payload)
        assert (fields["boot"], fields["seq"]) == (boot, seq)
        assert fields["device_id"] == timeline.devices[device].device_id
        assert due_ms >= NOON_MS
    assert all(found == list(range(len(found))) for found in seqs.values())
    for device in range(len(timeline.devices)):
        boots = [boot for _, one, boot, _, _ in rows if one == device]
        assert boots == sorted(boots)
    # The one that nobody told anything says what the scenario says.
    alone = Timeline(SCENARIO, NOON_MS).batch(NOON_MS, NOON_MS + 20 * WINDOW_MS)
    planned = [payload for device, payload in zip(alone.device, alone.payload, strict=True) if device == 5]
    assert [payload for _, device, _, _, payload in rows if device == 5] == planned


def test_a_changed_interval_is_kept_from_its_moment_on() -> None:
    _, rows = play([(3, 5, "interval", 100), (9, 5, "stop", 0), (12, 5, "start", 0), (15, 5, "reset", 0)])
    times = [due_ms - NOON_MS for due_ms, device, *_ in rows if device == 5]
    assert [sum(begin <= time < begin + 1000 for time in times) for begin in range(0, 20_000, 1000)] == [
        *(len([time for time in times if begin <= time < begin + 1000]) for begin in (0, 1000, 2000)),
        *[10] * 6, *[0] * 3, *[10] * 3, 0, 5, *[10] * 3,
    ]  # fmt: skip
    assert all(len([time for time in times if begin <= time < begin + 1000]) in (2, 3) for begin in (0, 1000, 2000))


def test_what_was_computed_stays_true() -> None:
    timeline, rows = play([(5, 5, "interval", 250), (7, 0, "reset", 0), (9, 3, "stop", 0), (11, 3, "start", 0)])
    again = timeline.batch(NOON_MS, NOON_MS + 20 * WINDOW_MS)
    assert list(zip(again.due_ms, again.device, again.boot, again.seq, again.payload, strict=True)) == rows


def test_a_fault_by_command_is_labelled_from_the_moment_it_is_set() -> None:
    timeline = Timeline(Scenario(devices=[{"kind": "gps", "count": 2, "interval": "1s"}]), NOON_MS)
    fault = Scenario.model_validate(
        {
            "devices": [{"kind": "gps", "count": 2}],
            "faults": [{"type": "bias", "kind": "gps", "field": "satellites", "offset": 5, "from": "2026-01-01"}],
        }
    ).faults[0]
    before = timeline.batch(NOON_MS, NOON_MS + 10_000).payload
    timeline.faults.set_fault(fault, [1], NOON_MS + 5000, NOON_MS + 60_000)
    assert timeline.faults.clear_faults([1], NOON_MS + 8000) == 1
    assert timeline.faults.clear_faults([1], NOON_MS + 8000) == 0
    after = timeline.batch(NOON_MS, NOON_MS + 10_000).payload
    changed = [orjson.loads(new) for old, new in zip(before, after, strict=True) if old != new]
    assert [(fields["device_id"], fields["seq"]) for fields in changed] == [("gps-0002", seq) for seq in (5, 6, 7)]
    (label,) = timeline.labels(NOON_MS, NOON_MS + 10_000)
    assert (label.first_seq, label.last_seq, label.start_ms, label.end_ms) == (5, 7, NOON_MS + 5000, NOON_MS + 8000)


def test_a_reset_draws_the_values_of_its_place_anew_and_a_reboot_does_not() -> None:
    wide = {"low": 0, "high": 60, "drift": 0.5}
    still = {"noise": False, "weather_events": False, "daily_pattern": False, "temperature_c": wide}
    scenario = Scenario(devices=[{"kind": "bme280", "count": 8, "interval": "1s", "settings": still}])

    def jumps(*, anew: bool) -> list[float]:
        timeline = Timeline(scenario, NOON_MS)
        found = []
        before = [orjson.loads(one) for one in timeline.batch(NOON_MS, NOON_MS + 20_000).payload]
        for device in range(8):
            timeline.overrides.reboot_device(device, NOON_MS + 20_000, 2000, anew=anew)
            # What it is told afterwards does not take it back.
            timeline.overrides.set_interval(device, 500, NOON_MS + 30_000)
        after = [orjson.loads(one) for one in timeline.batch(NOON_MS + 20_000, NOON_MS + 40_000).payload]
        for device in timeline.devices:
            old = [row["temperature_c"] for row in before if row["device_id"] == device.device_id]
            new = [row["temperature_c"] for row in after if row["device_id"] == device.device_id]
            assert max(new) - min(new) < 1.5
            found.append(abs(new[0] - old[-1]))
        return found

    assert max(jumps(anew=False)) < 1.5
    anew = jumps(anew=True)
    # Half of what moves a value is the region's weather, and stays.
    assert sum(jump > 2 for jump in anew) >= 5


def test_what_was_computed_and_not_sent_is_taken_back_from_the_labels() -> None:
    scenario = SCENARIO.model_copy(
        update={
            "faults": Scenario(
                devices=SCENARIO.devices,
                faults=[
                    {
                        "type": "bias",
                        "kind": "bme280",
                        "field": "temperature_c",
                        "offset": 5,
                        "from": "2026-03-04T12:00:00Z",
                    }
                ],
            ).faults
        }
    )
    timeline = Timeline(scenario, NOON_MS)
    rows = timeline.batch(NOON_MS, NOON_MS + 4000)
    sent = [
        seq
        for due, device, seq in zip(rows.due_ms, rows.device, rows.seq, strict=True)
        if device == 0 and due < NOON_MS + 2000
    ]
    timeline.overrides.silence_since(0, NOON_MS + 2000)
    boot = timeline.overrides.begin_boot(0, NOON_MS + 6000, 0)
    labels = [label for label in timeline.labels(NOON_MS, NOON_MS + 8000) if label.device_id == "bme280-0001"]
    assert [(label.boot, label.first_seq) for label in labels] == [(timeline.boot, 0), (boot, 0)]
    assert labels[0].last_seq == sent[-1]


def test_boots_grow_over_one_that_was_heard_and_stay_above_it() -> None:
    timeline = Timeline(SCENARIO, NOON_MS)
    overrides = timeline.overrides
    overrides.silence_since(1, NOON_MS + 1000)
    heard = 5_000_000_000
    boot = overrides.begin_boot(1, NOON_MS + 3000, heard + 1)
    assert boot == heard + 1
    rows = timeline.batch(NOON_MS, NOON_MS + 120_000)
    mine = [row for row in zip(rows.due_ms, rows.boot, rows.seq, rows.device, strict=True) if row[3] == 1]
    later = [(at, seq) for due, at, seq, _ in mine if due >= NOON_MS + 3000]
    # The calendar reboots it every ten seconds.
    boots = sorted({at for at, _ in later})
    assert boots[0] >= boot
    assert len(boots) > 3
    assert all(
        sorted(seq for at, seq in later if at == one) == list(range(sum(at == one for at, _ in later))) for one in boots
    )
    assert not [due for due, *_ in mine if NOON_MS + 1000 <= due < NOON_MS + 3000]
    assert overrides.boot_number(1, NOON_MS + 60_000) - boot == 57, "a second a number, as ever"
    overrides.reboot_device(1, NOON_MS + 120_000, 1000)
    assert min(timeline.batch(NOON_MS + 121_000, NOON_MS + 124_000).boot) > 0
    assert overrides.boot_number(1, NOON_MS + 121_000) > boot


def test_an_override_that_was_to_begin_after_the_silence_says_nothing() -> None:
    timeline = Timeline(SCENARIO, NOON_MS)
    # A visitor counter is told to restart, and is silenced before it is up.
    timeline.overrides.reboot_device(3, NOON_MS + 1000, 2000)
    timeline.overrides.silence_since(3, NOON_MS + 500)
    rows = timeline.batch(NOON_MS, NOON_MS + 20_000)
    assert not [
        due for due, device in zip(rows.due_ms, rows.device, strict=True) if device == 3 and due >= NOON_MS + 500
    ]
