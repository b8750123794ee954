"""Fixtures that every layer shares; the real services themselves are in tests/services/."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["tests.services.fixtures"]

# The same examples in every run, so that a run that passes here passes elsewhere; new ones are looked for with
# --hypothesis-profile=explore.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("fixed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every coroutine gets a limit of its own, a little shorter than that of pytest-timeout.

    What that one raises out of its signal handler is lost where a loop is uvloop's, and a test would wait for ever.
    """
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            marker = item.get_closest_marker("timeout")
            item.obj = _limited(item.obj, float(marker.args[0] if marker else config.getini("timeout")) - 5)


def _limited(test: Callable[..., Awaitable[None]], limit_s: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def run(*arguments: Any, **named: Any) -> None:
        async with asyncio.timeout(limit_s):
            await test(*arguments, **named)

    return run
