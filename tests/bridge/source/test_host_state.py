"""What the bridge tells of itself as a host application of Sparkplug, and at what time."""

import orjson
import pytest

from bridge.source.host_state import HostState
from edgewire.clock import SystemClock

TOPIC = "spBv1.0/STATE/scada"


class SetClock(SystemClock):
    """Shows the time that it was set to."""

    def __init__(self) -> None:
        self.shown_ms = 1_790_000_000_000

    def now_ms(self) -> int:
        return self.shown_ms


def test_a_birth_has_the_time_of_the_will_and_a_death_its_own() -> None:
    clock = SetClock()
    host = HostState("scada", clock)
    before_ms = clock.now_ms()
    will = host.begin_connect()
    assert (will.topic, will.qos, will.retain) == (TOPIC, 1, True)
    assert orjson.loads(will.payload) == {"online": False, "timestamp": before_ms}
    clock.shown_ms += 5000
    assert orjson.loads(host.birth()) == {"online": True, "timestamp": before_ms}
    assert orjson.loads(host.death()) == {"online": False, "timestamp": before_ms + 5000}
    assert orjson.loads(host.begin_connect().payload)["timestamp"] == before_ms + 5000


def test_no_time_is_before_the_last_though_the_clock_is_set_back() -> None:
    clock = SetClock()
    host = HostState("scada", clock)
    first = orjson.loads(host.begin_connect().payload)["timestamp"]
    clock.shown_ms -= 60_000
    assert orjson.loads(host.begin_connect().payload)["timestamp"] == first
    assert orjson.loads(host.death())["timestamp"] == first


@pytest.mark.parametrize(
    ("topic", "payload", "is_denied"),
    [
        (TOPIC, b'{"online":false,"timestamp":1}', True),
        (TOPIC, b'{"online":true,"timestamp":1}', False),
        ("spBv1.0/STATE/other", b'{"online":false,"timestamp":1}', False),
        (TOPIC, b"", False),
        (TOPIC, b"OFFLINE", False),
        (TOPIC, b'{"online":0}', False),
    ],
)
def test_it_contradicts_who_says_that_it_is_not_there_once_it_has_told(
    topic: str, payload: bytes, is_denied: bool
) -> None:
    host = HostState("scada", SetClock())
    host.begin_connect()
    assert not host.is_denied_by(topic, payload)
    host.is_told = True
    assert host.is_denied_by(topic, payload) is is_denied
