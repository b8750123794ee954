"""What emulated LoRaWAN devices have in common, whichever network server speaks for them.

A frame holds the values of a reading in their order, as a list in CBOR: sensors on the air write no names. The server's
decoder is taken to know them. A downlink that the server encodes of `interval_s` or `reboot` is a command.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from edgewire.dialects.base import DialectError
from edgewire.dialects.cbor import write_cbor
from edgewire.dialects.encoder import DeviceNames, DialectCommand, MessageTemplate, Publication, seconds_argument
from edgewire.dialects.kind_fields import kind_fields
from edgewire.messages import CONTRACT, Channel
from edgewire.messages.control import CommandAction

GATEWAY_ID = "0016c001ff10a235"
FREQUENCY_HZ = 868_100_000
PORT = 2
SNR_DB = 7.5


def spoken_values(kind: str, server: str) -> dict[str, str]:
    """Return a mapping of the numbers and flags that a kind measures. Raises `DialectError` for one without any.

    Texts do not go over the air: a frame has 51 bytes where the way is long.
    """
    if all(one.channel is Channel.EVENT for one in CONTRACT[kind].messages):
        raise DialectError(f"{server} has frames of numbers, and {kind} tells what happens in words")
    found = {field.name: field.name for field in kind_fields(kind, server) if field.type is not str}
    if not found:
        raise DialectError(f"{server} has frames of numbers, and {kind} measures none")
    return found


def text_of(written: str) -> object:
    """Return an option in the notation of payloads: a text without names in braces would be one of a field there."""
    return written if "{" in written else {"const": written}


def frame_of(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the values that are there, and the frame with them in base64."""
    kept = {name: value for name, value in values.items() if value is not None}
    return kept, base64.b64encode(write_cbor(list(kept.values()))).decode()


def asked_of(said: object) -> tuple[CommandAction | Literal[""], dict[str, Any]]:
    """Return the action that a downlink asks for, and its arguments; none of what no device knows."""
    if isinstance(said, dict):
        if said.get("reboot") is True:
            return "reboot", {}
        if "interval_s" in said:
            return "set_interval", {"interval": seconds_argument(said["interval_s"])}
    return "", {}


class LorawanEncoder:
    """Says uplinks, and nothing of a device's being there: a network server does not know."""

    events: tuple[MessageTemplate, ...] = ()

    def __init__(self, uplink: MessageTemplate) -> None:
        self.messages: Sequence[MessageTemplate] = (uplink,)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> tuple[Publication, ...]:
        """Return nothing."""
        return ()

    def will(self, names: DeviceNames) -> None:
        """Return none: the connection is the server's."""
        return


def downlink(name: str, said: object, kept: str) -> DialectCommand:
    """Return the command of a downlink; `kept` is what the server's answers need of it."""
    action, arguments = asked_of(said)
    return DialectCommand(action, arguments, name, kept)
