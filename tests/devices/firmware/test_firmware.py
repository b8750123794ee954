"""What the firmware decides, with no clock and no network."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.config import Build, OutboxConfig
from devices.firmware.firmware import COMMANDS_PER_S, Firmware
from devices.firmware.outbox import Reading
from devices.firmware.reconnect import ConnectionEnd, ReconnectConfig
from edgewire.messages import Status


def firmware(max_messages: int = 100) -> Firmware:
    build = Build(outbox=OutboxConfig(max_messages=max_messages), reconnect=ReconnectConfig(base="1s", cap="8s"))
    return Firmware("gps-0001", 4711, 7, 0, build)


def reading(seq: int) -> Reading:
    return Reading(seq, b"edge/site/gps/gps-0001/telemetry", b"{}", 1, 7)


@given(rooms=st.lists(st.integers(0, 4), max_size=80))
def test_readings_leave_in_the_order_they_were_taken(rooms: list[int]) -> None:
    device = firmware()
    published: list[int] = []
    for seq, room in enumerate(rooms):
        published += [reading.seq for reading in device.pop_publishable(room, 0.0)]
        if device.on_reading(reading(seq), 0 if device.outbox else room):
            published.append(seq)
    assert published == list(range(len(published)))
    assert device.sent == len(published)
    assert device.sent + len(device.outbox) == device.emitted == len(rooms)


def test_a_new_reading_never_overtakes_one_that_waits() -> None:
    device = firmware()
    assert not device.on_reading(reading(0), window=0)
    assert not device.on_reading(reading(1), window=5)
    assert [waiting.seq for waiting in device.pop_publishable(5, 0.0)] == [0, 1]


def test_waits_grow_to_the_cap_and_start_again_after_a_connection_that_has_proved_itself() -> None:
    device = firmware()
    assert [device.on_connection_lost(ConnectionEnd(), 0.5).delay_s for _ in range(5)] == [0.5, 1, 2, 4, 4]
    device.on_connection_proved()
    assert device.on_connection_lost(ConnectionEnd(), 0.5).delay_s == 0.5


def test_a_flood_of_commands_is_heeded_at_a_limited_rate() -> None:
    device = firmware()
    assert sum(device.allows_command(0.0) for _ in range(1000)) == COMMANDS_PER_S
    assert sum(device.allows_command(1 + number / 1000) for number in range(1000)) == pytest.approx(40, abs=1)


def test_status_keeps_the_contract() -> None:
    device = firmware(max_messages=1)
    device.on_reading(reading(0), window=1)
    for seq in (1, 2):
        device.on_reading(reading(seq), window=0)
    status = Status.model_validate_json(orjson.dumps(device.status("online", 1_772_366_400_250)))
    assert (status.state, status.boot, status.origin) == ("online", 7, "emulated")
    assert (status.sent, status.buffered, status.dropped) == (1, 1, 1)
    assert str(status.timestamp) == "2026-03-01 12:00:00.250000+00:00"


def test_a_will_has_no_timestamp() -> None:
    assert Status.model_validate_json(orjson.dumps(firmware().status("offline", None))).timestamp is None
