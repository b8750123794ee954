"""The other end for tests of a session: a server that says exactly what the test tells it, and the clock."""

from edgewire.mqtt import (
    Connected,
    Event,
    Message,
    PacketDecoder,
    Session,
    SessionConfig,
    SessionState,
    Version,
    encode,
)
from edgewire.mqtt.packets import Connack, Packet
from edgewire.mqtt.properties import Properties

BOTH = (Version.V5, Version.V311)


class Peer:
    """A session and the server it talks to. `now` is the time that the session is told."""

    def __init__(self, config: SessionConfig, version: Version = Version.V5) -> None:
        self.session = Session(config, version)
        self.now = 100.0
        self._decoder = PacketDecoder(version)

    def sent(self) -> list[Packet]:
        """What the session has said since the last call."""
        return list(self._decoder.feed(self.session.data_to_send()))

    def say(self, *packets: Packet) -> list[Event]:
        """The server says this, in one chunk."""
        return self.hear(b"".join(encode(packet, self.session.version) for packet in packets))

    def hear(self, data: bytes) -> list[Event]:
        """The server says these bytes, in one chunk; what follows CONNACK is taken by a second call."""
        begins = self.session.state is SessionState.CONNECTING
        events = self.session.receive(data, self.now)
        return events + self.session.receive(b"", self.now) if begins else events

    def connect(self) -> list[Packet]:
        """A new transport; returns what the session says first."""
        self._decoder = PacketDecoder(self.session.version)
        self.session.connect(self.now)
        return self.sent()

    def accept(self, *, session_present: bool = False, **properties: int | str) -> list[Event]:
        """CONNACK, with these properties in version 5."""
        return self.say(Connack(session_present, 0, Properties(**properties)))

    def open(self, *, session_present: bool = False, **properties: int | str) -> Connected:
        """A new transport up to CONNACK; what is sent again stays to be seen by `sent`."""
        self.connect()
        event = self.accept(session_present=session_present, **properties)[0]
        assert isinstance(event, Connected)
        return event

    def reopen(self, *, session_present: bool, **properties: int | str) -> list[Packet]:
        """The connection is lost and made again; returns what is sent after CONNACK."""
        self.session.connection_lost()
        self.open(session_present=session_present, **properties)
        return self.sent()

    def publish(self, qos: int, payload: bytes = b"x", token: object = None) -> int:
        """One message of the session's owner."""
        return self.session.publish("t", payload, qos=qos, now=self.now, token=token)


def opened(version: Version = Version.V5, *, session_present: bool = False, **config: object) -> Peer:
    """A peer whose session is connected."""
    settings = {"client_id": "c", "clean_start": False, **config}
    peer = Peer(SessionConfig(**settings), version)
    peer.open(session_present=session_present)
    return peer


def messages(events: list[Event]) -> list[Message]:
    return [event for event in events if isinstance(event, Message)]
