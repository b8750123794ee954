"""The breakers of a sink: one a destination, each under a name of its own, with no secret in any."""

import random

from bridge.delivery.circuit_breaker import DestinationBreakers
from bridge.metrics import BridgeMetrics
from bridge.sinks.settings import RetryConfig


def breakers() -> DestinationBreakers:
    return DestinationBreakers("http", RetryConfig(), BridgeMetrics(), random.Random(1))


def test_destinations_that_differ_in_a_secret_alone_are_told_apart() -> None:
    of_sink = breakers()
    found = [of_sink.for_queue(f"http://host/x?key={secret}#1") for secret in ("one", "two", "three")]
    shown = [one.name for one in found]
    assert len(set(shown)) == 3
    assert [name.removeprefix(shown[0]) for name in shown] == ["", " (2)", " (3)"]
    assert not any(secret in name for name in shown for secret in ("one", "two", "three"))
    assert of_sink.for_queue("http://host/x?key=two#5") is found[1], "another queue to it has the same breaker"


def test_a_destination_that_is_called_as_a_numbered_one_would_be_has_its_own_name() -> None:
    of_sink = breakers()
    topics = ["a (2)", "a"]
    assert [of_sink.for_queue(topic).name for topic in topics] == topics
    urls = [f"http://h/a?k={number}" for number in range(3)]
    shown = of_sink.for_queue(urls[0]).name
    taken = of_sink.for_queue(f"{shown} (2)").name
    assert len({taken, *(of_sink.for_queue(url).name for url in urls)}) == 4
