"""Tells edge nodes of Sparkplug by `STATE` whether the bridge is there, as a host application does (3.0, chapter 5).

The will says at what time the connection was asked for, and the birth says the same time: by it nodes tell a will of
an earlier connection from news. Does no I/O.
"""

import orjson

from edgewire.clock import Clock
from edgewire.dialects.base import DialectError
from edgewire.dialects.sparkplug import state_topic
from edgewire.dialects.values import read_object
from edgewire.mqtt import Will

STATE_TOKEN = "state of the host"  # noqa: S105 - marks a publication
"""The token of what is published: one that was not acknowledged is out of date on the next connection."""


class HostState:
    """Holds what one host application says of itself at one broker, from connection to connection."""

    def __init__(self, host_id: str, clock: Clock) -> None:
        self.topic = state_topic(host_id)
        self.is_told = False
        """Whether the broker was told on this connection that it is there."""
        self._clock = clock
        self._connect_ms = 0

    def begin_connect(self) -> Will:
        """Return the will of the connection that is asked for now."""
        # Clocks are set back, and nodes heed no time before the last.
        self._connect_ms = max(self._connect_ms, self._clock.now_ms())
        self.is_told = False
        return Will(topic=self.topic, payload=_state(self._connect_ms, online=False), qos=1, retain=True)

    def birth(self) -> bytes:
        """Return what tells that it is there, on the connection that was asked for last."""
        return _state(self._connect_ms, online=True)

    def death(self) -> bytes:
        """Return what tells that it goes now, on purpose."""
        return _state(max(self._connect_ms, self._clock.now_ms()), online=False)

    def is_denied_by(self, topic: str, payload: bytes) -> bool:
        """Return whether a message tells of this host that it is not there, which is: a will that came late."""
        if topic != self.topic or not self.is_told:
            return False
        try:
            return read_object(payload).get("online") is False
        except DialectError:
            return False


def _state(timestamp: int, *, online: bool) -> bytes:
    return orjson.dumps({"online": online, "timestamp": timestamp})
