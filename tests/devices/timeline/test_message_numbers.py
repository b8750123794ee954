"""Labels name messages by the numbers that these have: a reading may be one message, several, or none."""

from typing import Any

import numpy as np
import pytest

from devices.faults.labels import Label
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.fault_state import LinkFaultState
from devices.scenario.scenario import Scenario
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire.clock import iso_ms, parse_ms

START_MS = parse_ms("2026-03-04T12:00:00Z")
END_MS = START_MS + 600_000
SEVERAL = [
    {"topic": "{id}/t", "payload": {"t": "temperature_c", "n": "seq"}},
    {"topic": "{id}/dew", "payload": {"d": "dew_point_c", "n": "seq"}},
    {"topic": "{id}/p", "payload": {"p": "pressure_hpa", "n": "seq"}},
]
FORMATS: dict[str, dict[str, Any]] = {
    "several": {"kind": "bme280", "messages": SEVERAL},
    "tasmota": {"kind": "bme280", "dialect": "tasmota"},
    "esphome": {"kind": "bme280", "dialect": "esphome", "on": {"change": {"humidity": 0.2}, "max_interval": "2m"}},
    "owntracks": {"kind": "gps", "dialect": "owntracks"},
    "people": {"kind": "people", "dialect": "esphome"},
}


def timeline(fault: dict[str, Any], **group: Any) -> Timeline:
    span = {"from": iso_ms(START_MS + 100_000), "to": iso_ms(START_MS + 300_000), "kind": group["kind"]}
    one = {"seed": 5, "devices": [{"count": 3, "interval": "10s"} | group], "faults": [span | fault]}
    return Timeline(Scenario.model_validate(one), START_MS, in_dialects=True)


def heard(line: Timeline) -> Batch:
    return line.batch(START_MS, END_MS, lost=True)


def summary(label: Label) -> tuple[str, int | None, int | None, int]:
    return label.device_id, label.first_seq, label.last_seq, label.messages


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_link_damages_is_what_its_label_says(name: str) -> None:
    """A live fleet draws by the number of the message; the label has to know the same messages."""
    line = timeline({"type": "corrupt", "chance": 0.3}, **FORMATS[name])
    batch = heard(line)
    assigned = line.faults.connection_faults(FORMATS[name]["kind"])[0]
    damaged: dict[str, list[int]] = {}
    rows = zip(batch.device, batch.due_ms, batch.seq, batch.boot, batch.payload, strict=True)
    for position, due_ms, seq, boot, payload in rows:
        link = LinkFaultState()
        link.begin_corruption(assigned.fault, assigned.chance_bits(position))  # type: ignore[arg-type]
        is_there = START_MS + 100_000 <= due_ms < START_MS + 300_000
        if is_there and seq != NO_SEQ and link.corrupts(Reading(seq, b"", payload, 1, boot)):
            damaged.setdefault(line.devices[position].device_id, []).append(seq)
    assert damaged
    assert sorted(summary(label) for label in line.labels(START_MS, END_MS, live=True) if label.messages) == sorted(
        (device, seqs[0], seqs[-1], len(seqs)) for device, seqs in damaged.items()
    )


def test_only_messages_that_say_a_field_show_what_is_wrong_with_it() -> None:
    fault = {"type": "bias", "field": "temperature_c", "offset": 3}
    line = timeline(fault, kind="bme280", messages=SEVERAL)
    clean = timeline(fault | {"kind": "bme280", "offset": 1e-9}, kind="bme280", messages=SEVERAL)
    differing: dict[str, list[int]] = {}
    for position, seq, ours, theirs in zip(
        heard(line).device, heard(line).seq, heard(line).payload, heard(clean).payload, strict=True
    ):
        if ours != theirs:
            differing.setdefault(line.devices[position].device_id, []).append(seq)
    assert {len(seqs) for seqs in differing.values()} == {40}
    assert [summary(label) for label in line.labels(START_MS, END_MS)] == sorted(
        (device, seqs[0], seqs[-1], len(seqs)) for device, seqs in differing.items()
    )
    # What nobody says shows nowhere.
    assert not timeline({"type": "bias", "field": "humidity", "offset": 3}, kind="bme280", messages=SEVERAL[2:]).labels(
        START_MS, END_MS
    )


def test_a_phone_without_a_position_says_nothing_and_has_its_label() -> None:
    line = timeline({"type": "gps_loss"}, kind="gps", dialect="owntracks")
    batch = heard(line)
    for position in range(3):
        seqs = [seq for device, seq in zip(batch.device, batch.seq, strict=True) if device == position]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    labels = line.labels(START_MS, END_MS)
    assert [label.device_id for label in labels] == [device.device_id for device in line.devices]
    for position, label in enumerate(labels):
        said = zip(batch.device, batch.due_ms, batch.seq, strict=True)
        due = {seq: due_ms for device, due_ms, seq in said if device == position}
        assert not [at for at in due.values() if START_MS + 100_000 <= at < START_MS + 300_000]
        # What it says at first after it has a position again is less exact, and shows the fault.
        assert label.first_seq is not None
        assert label.messages <= 9
        assert START_MS + 300_000 <= due[label.first_seq] < START_MS + 310_000


def test_after_readings_without_a_message_labels_count_on_as_the_messages_do() -> None:
    """Half of a minute without a position, then a wrong one: the numbers are those of what was said."""
    faults = [
        {"type": "gps_loss", "kind": "gps", "from": iso_ms(START_MS + 50_000), "to": iso_ms(START_MS + 200_000)},
        {"type": "bias", "kind": "gps", "field": "altitude_m", "offset": 500,
         "from": iso_ms(START_MS + 300_000), "to": iso_ms(START_MS + 400_000)},
    ]  # fmt: skip
    group = {"kind": "gps", "count": 2, "interval": "10s", "dialect": "owntracks"}
    one = Scenario.model_validate({"seed": 5, "devices": [group], "faults": faults})
    line = Timeline(one, START_MS, in_dialects=True)
    batch = Timeline(one, START_MS, in_dialects=True).batch(START_MS, END_MS, lost=True)
    due, devices, seqs = (np.array(column) for column in (batch.due_ms, batch.device, batch.seq))
    within = (due >= START_MS + 300_000) & (due < START_MS + 400_000)
    wrong = [label for label in line.labels(START_MS, END_MS) if label.type == "bias"]
    assert len(wrong) == 2
    for position, label in enumerate(sorted(wrong, key=lambda label: label.device_id)):
        mine = seqs[within & (devices == position)]
        assert summary(label) == (line.devices[position].device_id, mine[0], mine[-1], len(mine))


def test_a_silent_device_that_reports_on_change_has_its_label() -> None:
    on = {"change": {"temperature_c": 0.5}, "max_interval": "10m"}
    line = timeline({"type": "stuck_at", "field": "temperature_c"}, kind="bme280", on=on)
    assert {summary(label)[1:] for label in line.labels(START_MS, END_MS)} == {(None, None, 0)}
