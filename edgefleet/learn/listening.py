"""Listens to a broker for a while, within bounds."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from edgefleet.learn.capture import HeardLimits, MessageCollector
from edgefleet.learn.messages import CapturedMessage, Heard
from edgefleet.report.broker_messages import BrokerAccess, broker_messages, until_stopped


async def listen(
    access: BrokerAccess, filters: Sequence[str], for_s: float, limits: HeardLimits, stop: asyncio.Event
) -> Heard:
    """Return what passes until the time is over, a limit is reached or it is stopped.

    Times are those of a clock that never goes back. Raises `ServiceUnavailable` without a broker.
    """
    taken = MessageCollector(limits)
    begin_ms, begin_s = time.time_ns() // 1_000_000, time.monotonic()

    async def hear() -> None:
        async with aclosing(broker_messages(access, filters, "learn", qos=2)) as messages:
            async for message in messages:
                at_ms = begin_ms + round((time.monotonic() - begin_s) * 1000)
                heard = CapturedMessage(message.topic, message.payload, at_ms, message.qos, message.retain)
                if not taken.add(heard):
                    return

    async def for_a_while() -> None:
        try:
            async with asyncio.timeout(for_s):
                await hear()
        except TimeoutError:
            return

    await until_stopped(for_a_while(), stop)
    return taken.found
