"""A bridge that gets no more memory, or no more threads, ends and says so, wherever it had none."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge.memory_watch import OutOfMemory, is_exhaustion, memory_watched

THREADS = RuntimeError("can't start new thread")


def raising(error: Exception) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


@pytest.mark.parametrize("error", [MemoryError(), THREADS])
async def test_a_callback_that_has_no_memory_ends_it(error: Exception) -> None:
    with memory_watched() as failure:
        for _ in range(2):
            asyncio.get_running_loop().call_soon(raising(error))
        with pytest.raises(OutOfMemory, match="what was acknowledged is in the spool"):
            async with asyncio.timeout(30):
                await failure


@pytest.mark.parametrize("error", [MemoryError(), THREADS])
async def test_what_leaves_the_block_says_the_same(error: Exception) -> None:
    with pytest.raises(OutOfMemory), memory_watched():
        raise error


async def test_another_error_is_told_as_before() -> None:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    with memory_watched() as failure:
        loop.call_soon(raising(KeyError("a")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not failure.done()
    loop.call_soon(raising(MemoryError()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [type(context["exception"]) for context in told] == [KeyError, MemoryError]
    with pytest.raises(RuntimeError, match="another"), memory_watched():
        raise RuntimeError("another")
    assert not is_exhaustion(None)
