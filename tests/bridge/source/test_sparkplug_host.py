"""Which nodes are asked for their births, how often, and by which connection."""

from typing import Any, cast

import pytest

from bridge.message.config import SubscriptionConfig
from bridge.source.sparkplug_host import ASK_AGAIN_S, SparkplugHost
from bridge.spool.message import SpooledMessage
from edgewire.clock import SystemClock
from edgewire.dialects.sparkplug import REBIRTH
from edgewire.dialects.sparkplug_payload import SparkplugType, read_payload, write_metric, write_payload
from edgewire.link import Link
from edgewire.mqtt import SessionNotConnected

DATA = write_payload(1_790_000_000_000, 1, [write_metric(None, SparkplugType.DOUBLE, 1.5, alias=1)])


class LaterClock(SystemClock):
    def __init__(self) -> None:
        self.later_s = 0.0

    def monotonic(self) -> float:
        return 1000 + self.later_s


class AskedLink:
    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.is_up = True

    def publish(self, topic: str, payload: bytes) -> None:  # so at QoS 0, and not retained
        if not self.is_up:
            raise SessionNotConnected("gone")
        self.published.append((topic, payload))


def host_of(clock: LaterClock, decode: Any = "sparkplug") -> SparkplugHost:
    host = SparkplugHost({}, clock)
    host.configure([SubscriptionConfig(filter="spBv1.0/#", decode=decode)])
    return host


def hear(host: SparkplugHost, link: AskedLink, node: str) -> None:
    message = SpooledMessage(0, 0, f"spBv1.0/G/NDATA/{node}", DATA, 0, False, False)
    assert host.name_metrics([message], cast("Link", link)) == [message]


def test_a_node_is_asked_by_the_connection_that_heard_it_and_not_again_for_a_while() -> None:
    clock = LaterClock()
    host, link, other = host_of(clock), AskedLink(), AskedLink()
    hear(host, link, "N1")
    host.ask_for_births(cast("Link", other))
    assert other.published == []
    link.is_up = False
    host.ask_for_births(cast("Link", link))
    link.is_up = True
    host.ask_for_births(cast("Link", link))
    ((topic, payload),) = link.published
    assert topic == "spBv1.0/G/NCMD/N1"
    read = read_payload(payload)
    (metric,) = read.metrics
    assert (metric.name, metric.value) == (REBIRTH, True)
    assert (read.seq, read.timestamp is not None) == (None, True)
    hear(host, link, "N1")
    clock.later_s += ASK_AGAIN_S - 1
    host.ask_for_births(cast("Link", link))
    assert len(link.published) == 1
    clock.later_s += 1
    host.ask_for_births(cast("Link", link))
    assert len(link.published) == 2


def test_many_nodes_are_not_asked_all_at_once() -> None:
    host, link = host_of(LaterClock()), AskedLink()
    for number in range(150):
        hear(host, link, f"N{number}")
    host.ask_for_births(cast("Link", link))
    assert len(link.published) == 100
    host.ask_for_births(cast("Link", link))
    assert len({topic for topic, _ in link.published}) == 150


@pytest.mark.parametrize("decode", [{"dialect": "sparkplug", "rebirth": False}, "none", "tasmota"])
def test_nobody_is_asked_where_that_is_not_wanted_or_not_of_sparkplug(decode: Any) -> None:
    host, link = host_of(LaterClock(), decode), AskedLink()
    hear(host, link, "N1")
    host.ask_for_births(cast("Link", link))
    assert link.published == []
