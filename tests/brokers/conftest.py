"""A broker of each kind for the whole session, and clients of it."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from edgewire.errors import ServiceUnavailable
from edgewire.mqtt import Version
from tests.brokers.features import FEATURES, Deviation, deviation
from tests.brokers.programs import PROGRAMS, BrokerName, BrokerUnderTest
from tests.edgewire.link.wire_client import PahoClient, WireClients
from tests.services.fixtures import unavailable


@pytest.fixture(scope="session")
def running_brokers() -> Iterator[dict[BrokerName, BrokerUnderTest]]:
    """Those that were asked for so far; each is started once."""
    found: dict[BrokerName, BrokerUnderTest] = {}
    yield found
    with ExitStack() as stack:
        for broker in found.values():
            stack.callback(broker.process.close)


@pytest.fixture
def broker(name: BrokerName, running_brokers: dict[BrokerName, BrokerUnderTest]) -> BrokerUnderTest:
    """The broker of the test, which is at work."""
    if name not in running_brokers:
        try:
            running_brokers[name] = BrokerUnderTest.create(name)
        except ServiceUnavailable as error:
            unavailable(f"{name} cannot be had: {error}")
    running_brokers[name].process.start()
    return running_brokers[name]


@pytest.fixture
def own_broker(name: BrokerName) -> Iterator[BrokerUnderTest]:
    """A broker for the test alone, which may kill it."""
    try:
        broker = BrokerUnderTest.create(name)
    except ServiceUnavailable as error:
        unavailable(f"{name} cannot be had: {error}")
    with broker.process:
        yield broker


@pytest.fixture
def url(request: pytest.FixtureRequest, name: BrokerName, version: Version) -> str:
    """Where the broker of the test speaks the version of the test."""
    fixture = "own_broker" if "own_broker" in request.fixturenames else "broker"
    broker: BrokerUnderTest = request.getfixturevalue(fixture)
    return broker.url(version)


@pytest.fixture
async def clients() -> AsyncIterator[WireClients]:
    made = WireClients()
    yield made
    await made.stop()


@pytest.fixture
def root() -> str:
    """Topics of this test alone: the broker is shared."""
    return f"test/{uuid.uuid4().hex}"


@pytest.fixture
def judge(url: str, root: str, version: Version) -> Iterator[PahoClient]:
    """Somebody else's client, subscribed to all below `root`."""
    client = PahoClient(url, root, version)
    yield client
    client.stop()


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
