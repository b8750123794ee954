"""The errors of MQTT, split by who is to blame: the server, the caller, or only the moment."""

from edgewire.errors import EdgefleetError

MALFORMED_PACKET = 0x81
PROTOCOL_ERROR = 0x82
TOPIC_NAME_INVALID = 0x90
TOPIC_ALIAS_INVALID = 0x94
PACKET_TOO_LARGE = 0x95


class ProtocolError(EdgefleetError):
    """The peer broke the protocol, so the connection is spent. `code` is the reason a version 5 DISCONNECT gives."""

    def __init__(self, message: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


class Unsendable(EdgefleetError):
    """A value that the caller gave has no form in MQTT, or none that this server takes; says which and why."""


class PublishRefused(Unsendable):
    """This message can never be sent to this server: too large, a QoS or retain it does not offer, a bad topic.

    `code` is the reason that the server would give.
    """

    def __init__(self, message: str, code: int = TOPIC_NAME_INVALID) -> None:
        super().__init__(message)
        self.code = code


class SubscribeRefused(Unsendable):
    """This subscription can never be made at this server: a bad filter, or a kind that it does not offer."""


class WindowFull(EdgefleetError):
    """Nothing more may be sent just now; try again after the next `Acknowledged`."""


class SessionNotConnected(WindowFull):
    """There is no connection to send on; try again after the next `Connected`."""


class IllegalTransition(EdgefleetError):
    """The owner of a session called something out of turn: a mistake in the program, not in the peer."""
