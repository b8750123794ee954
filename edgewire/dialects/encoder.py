"""Says what a device of a dialect publishes, and what an encoder is: the inverse of `base.DialectDecoder`.

Topics and payloads are templates in the notation of `own_format`, so that whoever has a million readings to write can
write them column by column. A name in braces stands for what is peculiar to the device: `{id}`, `{site}`, `{kind}`,
`{mac}`, and the columns of a file of identities.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from edgewire.dialects.base import DialectError, MessageRole
from edgewire.dialects.values import number
from edgewire.messages.control import CommandAction

DeviceNames = Mapping[str, str]
"""What stands for the names in braces, of one device."""


class Publication(NamedTuple):
    """A message that a device publishes beside its readings, or the broker for it."""

    topic: str
    payload: bytes
    retain: bool
    qos: int = 1


class DividedPayload(NamedTuple):
    """Holds a message of which a part is in properties of MQTT 5."""

    payload: bytes
    properties: Mapping[str, Any]
    """As MQTT calls them: `content_type`, `user_property`."""


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """Describes a message that a device publishes at every reading, or with every event."""

    topic: str
    """With names in braces."""
    payload: Any
    """In the notation of `own_format`: names of fields stand for their values."""
    role: MessageRole = MessageRole.READING
    """Readings and events are numbered and accounted for; a state that goes with them is not."""
    retain: bool = False
    pad_to: int = 0
    """Bytes; a shorter payload has so many spaces at its end that it is as long."""
    batch: int = 0
    """Readings that it says at once, in the lists of its payload; 0 where it says one, and has none."""
    needs: tuple[str, ...] = ()
    """Fields without a value of which there is no message: a phone without a position says nothing."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Of MQTT 5: `content_type`, `message_expiry_s`, `user`, whose values may have names in braces."""
    rewrite: Callable[[bytes], bytes] | None = None
    """Makes what is sent of the payload as JSON, for dialects that are written otherwise; no batch goes with it."""
    divide: Callable[[bytes], DividedPayload | None] | None = None
    """Makes what is sent on a connection of MQTT 5 of that; None for a payload that is sent as it is."""


class DialectCommand(NamedTuple):
    """Holds what a message on a command topic asks for, in words of `edgewire.messages.control`."""

    action: CommandAction | Literal[""]
    """An action of the message contract; empty where the device answers without doing anything."""
    arguments: Mapping[str, Any]
    """Of the action."""
    name: str
    """The command as the dialect calls it; empty for one that it does not know."""
    argument: str = ""
    """What the dialect itself needs for the answer."""
    wants_reading: bool = False
    """Whether the answer holds the last reading."""


class CommandOutcome(NamedTuple):
    """Holds what came of a command."""

    error: str | None
    """Why it was not carried out; None where it was."""
    data: Mapping[str, Any]
    status: Mapping[str, Any]
    """Fields of `edgewire.messages.Status`."""
    interval_s: float
    """Between two readings, as the command has left it; 0 where they are stopped."""
    readings: Sequence[Publication]
    """The messages of the last reading, where the command wants it."""


class DialectEncoder(Protocol):
    """Writes the messages of devices of one kind in one dialect. Stateless: one object serves all of them."""

    @property
    def messages(self) -> Sequence[MessageTemplate]:
        """Return what is published at every reading, in this order."""
        ...

    @property
    def events(self) -> Sequence[MessageTemplate]:
        """Return what is published with every event; empty where the dialect says nothing of events."""
        ...

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterable[Publication]:
        """Return what tells a state; `online` is the birth, with what introduces the device.

        `status` has the fields of `edgewire.messages.Status`, and `interval_s`, which is what the scenario has;
        `is_first` says whether it is the first of a boot.
        """
        ...

    def will(self, names: DeviceNames) -> Publication | None:
        """Return what the broker publishes when the device goes without a goodbye."""
        ...

    def command_topics(self, names: DeviceNames) -> Sequence[str]:
        """Return the topic filters of its commands."""
        ...

    def answer_filters(self, names: DeviceNames) -> Sequence[str]:
        """Return topic filters of what it publishes beside readings, events, its state and its will: of its answers."""
        ...

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what a message asks for; None where the device does not heed it. Raises nothing."""
        ...

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterable[Publication]:
        """Return what the device publishes when a command is done, or refused."""
        ...


class HeardCommands(NamedTuple):
    """Holds what is to be done about a message that came to whoever has a session of a dialect."""

    commands: Sequence[bytes] = ()
    """Payloads of one command each, as `DialectEncoder.read_command` reads them."""
    ignored: Sequence[str] = ()
    """Why something in it is not heeded: a few sentences that there are, by which it is counted."""
    begins: bool = False
    """Whether it may speak as of now, and introduces itself."""
    introduces: bool = False
    """Whether it is to introduce itself again, with all devices behind it."""
    leaves: bool = False
    """Whether it is to end its connection, and try the next broker."""
    is_missed: bool = False
    """Whether it has to wait on, and may do that at another broker where there is one."""


class DialectSession(Protocol):
    """Is what a dialect remembers from message to message of whoever has a connection: a device or a gateway.

    Of a dialect that has such, the broker keeps no session from one connection to the next, and nothing is retained.
    """

    @property
    def heard_topics(self) -> Sequence[str]:
        """Return topics that are for the session itself, on which something may be retained."""
        ...

    @property
    def may_speak(self) -> bool:
        """Return whether something may be published on the connection as it is now."""
        ...

    def begin_connect(self, connects: int, broker: str) -> None:
        """Begin anew, for the connection after `connects` others."""
        ...

    def write_will(self) -> bytes:
        """Return the payload of the will for this connection."""
        ...

    def hear_state(self, topic: str, payload: bytes) -> HeardCommands:
        """Return what is to be done about a message on one of the `heard_topics`. Raises nothing."""
        ...

    def hear_command(self, topic: str, payload: bytes) -> HeardCommands:
        """Return what is to be done about a message on a command topic. Raises nothing."""
        ...

    def write(self, topic: str, payload: bytes, now_ms: int, *, is_past: bool, is_damaged: bool) -> bytes:
        """Return a payload as it goes out now.

        `is_past` says that it has waited, and that there is a newer one of the device; `is_damaged` that a fault has
        made it into something that nobody can read.
        """
        ...

    def on_sent(self) -> None:
        """Take note that what `write` has returned last was sent."""
        ...

    def write_goodbye(self) -> Publication | None:
        """Return what is said last before a connection is ended on purpose; None where nothing was said on it."""
        ...


@runtime_checkable
class LoginEncoder(Protocol):
    """Is a `DialectEncoder` whose messages may not say who speaks, as the server knows it by its login."""

    @property
    def is_known_by_login(self) -> bool:
        """Return whether neither topics nor payloads name the device."""
        ...


@runtime_checkable
class AddressingEncoder(Protocol):
    """Is a `DialectEncoder` whose devices behind a gateway hear their commands on one topic."""

    def addressed_device(self, payload: bytes) -> str | None:
        """Return the name of the device that a message is for; None where it names none. Raises nothing."""
        ...


@runtime_checkable
class SessionEncoder(Protocol):
    """Is a `DialectEncoder` of a dialect whose messages depend on those before them."""

    @property
    def shared_topics(self) -> Sequence[str]:
        """Return the `heard_topics` of all sessions, which are none of a device's alone."""
        ...

    def open_session(self, names: DeviceNames) -> DialectSession:
        """Return a session of whoever has a connection: of a device, or of a gateway where this is of devices behind
        one."""
        ...


class GatewayRequest(NamedTuple):
    """Holds what came on a topic of a gateway itself, and what is to be done about it."""

    answers: Sequence[Publication] = ()
    renamed: tuple[str, str] | None = None
    """Id of a device, and the name that it has from now on."""
    is_restart: bool = False
    """Whether the gateway goes and comes back."""


@runtime_checkable
class GatewayEncoder(Protocol):
    """Is a `DialectEncoder` whose devices speak over the connection of a gateway, which says something itself.

    `gateway` has the names `gateway`, `site` and `mac`; `devices` are the names of those behind it.
    """

    @property
    def base_topic(self) -> str:
        """Return what is before all of a gateway's topics, with names in braces."""
        ...

    def gateway_state(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], status: Mapping[str, Any]
    ) -> Iterable[Publication]:
        """Return what a gateway says of itself; `online` is its birth."""
        ...

    def gateway_will(self, gateway: DeviceNames) -> Publication:
        """Return what the broker publishes when the gateway goes without a goodbye."""
        ...

    def gateway_filters(self, gateway: DeviceNames) -> Sequence[str]:
        """Return the topic filters of requests to it, and of commands to its devices."""
        ...

    def gateway_answer_filters(self, gateway: DeviceNames) -> Sequence[str]:
        """Return topic filters of what it publishes beside its state and its will, for itself and for its devices."""
        ...

    def read_request(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], topic: str, payload: bytes
    ) -> GatewayRequest | None:
        """Return what comes of a message that is for the gateway itself; None where it is not. Raises nothing."""
        ...

    def told_names(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], topic: str, payload: bytes
    ) -> Mapping[str, str]:
        """Return by which names a retained message of the gateway calls its devices, by their ids. Raises nothing."""
        ...


def seconds_argument(said: object) -> str:
    """Return a number of seconds as the message contract has intervals; what is none is left to be refused."""
    try:
        seconds = number(said)
    except DialectError:
        seconds = None
    return str(said)[:40] if seconds is None or abs(seconds) > 1e9 else f"{round(seconds * 1000)}ms"


def home_address(names: DeviceNames) -> str:
    """Return an IP address of a home network that follows from the hardware's."""
    tail = int(names["mac"][-4:], 16)
    return f"192.168.{tail >> 8}.{tail % 254 + 1}"
