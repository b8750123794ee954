"""Says where GPS receivers put their sentences out beside MQTT: on a TCP port, or on a pseudo-terminal."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import StringConstraints, model_validator

from edgewire.config import Config
from edgewire.config_errors import text_matching

AUTO = "auto"
MOST_OUTPUTS = 64
"""In one group: each costs a process a port or two descriptors, and an epoch a second."""
_LAST_PORT = 65_535


class NmeaOutput(Config):
    """Puts the sentences of each epoch out once a second, as a receiver at a serial line does; gpsd takes it for one.

    Messages do not carry them then.
    """

    tcp: (
        Annotated[
            str,
            text_matching(
                r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$", "an address and a port, such as 127.0.0.1:10110"
            ),
        ]
        | None
    ) = None
    """Address and port on which the first device of the group is heard, each further one on the next port:
    `127.0.0.1:10110`. At most 8 programs listen to one; who reads too slowly is cut off."""
    pty: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    """`auto`: a pseudo-terminal for each device, whose name the log tells as the run begins; or a path at which a link
    to it is put, with `{id}` in it for several devices: `/tmp/{id}`."""

    @model_validator(mode="after")
    def _check(self) -> "NmeaOutput":
        if (self.tcp is None) == (self.pty is None):
            raise ValueError("should say either tcp, an address and a port, or pty, a path or auto")
        if self.tcp is not None and not 0 < self.tcp_address[1] <= _LAST_PORT:
            raise ValueError(f"{self.tcp_address[1]} is no port: there are 1 to {_LAST_PORT}")
        return self

    @property
    def tcp_address(self) -> tuple[str, int]:
        """Return the host and the first port."""
        assert self.tcp is not None, "asked of what has one"
        host, _, port = self.tcp.rpartition(":")
        return host.strip("[]"), int(port)

    def refusal(self, devices: int) -> str | None:
        """Return why so many devices cannot have such an output each; None where they can."""
        if devices > MOST_OUTPUTS:
            return f"{devices:,} receivers are too many to be put out: at most {MOST_OUTPUTS} of a group"
        if self.tcp is not None and (last := self.tcp_address[1] + devices - 1) > _LAST_PORT:
            return f"{devices} devices would need the ports up to {last}; the last is {_LAST_PORT}"
        if self.pty not in (None, AUTO) and devices > 1 and "{id}" not in str(self.pty):
            return "needs {id} in its path, or all devices would have the same link"
        return None


def nmea_output(settings: Mapping[str, Any]) -> NmeaOutput | None:
    """Return where receivers with these settings, which are right, put their sentences out; None for nowhere."""
    found = settings.get("nmea")
    return NmeaOutput(**found) if isinstance(found, Mapping) else None
