"""Ends a run: outboxes drain, every device says goodbye, and its connection closes."""

import asyncio
from collections.abc import Callable, Sequence

from devices.fleet.device_client import DeviceClient

# How long a stopping fleet waits for its outboxes to drain and for the last PUBACKs.
GRACE_S = 10.0
POLL_S = 0.05


async def drain_outboxes(clients: Sequence[DeviceClient], at_once: asyncio.Event | None = None) -> None:
    """Wait until all that can leave is acknowledged, the grace period is over, or `at_once` is set."""
    for client in clients:
        client.finish_readings()
    await _within_grace(lambda: all(client.is_drained for client in clients), at_once)


async def disconnect_all(clients: Sequence[DeviceClient], at_once: asyncio.Event | None = None) -> None:
    """Let every device say goodbye, and wait for the connections to close, as long as the grace period at the most.

    Once `at_once` is set nobody waits for the brokers: only until the event loop has closed the sockets on this side.
    """
    for position, client in enumerate(clients):
        client.disconnect_cleanly()
        if position % 200 == 199:
            await asyncio.sleep(0)
    # The last bytes leave with the event loop's next turns, and a dial that was cancelled closes its socket in them.
    await asyncio.sleep(POLL_S)
    await _within_grace(lambda: all(client.is_disconnected for client in clients), at_once)


async def _within_grace(condition: Callable[[], bool], at_once: asyncio.Event | None) -> None:
    for _ in range(round(GRACE_S / POLL_S)):
        if condition() or (at_once and at_once.is_set()):
            return
        await asyncio.sleep(POLL_S)
