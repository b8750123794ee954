"""A sample of the chaos suite, within a minute; `make chaos` is the long form, docs/reliability.md explains both."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgewire.errors import ServiceUnavailable
from tests.chaos.faults import FAULTS
from tests.chaos.needs import missing_for
from tests.chaos.run import execute
from tests.chaos.services import Services
from tests.services.fixtures import unavailable

pytestmark = [pytest.mark.chaos, pytest.mark.services, pytest.mark.e2e, pytest.mark.timeout(400)]

BY_NAME = {fault.name: fault for fault in FAULTS}
SAMPLE = (
    "after-commit",
    "after-accept",
    "disk-full",
    "half-open-broker",
    "reset-kafka",
    "spool-io-error",
    "files-fail",
    "no-descriptors",
    "names-fail",
    "memory-limit",
    "certificate-ends-kafka",
    "postgres-killed",
    "kafka-disk-full",
)
SEED = int(os.environ.get("EDGEFLEET_CHAOS_SEED", "1"))


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(Services())
        except ServiceUnavailable as error:
            unavailable(str(error))
        yield running


@pytest.mark.parametrize("name", SAMPLE)
def test_nothing_is_lost(name: str, services: Services, tmp_path: Path) -> None:
    if lacking := missing_for(BY_NAME[name]):
        unavailable(f"{name}: {lacking}")
    result = execute(BY_NAME[name], SEED, services, tmp_path)
    assert result.verdict.ok, f"{result.verdict.complaints}; evidence in {result.folder}"
    assert result.verdict.must >= 400
    assert result.kills + result.injected


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(FAULTS) >= 30
