"""Fixtures that every layer shares; the real services themselves are in tests/services/."""

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import settings

# A terminal of its own width is for those tests that ask for one: pytest-xdist and some shells set it for all.
os.environ.pop("COLUMNS", None)
os.unsetenv("COLUMNS")  # which readline, that pytest imports, sets behind the back of os.environ

pytest_plugins = ["tests.services.fixtures"]

# The same examples in every run, so that a run that passes here passes elsewhere; new ones are looked for with
# --hypothesis-profile=explore, which has more of them too. `make check` takes the first few.
settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("quick", derandomize=True, deadline=None, max_examples=5)
settings.register_profile("explore", deadline=None)
settings.load_profile("fixed")


SERVICES = {"mosquitto", "mosquitto_factory", "kafka", "kafka_process", "kafka_factory", "postgres"}
"""The fixtures that start a real service, whose tests have the marker `services` whether or not they say so."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that start a real service, and give every coroutine a limit of its own.

    The limit is a little shorter than that of pytest-timeout: what that one raises out of its signal handler is lost
    where a loop is uvloop's, and a test would wait for ever.
    """
    for item in items:
        if not SERVICES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            marker = item.get_closest_marker("timeout")
            item.obj = _limited(item.obj, float(marker.args[0] if marker else config.getini("timeout")) - 5)


@pytest.fixture(autouse=True)
def unconfigured_logs() -> Iterator[None]:
    """Take back what a command that ran in this process has set: the level of its logs, and where they go."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def forgotten_kinds() -> Iterator[None]:
    """Take back the kinds that scenarios of a test have declared."""
    yield
    registry = sys.modules.get("devices.sensors.registry")
    if registry is not None:
        for name in registry.KINDS.declared:
            registry.KINDS.remove(name)


def _limited(test: Callable[..., Awaitable[None]], limit_s: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def run(*arguments: Any, **named: Any) -> None:
        async with asyncio.timeout(limit_s):
            await test(*arguments, **named)

    return run
