"""A broker that restarts ends all connections at once; another client with the id of a device ends one."""

from devices.fleet.loss_window import KEPT_S, LossWindow


def test_a_loss_is_alone_unless_half_of_the_fleet_is_lost_with_it() -> None:
    window = LossWindow(10)
    for number in range(10):
        window.record_loss(100 + number / 100)
    assert not window.was_alone(100.05)
    for number in range(10):
        window.record_loss(200 + number)
    assert window.was_alone(203)


def test_the_only_device_is_never_alone() -> None:
    window = LossWindow(1)
    window.record_loss(5.0)
    assert not window.was_alone(5.0)


def test_what_is_long_ago_is_forgotten() -> None:
    window = LossWindow(2)
    window.record_loss(0.0)
    window.record_loss(KEPT_S + 1)
    assert window.was_alone(0.0)
