"""A broker of each kind for the whole session, and clients of it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from edgefleet.embedded import Broker
from edgewire.errors import ServiceUnavailable
from edgewire.mqtt import Version
from tests.brokers.features import FEATURES, Deviation, deviation
from tests.brokers.programs import PROGRAMS, BrokerName, ForeignBroker, url_of
from tests.edgewire.link.wire_client import clients, root  # noqa: F401 - fixtures
from tests.services.fixtures import unavailable


def prepare(name: BrokerName) -> Broker | ForeignBroker:
    """Return a broker that is not started yet; skips the test where it cannot be had."""
    try:
        return PROGRAMS[name].create()
    except ServiceUnavailable as error:
        unavailable(f"{name} cannot be had: {error}")


@pytest.fixture(scope="session")
def running_brokers() -> Iterator[dict[BrokerName, Broker | ForeignBroker]]:
    """Those that were asked for so far; each is started once."""
    found: dict[BrokerName, Broker | ForeignBroker] = {}
    yield found
    with ExitStack() as stack:
        for broker in found.values():
            stack.callback(broker.close)


@pytest.fixture
def broker(name: BrokerName, running_brokers: dict[BrokerName, Broker | ForeignBroker]) -> Broker | ForeignBroker:
    """The broker of the test, which is at work."""
    if name not in running_brokers:
        running_brokers[name] = prepare(name).start()
    return running_brokers[name]


@pytest.fixture
def own_broker(name: BrokerName) -> Iterator[Broker | ForeignBroker]:
    """A broker for the test alone, which may kill it."""
    with prepare(name) as broker:
        yield broker


@pytest.fixture
def url(request: pytest.FixtureRequest, name: BrokerName, version: Version) -> str:
    """Where the broker of the test speaks the version of the test."""
    return url_of(request.getfixturevalue("own_broker" if "own_broker" in request.fixturenames else "broker"), version)


def marks(found: Deviation | None) -> list[pytest.MarkDecorator]:
    """What is known to fail has to, or the table would go on accusing a broker of what it has mended."""
    return [pytest.mark.xfail(strict=found.is_constant, reason=found.sentence)] if found else []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try each feature with every broker and version that it concerns."""
    feature = next((one for one in FEATURES if one.test == metafunc.function.__name__), None)
    if feature is None:
        return
    metafunc.parametrize(
        ("name", "version"),
        [
            pytest.param(name, version, id=f"{name}-{version.name}", marks=marks(deviation(name, feature)))
            for name in BrokerName
            for version in PROGRAMS[name].versions
            if feature.concerns(name, version)
        ],
    )
