"""Gives tests the fixture `edgefleet`: brokers and fleets that end with the test, and the verdict on what arrived.

pytest loads it wherever edgefleet is installed: what it needs is imported by the first test that asks for the fixture.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edgefleet.testing.fixture import EdgefleetFixture

_FIXTURES = pytest.StashKey[list["EdgefleetFixture"]]()


@pytest.fixture
def edgefleet(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator["EdgefleetFixture"]:
    """Start brokers and emulated fleets, and verify what became of their messages; all ends with the test."""
    from edgefleet.testing.fixture import EdgefleetFixture

    fixture = EdgefleetFixture(tmp_path_factory.mktemp("edgefleet"))
    request.node.stash.setdefault(_FIXTURES, []).append(fixture)
    try:
        yield fixture
    finally:
        fixture.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what fleets and brokers of a test that failed have printed, and where their records are."""
    report = yield
    if report.when == "call" and report.failed:
        for fixture in item.stash.get(_FIXTURES, []):
            report.sections += fixture.sections()
    return report
