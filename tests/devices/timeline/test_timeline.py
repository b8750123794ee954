"""Law 1: reading k of a device is the same bytes, whoever computes it, in whatever company and window."""

from collections import defaultdict

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.sensors.columns import Columns
from devices.sensors.registry import KINDS
from devices.sensors.telematics.sensor import TelematicsSensor
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from devices.world.random import Ints
from devices.world.world import World
from edgewire.clock import iso_ms, parse_ms
from edgewire.messages import CONTRACT

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
MINUTE_MS = 60_000

groups = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(list(KINDS)),
        "count": st.integers(1, 4),
        "interval": st.sampled_from(["700ms", "5s", "10s", "61s"]),
    }
)
scenarios = st.builds(
    lambda seed, world, devices: Scenario(seed=seed, world=world, devices=devices),
    st.integers(0, 2**40),
    st.sampled_from([1, 2]),
    st.lists(groups, min_size=1, max_size=5),
)


def messages(timeline: Timeline, batch: Batch) -> list[tuple[int, str, int, str, bytes]]:
    names = [timeline.devices[position].device_id for position in batch.device]
    channels = [channel.value for channel in batch.channel]
    return list(zip(batch.due_ms, names, batch.seq, channels, batch.payload, strict=True))


def between(timeline: Timeline, from_ms: int, to_ms: int) -> list[tuple[int, str, int, str, bytes]]:
    return messages(timeline, timeline.batch(from_ms, to_ms))


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(scenario=scenarios, shards=st.integers(2, 4), cut=st.integers(1, 3 * MINUTE_MS - 1))
def test_same_bytes_in_any_shard_window_and_from_any_start(scenario: Scenario, shards: int, cut: int) -> None:
    begin, middle, end = NOON_MS, NOON_MS + cut, NOON_MS + 3 * MINUTE_MS
    whole = between(Timeline(scenario, EPOCH_MS), begin, end)
    parts = [between(Timeline(scenario, EPOCH_MS, Shard(index, shards)), begin, end) for index in range(shards)]
    assert sorted(message for part in parts for message in part) == sorted(whole)
    later = Timeline(scenario, EPOCH_MS)
    assert between(later, middle, end) == [message for message in whole if message[0] >= middle]
    windows = [message for batch in later.batches(begin, end, rows=29) for message in messages(later, batch)]
    assert windows == whole


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(scenario=scenarios)
def test_seq_counts_from_power_on_without_gaps_in_the_order_of_time(scenario: Scenario) -> None:
    timeline = Timeline(scenario, NOON_MS)
    seqs: dict[str, list[int]] = defaultdict(list)
    for _, name, seq, _, _ in between(timeline, NOON_MS - MINUTE_MS, NOON_MS + 5 * MINUTE_MS):
        seqs[name].append(seq)
    assert all(numbers == list(range(len(numbers))) for numbers in seqs.values())


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(scenario=scenarios)
def test_what_the_fast_encoder_writes_keeps_the_contract(scenario: Scenario) -> None:
    timeline = Timeline(scenario, NOON_MS)
    kinds = {device.device_id: device.kind for device in timeline.devices}
    for due_ms, name, seq, channel, payload in between(timeline, NOON_MS, NOON_MS + 2 * MINUTE_MS):
        message = CONTRACT[kinds[name]].parse(payload)
        assert (message.device_id, message.boot, message.seq) == (name, timeline.boot, seq)
        assert message.timestamp_ms == due_ms
        assert orjson.loads(payload)["timestamp"] == iso_ms(due_ms)
        shapes = [shape for shape in CONTRACT[kinds[name]].messages if type(message) is shape.model]
        assert [shape.channel.value for shape in shapes] == [channel]


def test_another_seed_is_another_world() -> None:
    one, other = (Timeline(Scenario(seed=seed, devices=[{"kind": "bme280", "count": 5}]), NOON_MS) for seed in (1, 2))
    assert between(one, NOON_MS, NOON_MS + MINUTE_MS) != between(other, NOON_MS, NOON_MS + MINUTE_MS)


def test_devices_do_not_speak_in_chorus() -> None:
    timeline = Timeline(Scenario(devices=[{"kind": "bme280", "count": 200, "interval": "10s"}]), NOON_MS)
    due = timeline.batch(NOON_MS, NOON_MS + 10_000).due_ms
    assert len(due) == 200
    per_second = [
        sum(1 for time in due if time // 1000 == second) for second in range(NOON_MS // 1000, NOON_MS // 1000 + 10)
    ]
    assert max(per_second) <= 45


def test_a_device_that_is_not_powered_on_yet_is_silent() -> None:
    timeline = Timeline(Scenario(devices=[{"kind": "people", "count": 2}]), NOON_MS)
    assert len(timeline.batch(NOON_MS - 10 * MINUTE_MS, NOON_MS)) == 0


def test_boot_grows_with_power_on() -> None:
    scenario = Scenario(devices=[{"kind": "gps", "count": 1}])
    assert Timeline(scenario, EPOCH_MS).boot == 1
    assert Timeline(scenario, NOON_MS + 1000).boot == Timeline(scenario, NOON_MS).boot + 1


def test_a_live_run_of_few_devices_does_not_ask_the_sensor_for_every_reading_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = Scenario(seed=3, devices=[{"kind": "telematics", "count": 2, "interval": "1s"}])
    timeline, asked = Timeline(scenario, NOON_MS), []
    sample = TelematicsSensor.sample

    def counting(self: TelematicsSensor, world: World, ids: Ints, times: Ints) -> Columns:
        asked.append(len(ids))
        return sample(self, world, ids, times)

    monkeypatch.setattr(TelematicsSensor, "sample", counting)
    end_ms = NOON_MS + 2 * MINUTE_MS
    steps = [message for begin in range(NOON_MS, end_ms, 250) for message in between(timeline, begin, begin + 250)]
    assert len(asked) < 10
    assert steps == between(Timeline(scenario, NOON_MS), NOON_MS, end_ms)


def test_a_command_is_obeyed_by_readings_that_were_computed_ahead() -> None:
    scenario = Scenario(seed=3, devices=[{"kind": "gps", "count": 2, "interval": "1s"}])
    timeline = Timeline(scenario, NOON_MS)
    told: list[tuple[int, str]] = []
    for begin in range(NOON_MS, NOON_MS + MINUTE_MS, 500):
        if begin == NOON_MS + 20_000:
            timeline.overrides.stop_sampling(0, begin)
        told += [(due, name) for due, name, *_ in between(timeline, begin, begin + 500)]
    first, second = (timeline.devices[position].device_id for position in (0, 1))
    assert max(due for due, name in told if name == first) < NOON_MS + 20_000
    assert sum(name == first for _, name in told) == 20
    assert sum(name == second for _, name in told) == 60
