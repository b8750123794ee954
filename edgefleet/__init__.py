"""The application a user runs: commands, ingest service, verification, demo. Composes devices and bridge.

For test suites it has `Fleet`, `AsyncFleet` and `LocalBroker` of `edgefleet.testing`, imported when they are used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgefleet.testing.broker import LocalBroker as LocalBroker
    from edgefleet.testing.fleet import AsyncFleet as AsyncFleet
    from edgefleet.testing.fleet import EmulatedFleet as Fleet

__version__ = "0.1.0"
__all__ = ["AsyncFleet", "Fleet", "LocalBroker", "__version__"]
_OF_TESTING = {"AsyncFleet", "Fleet", "LocalBroker"}


def __getattr__(name: str) -> Any:
    if name in _OF_TESTING:
        from edgefleet import testing

        return getattr(testing, name)
    raise AttributeError(f"module 'edgefleet' has no attribute '{name}'")
