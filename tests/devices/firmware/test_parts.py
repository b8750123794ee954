"""The outbox of a device with several parts: one for all, in the order of time, and the books of each part balance."""

from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.config import Build, OutboxConfig
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Reading
from devices.firmware.parts import HostFirmware

PARTS = 3
STEPS = st.lists(st.tuples(st.integers(0, PARTS - 1), st.integers(0, 2), st.integers(1, 400)), max_size=80)


def device(outbox: OutboxConfig) -> HostFirmware:
    host = HostFirmware("box", 1, 5, 0, Build(outbox=outbox))
    for number in range(PARTS):
        host.add_part(Firmware(f"box.{number}", number, 5, 0, host.build))
    return host


@given(
    steps=STEPS,
    most=st.integers(1, 12),
    policy=st.sampled_from(["drop-oldest", "drop-newest"]),
    storage=st.sampled_from(["ram", "flash"]),
)
def test_every_reading_of_every_part_is_sent_waiting_or_dropped(
    steps: list[tuple[int, int, int]], most: int, policy: str, storage: str
) -> None:
    config = OutboxConfig.model_validate(
        {"max_messages": most, "max_bytes": 1024, "when_full": policy, "storage": storage}
    )
    host = device(config)
    sent: list[tuple[int, int]] = []
    taken: list[tuple[int, int]] = []
    for part, takes, size in steps:
        firmware = host.parts[part]
        seq = firmware.counters.emitted
        assert not firmware.on_reading(Reading(seq, b"t", b"x" * size, 1, 5), 0)
        taken.append((part, seq))
        sent += [(one.part, one.seq) for one in host.pop_publishable(takes, 0.0)]
        assert len(host.outbox) == sum(len(one.outbox) for one in host.parts) <= most
        assert host.outbox.size_bytes <= 1024
    assert sent == [one for one in taken if one in set(sent)], "the oldest goes first, whichever part it is of"
    for number, firmware in enumerate(host.parts):
        waiting = len(firmware.outbox)
        assert waiting == len(firmware.outbox.seqs(5))
        gone = sum(one == number for one, _ in sent)
        assert firmware.counters.emitted == gone + waiting + len(firmware.counters.dropped)
        assert firmware.sent == gone
    status = host.status("online", 1000)
    assert (status["sent"], status["buffered"]) == (len(sent), len(host.outbox))
    for firmware in (*host.parts, host):
        firmware.on_reset(6, 2000, "command")
    kept = len(host.outbox)
    assert kept == (status["buffered"] if storage == "flash" else 0)
    assert sum(len(one.outbox.seqs(5)) for one in host.parts) == kept
    lost = sum(one.counters_of(5).dropped_by_fault for one in host.parts if one.boot != 5 and taken_of(one))
    assert lost == status["buffered"] - kept


def taken_of(firmware: Firmware) -> bool:
    """Whether a part had readings in its first boot: without any, it has no books of it."""
    return any(one.boot == 5 for one in firmware.all_counters())
