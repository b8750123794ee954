"""Ends the bridge where it gets no more memory or no more threads: of what was half done nobody knows how far it got.

What was acknowledged is in the spool, so whoever starts the bridge again loses nothing; one that goes on might wait for
a timer that was never set.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgewire.errors import EdgefleetError

_NO_THREAD = "can't start new thread"
"""What Python says, as a plain `RuntimeError`."""


class OutOfMemory(EdgefleetError):
    """This machine has no more memory, or no more threads, for the bridge."""


def is_exhaustion(error: BaseException | None) -> bool:
    """Return whether an error says that there is no more memory, or no more threads."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_THREAD in str(error))


@contextmanager
def memory_watched() -> Iterator[asyncio.Future[None]]:
    """Yield what fails with `OutOfMemory` where a callback of the running loop, or a task that nobody asks, had none.

    An exhaustion that leaves the block is raised as that too.
    """
    loop = asyncio.get_running_loop()
    failure: asyncio.Future[None] = loop.create_future()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not is_exhaustion(context.get("exception")):
            (before or type(loop).default_exception_handler)(loop, context)
        elif not failure.done():
            failure.set_exception(_out_of_memory())

    loop.set_exception_handler(handle)
    try:
        yield failure
    except (MemoryError, RuntimeError) as error:
        if not is_exhaustion(error):
            raise
        raise _out_of_memory() from None
    finally:
        loop.set_exception_handler(before)
        # Nobody asks for it where the bridge has ended for another reason.
        if failure.done():
            failure.exception()


def _out_of_memory() -> OutOfMemory:
    return OutOfMemory(
        "there is no more memory, or there are no more threads, for the bridge: what was acknowledged is in the spool "
        "and goes on at the next start; raise its limits"
    )
