"""A reset: what was in RAM is lost and counted, what was in flash is not, and every boot has its own books."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.config import Build, FirmwareConfig, OutboxConfig
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ, Reading
from devices.firmware.reconnect import ReconnectConfig
from edgewire.messages import Status

steps = st.lists(st.sampled_from(["read", "room", "lose", "damage", "reset"]), max_size=60)


def reading(seq: int, boot: int) -> Reading:
    return Reading(seq, b"t", b"{}", 1, boot)


@given(steps=steps, storage=st.sampled_from(["ram", "flash"]), most=st.integers(1, 5), limit=st.sampled_from([None, 2]))
def test_every_reading_of_every_boot_is_accounted_for(
    steps: list[str], storage: str, most: int, limit: float | None
) -> None:
    config = OutboxConfig.model_validate({"storage": storage, "max_messages": most, "flush_per_second": limit})
    device = Firmware("d", 1, 1, 0, Build(outbox=config))
    published: list[tuple[int, int]] = []
    emitted: dict[int, int] = {}
    seq = 0
    for now, step in enumerate(steps):
        match step:
            case "read":
                if device.on_reading(reading(seq, device.boot), window=0 if now % 3 else 1):
                    published.append((device.boot, seq))
                seq += 1
            case "lose":
                device.on_lost_reading(seq)
                seq += 1
            case "damage":
                device.on_lost_reading(seq)
                device.on_reading(reading(NO_SEQ, device.boot), window=0)
                seq += 1
            case "room":
                published += [(one.boot, one.seq) for one in device.pop_publishable(2, now) if one.seq != NO_SEQ]
            case _:
                device.on_reset(device.boot + 1, now, "brown_out")
                seq = 0
                if storage == "ram":
                    assert not device.outbox
        emitted[device.boot] = seq
    for counters in device.all_counters():
        sent = [number for boot, number in published if boot == counters.boot]
        waiting = sum(last - first + 1 for first, last in device.outbox.seqs(counters.boot).as_list())
        assert counters.emitted == emitted.get(counters.boot, 0)
        assert counters.emitted == len(sent) + len(counters.dropped) + waiting
        assert sent == sorted(sent)


def test_acknowledgements_go_to_the_boot_that_took_the_reading() -> None:
    device = Firmware("d", 1, 5, 0, Build(outbox=OutboxConfig(storage="flash")))
    for seq in range(3):
        device.on_reading(reading(seq, 5), window=0)
    device.on_reset(6, 1000, "watchdog", uncertain=[])
    device.on_reading(reading(0, 6), window=9)
    assert [(one.boot, one.seq) for one in device.pop_publishable(9, 0)] == [(5, 0), (5, 1), (5, 2), (6, 0)]
    device.on_acknowledged(5, 2)
    device.on_refused((2,), 5, "not authorized (0x87)")
    device.on_acknowledged(6, 1)
    before, now = device.all_counters()
    assert (before.acknowledged, len(before.dropped), now.acknowledged, len(now.dropped)) == (2, 0, 1, 0)
    assert {reason: seqs.as_list() for reason, seqs in before.refused.items()} == {"not authorized (0x87)": [(2, 2)]}
    assert not now.refused


def test_what_was_under_way_is_uncertain_after_a_reset() -> None:
    device = Firmware("d", 1, 5, 0, Build())
    for seq in range(4):
        device.on_reading(reading(seq, 5), window=9)
    device.on_reset(6, 1000, "panic", uncertain=[2, 3, None, NO_SEQ])
    assert [counters.uncertain.as_list() for counters in device.all_counters()] == [[(2, 3)], []]


def test_status_after_a_reset() -> None:
    config = FirmwareConfig(first_sync="5s", battery_life="10d", rssi=-70)
    device = Firmware("d", 1, 5, 0, Build(firmware=config))
    status = Status.model_validate_json(orjson.dumps(device.status("online", 60_000)))
    assert (status.timestamp, status.uptime_s, status.reset_reason) == (None, 60, "power_on")
    device.is_synced = True
    device.on_reset(6, 70_000, "update", version="2.0.0")
    status = Status.model_validate_json(orjson.dumps(device.status("online", 72_500)))
    assert (status.timestamp, status.uptime_s, status.reset_reason, status.firmware) == (None, 2.5, "update", "2.0.0")
    assert (status.sent, status.buffered, status.dropped, status.boot) == (0, 0, 0, 6)
    will = device.status("offline", None)
    assert "uptime_s" not in will
    assert Status.model_validate(will).battery_pct is None


@given(failures=st.integers(0, 10_000), uniform=st.floats(0, 1, exclude_max=True))
def test_a_fixed_policy_never_waits_otherwise(failures: int, uniform: float) -> None:
    assert ReconnectConfig(policy="fixed", interval="10s").delay_s(failures, uniform) == 10
    assert 0 <= ReconnectConfig(base="1s", cap="1m").delay_s(failures, uniform) < 60


def test_a_device_wakes_when_it_has_enough_to_say() -> None:
    config = FirmwareConfig.model_validate({"sleep": {"readings": 3}})
    device = Firmware("d", 1, 1, 0, Build(firmware=config))
    said = []
    for seq in range(3):
        device.on_reading(reading(seq, 1), window=0)
        said.append(device.wants_to_wake())
    assert said == [False, False, True]
    # Where the outbox holds fewer than that, before it overflows.
    small = Firmware("d", 1, 1, 0, Build(firmware=config, outbox=OutboxConfig(max_messages=1)))
    small.on_reading(reading(0, 1), window=0)
    assert small.wants_to_wake()


@pytest.mark.parametrize("version", ["", "a b", "x" * 40, "é"])
def test_a_version_is_a_short_word(version: str) -> None:
    with pytest.raises(ValueError, match="version"):
        FirmwareConfig(version=version)
