"""What is added to messages for learners: the truth of the labels, sets that do not overlap, local time."""

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import orjson
import pytest

from devices.scenario.devices import Shard, all_devices
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.annotations import Annotations, Split, parse_split
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT

pytestmark = pytest.mark.slow

FROM_MS = parse_ms("2026-03-04T12:00:00Z")
TO_MS = FROM_MS + 10 * 60_000
EVERY_KIND = [{"kind": kind, "count": 3, "interval": "5s"} for kind in CONTRACT]


def messages(timeline: Timeline, annotations: Annotations) -> list[dict[str, object]]:
    timeline.annotations = annotations
    return [orjson.loads(payload) for payload in timeline.batch(FROM_MS, TO_MS).payload]


def test_a_message_names_the_faults_that_its_labels_count() -> None:
    rates = {"rate": "30/h", "duration": "20s..2m"}
    scenario = Scenario(
        seed=5,
        devices=EVERY_KIND,
        faults=[
            {"type": "bias", "kind": "bme280", "field": "humidity", "offset": 5, **rates},
            {"type": "stuck_at", "kind": "bme280", "field": "humidity", **rates},
            {"type": "spike", "kind": "traffic", "field": "avg_speed", "size": 20, "chance": 0.5, **rates},
            {"type": "clock_step", "kind": "people", "offset": "-1h", **rates},
            {"type": "gps_loss", "kind": "gps", **rates},
        ],
    )
    timeline = Timeline(scenario, EPOCH_MS)
    found = messages(timeline, Annotations(has_faults=True))
    labels = timeline.labels(FROM_MS, TO_MS)
    counted: Counter[tuple[str, str]] = Counter()
    for label in labels:
        counted[label.device_id, label.type] += label.messages
    shown = Counter((str(row["device_id"]), type_) for row in found for type_ in row["faults"])  # type: ignore[attr-defined]
    assert shown == counted
    assert {type_ for _, type_ in shown} == {"bias", "stuck_at", "spike", "clock_step", "gps_loss"}
    assert sum(row["faults"] == [] for row in found) > 100


def test_a_device_is_in_one_set_in_every_shard() -> None:
    scenario = Scenario(seed=5, devices=[{**group, "count": 10} for group in EVERY_KIND])
    split = Split.of_devices(parse_split("train=0.7,val=.1,test=0.2"), [one for one, _ in all_devices(scenario)], 5)
    sets: dict[str, set[object]] = {}
    for part in range(2):
        for row in messages(Timeline(scenario, EPOCH_MS, Shard(part, 2)), Annotations(split=split)):
            sets.setdefault(str(row["device_id"]), set()).add(row["split"])
    assert all(len(names) == 1 for names in sets.values())
    of_kind = Counter(device.rpartition("-")[0] + "/" + str(*names) for device, names in sets.items())
    assert (of_kind["bme280/train"], of_kind["bme280/val"]) == (7, 1)
    assert of_kind["gps/test"] == 2


def test_a_time_is_in_one_set_and_a_gap_in_none() -> None:
    sets = parse_split("train=0.8,test=0.2")
    split = Split.of_times(sets, FROM_MS, TO_MS, 60_000)
    bound = FROM_MS + 8 * 60_000
    for row in messages(Timeline(Scenario(seed=5, devices=EVERY_KIND), EPOCH_MS), Annotations(split=split)):
        at = parse_ms(str(row["timestamp"]))
        assert row["split"] == ("train" if at < bound else None if at < bound + 60_000 else "test")


@pytest.mark.parametrize("text", ["train", "train=0.8", "a=0.5,a=0.5", "a=1.5,b=-0.5", "a=x", "a=nan,b=1", ""])
def test_shares_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--split"):
        parse_split(text)


@pytest.mark.parametrize(
    ("zone", "offset"), [("America/New_York", "-05:00"), ("Asia/Kathmandu", "+05:45"), ("UTC", "+00:00")]
)
def test_local_time_is_that_of_the_site(zone: str, offset: str) -> None:
    # Shops of the first world are never closed.
    scenario = Scenario(
        seed=5,
        world=1,
        sites=[{"name": "there", "latitude": 10, "longitude": 10, "timezone": zone}],
        devices=[
            {"kind": "bme280", "count": 1},
            {"kind": "people", "count": 3, "interval": "1m", "settings": {"daily_customers": 9000}},
        ],
    )
    found = messages(Timeline(scenario, EPOCH_MS), Annotations(has_local_time=True))
    for row in found:
        local = str(row["local_time"])
        assert local.endswith(offset)
        assert parse_ms(local) == parse_ms(str(row["timestamp"]))
    visits = [row for row in found if "time_slot" in row]
    assert len(visits) > 5
    for row in visits:
        moment = datetime.fromisoformat(str(row.get("entry_time") or row["time"])).astimezone(ZoneInfo(zone))
        first = (moment.hour - 1) % 24 // 3 * 3 + 1
        assert row["local_time_slot"] == f"{first:02d}:00–{(first + 2) % 24:02d}:59"
        assert row["local_weekday"] == f"{moment:%A}"
