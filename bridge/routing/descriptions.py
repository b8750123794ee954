"""Keeps what devices have described of themselves, as discovery messages do, from run to run of the bridge.

What is read of a message depends on it: without it a bridge that starts with messages in its spool would not know their
units, and the broker sends a retained description again only to a new subscription.
"""

import asyncio
import secrets
from pathlib import Path

from bridge.routing.table import RouteTable
from bridge.spool.spool import Spool
from bridge.spool.sqlite import SpoolError, read_notes
from bridge.spool.store import SpoolStore
from edgewire import logs

_IDENTITY = "identity"
_PREFIX = "description "
_IDENTITY_BITS = 49
"""As many as stay below 10^15, which boots do. It is drawn, as bridges that share a subscription start together."""
MAX_DESCRIPTIONS = 200_000
"""Kept in the spool; ten a device of 20,000."""
MAX_DESCRIPTION_CHARACTERS = 256_000_000
"""Of all descriptions together: 1,280 each."""

log = logs.get("routing")


def read_descriptions(path: Path) -> dict[str, str]:
    """Return what a spool has of what devices described, by topic, also beside a bridge that runs; mostly nothing."""
    return read_notes(path, _PREFIX)


class DeviceDescriptions:
    """Knows the spool's identity and the descriptions that came so far, and writes down new ones."""

    def __init__(self, store: SpoolStore) -> None:
        """Read what the spool has; a new spool gets its identity, which is the boot of messages that have none."""
        self._spool: Spool | None = None
        written = store.get_metadata(_IDENTITY)
        if written is None:
            written = str(secrets.randbits(_IDENTITY_BITS))
            store.set_metadata(_IDENTITY, written)
        self._boot = int(written)
        self._known = store.list_metadata(_PREFIX)
        self._characters = sum(map(len, self._known.values()))
        self._writing: set[asyncio.Task[None]] = set()
        self._has_warned = False

    def begin(self, spool: Spool, table: RouteTable) -> None:
        """Write down what is new into this spool from now on, and give a table what is known."""
        self._spool = spool
        self.restore(table)

    def restore(self, table: RouteTable) -> None:
        """Give a table what is known, and be told by it of what is new."""
        table.restore(self._boot, self._known, self._remember)

    def _remember(self, topic: str, payload: str) -> None:
        known = self._known.get(topic)
        characters = self._characters + len(payload) - len(known or "")
        if (known is None and len(self._known) >= MAX_DESCRIPTIONS) or characters > MAX_DESCRIPTION_CHARACTERS:
            if not self._has_warned:
                self._has_warned = True
                log.warning(
                    "too many descriptions of devices: new ones are forgotten at the end",
                    kept=len(self._known),
                    characters=self._characters,
                )
            return
        self._known[topic] = payload
        self._characters = characters
        task = asyncio.get_running_loop().create_task(self._write(topic, payload), name="description")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, topic: str, payload: str) -> None:
        assert self._spool is not None  # nothing is routed before `begin`
        try:
            await self._spool.run_on_writer(lambda store: store.set_metadata(_PREFIX + topic, payload))
        except SpoolError as error:
            log.warning("a description of a device is forgotten at the end", topic=topic, reason=str(error))
