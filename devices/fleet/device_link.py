"""Names what a device needs of its connection, so that nothing here hangs on how bytes get in and out."""

from collections.abc import Sequence
from typing import Protocol

from edgewire.mqtt import Properties, Subscription


class DeviceLink(Protocol):
    """Is a connection of a session, as `edgewire.link.Link` is one, which says what each of these does and raises."""

    @property
    def connected(self) -> bool: ...

    @property
    def writable(self) -> bool: ...

    def publish(
        self,
        topic: str | bytes,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        token: object = None,
    ) -> int: ...

    def subscribe(self, filters: Sequence[Subscription]) -> int: ...

    def cork(self) -> bool: ...

    def uncork(self) -> None: ...

    def tick(self) -> None: ...

    def close(self, reason: int = 0) -> None: ...

    def abort(self) -> None: ...

    def drop(self) -> None: ...

    def stall(self, *, drop_outgoing: bool) -> None: ...
