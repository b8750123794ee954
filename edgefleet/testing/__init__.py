"""Puts emulated devices into other people's test suites: see docs/testing.md.

`fixture` is what pytest's fixture `edgefleet` gives, which `edgefleet.pytest_plugin` registers; `broker` and `fleet`
run a broker and devices in processes of their own, apart from a project's packages (`process`, `isolated`); `gate` and
`observer` run beside the broker; `verification` says what became of the messages.
"""

from edgefleet.testing.broker import LocalBroker
from edgefleet.testing.fixture import EdgefleetFixture
from edgefleet.testing.fleet import AsyncFleet, FleetCounts, FleetEnded
from edgefleet.testing.fleet import EmulatedFleet as Fleet
from edgefleet.testing.verification import MissingMessage, Verification, verify

__all__ = [
    "AsyncFleet",
    "EdgefleetFixture",
    "Fleet",
    "FleetCounts",
    "FleetEnded",
    "LocalBroker",
    "MissingMessage",
    "Verification",
    "verify",
]
