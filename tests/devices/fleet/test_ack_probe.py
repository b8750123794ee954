"""The latency of the sampled message, whatever was in flight before it."""

from devices.fleet.latency import EVERY, AckProbe


def test_the_ack_of_the_sampled_message_is_the_one_that_counts() -> None:
    probe, device = AckProbe(), "device"
    probe.published(device, 3, 10.0)
    probe.acknowledged(device, 2, 10.5)
    assert device in probe
    probe.acknowledged(device, 1, 12.0)
    assert device not in probe
    assert probe.latency.total == 1
    latency = probe.latency.percentile_ms(50)
    assert latency is not None
    assert 2000 <= latency <= 2200


def test_one_in_so_many_is_timed() -> None:
    probe = AckProbe()
    assert [probe.is_due() for _ in range(2 * EVERY)].count(True) == 2


def test_a_lost_connection_ends_the_measurement() -> None:
    probe = AckProbe()
    probe.published("device", 1, 0.0)
    probe.lost("device")
    probe.lost("another")
    assert "device" not in probe
    assert not probe.latency.total


def test_what_needs_no_acknowledgement_is_not_timed() -> None:
    probe = AckProbe()
    probe.published("device", 0, 0.0)
    assert "device" not in probe
