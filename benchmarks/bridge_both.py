"""`python -m benchmarks.bridge_both`: CPU of the bridge a message into HTTP and Kafka, steady and in a backlog.

Two checkouts can be compared, as by `benchmarks.bridge_http`; each has a Kafka node of its own. A message has come when
both have it.
"""

import sys
from collections.abc import Sequence
from typing import Any, Self

from benchmarks.bridge_http import HERE, HttpDestination, bridge_of, measure, parser_of, print_medians
from benchmarks.bridge_kafka import TOPIC, KafkaDestination


class BothDestinations:
    """Runs an HTTP server and a Kafka; their addresses are one, with a space between them."""

    def __init__(self) -> None:
        self._http, self._kafka = HttpDestination(), KafkaDestination()
        self.address = f"{self._http.address} {self._kafka.address}"

    def __enter__(self) -> Self:
        self._http.__enter__()
        self._kafka.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._kafka.__exit__(*error)
        self._http.__exit__(*error)

    def taken(self, *, reset: bool = True) -> dict[str, Any]:
        """As `Destination.taken`, of the one that has less."""
        return min((one.taken(reset=reset) for one in (self._kafka, self._http)), key=lambda had: int(had["messages"]))


def _into_both(address: str) -> dict[str, Any]:
    http, kafka = address.split()
    routes = [{"topic": "edge/#", "http": {}, "kafka": TOPIC}]
    return {"http": {"url": http}, "kafka": {"bootstrap_servers": kafka}, "routes": routes}


def main(arguments: Sequence[str]) -> None:
    """Measure, and print every figure and the medians."""
    options = parser_of(__doc__).parse_args(arguments)
    trees = [HERE] if options.beside is None else [options.beside.resolve(), HERE]
    print_medians(measure({str(tree): bridge_of(tree, _into_both) for tree in trees}, BothDestinations, options))


if __name__ == "__main__":
    main(sys.argv[1:])
