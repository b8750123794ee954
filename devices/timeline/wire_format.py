"""The seam between what devices have to say and how it is written on the wire: topics and payloads of a device.

Nothing outside a format knows the names in a topic or the keys of a payload. There are `native_format.NativeFormat`
and, for what other makers' devices say, `dialect_format.DialectFormat`; `Timeline.wire_format` chooses.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, cast

from devices.firmware.batches import BatchRule
from devices.scenario.devices import Device
from devices.timeline.table import Table
from devices.world.random import Flags, Ints
from edgewire.dialects.encoder import DialectSession, DividedPayload, Publication
from edgewire.dialects.encodings import Encoding
from edgewire.messages import Channel
from edgewire.messages.control import CommandAction
from edgewire.mqtt import Message, Properties, Version


class MessagePart(NamedTuple):
    """Names one of the messages that are made of a row of a table."""

    address: int
    """Position in `WireFormat.topics` and `WireFormat.options`."""
    is_numbered: bool
    """Whether it has a number and is accounted for, as readings and events are."""


class PublishOptions(NamedTuple):
    """Says how the messages of one address are published."""

    retain: bool = False
    properties: Mapping[str, Any] = {}
    """As in `edgewire.dialects.encoder.MessageTemplate`."""
    batch: BatchRule | None = None
    """How many readings a message says at once; its payloads are made of one each, and joined by `join_readings`."""
    divide: Callable[[bytes], DividedPayload | None] | None = None
    """As in `edgewire.dialects.encoder.MessageTemplate`."""
    encoding: Encoding | None = None
    """In which its payloads are sent, which are JSON until then; None where they are sent as they are."""


def divide_payload(
    options: PublishOptions, payload: bytes, properties: Properties | None, version: Version
) -> tuple[bytes, Properties | None]:
    """Return payload and properties of a message as they are sent on a connection of this version of MQTT."""
    if options.encoding is not None:
        return _encoded(options.encoding, payload, properties, version)
    if options.divide is None or version is not Version.V5 or (found := options.divide(payload)) is None:
        return payload, properties
    return found.payload, cast("Properties", {**(properties or {}), **found.properties})


def _encoded(
    encoding: Encoding, payload: bytes, properties: Properties | None, version: Version
) -> tuple[bytes, Properties | None]:
    if version is Version.V5:
        properties = {"content_type": encoding.content_type, **(properties or {})}
    try:
        return encoding.from_json(payload), properties
    except ValueError:
        # A fault has damaged it on its way: no reader of this encoding takes what it left.
        return payload, properties


class CommandRequest(NamedTuple):
    """Holds what came on a command topic, as far as a format can tell."""

    payload: bytes | None = None
    """A command of the message contract, not looked into; None where `action` says what is asked for."""
    action: CommandAction | Literal[""] = ""
    """Empty: nothing is to be done, only answered."""
    arguments: Mapping[str, Any] = {}
    wants_reading: bool = False
    spoken: object = None
    """What the format itself needs for the answer."""


class CommandAnswer(NamedTuple):
    """Holds what came of a command."""

    result: Mapping[str, Any]
    """Fields of `edgewire.messages.Result`."""
    status: Mapping[str, Any]
    """Fields of `edgewire.messages.Status`."""
    interval_s: float = 0.0
    """Between two readings, as the command has left it; 0 where they are stopped."""
    readings: Sequence[Publication] = ()
    """The messages of a reading that was taken for it."""


class HeardMessage(NamedTuple):
    """Says what a message on a device's topics tells of whoever has published it."""

    is_online: bool | None = None
    """Whether that one says that it is there, or goes; None where it says nothing of it, as with a reading."""
    is_hardware: bool | None = None
    """Whether it is a real sensor; None where it does not say."""
    boot: object = None
    """As it stands there, whatever it is."""


class WireFormat(Protocol):
    """Writes what the devices of a group say. Stateless: one object serves all devices of a group."""

    @property
    def options(self) -> Sequence[PublishOptions] | None:
        """Return how the messages of each address are published; None where all are plain."""
        ...

    @property
    def leaves_out(self) -> bool:
        """Return whether some readings or events may have no message."""
        ...

    @property
    def has_sessions(self) -> bool:
        """Return whether what a message is depends on those before it on a connection; then nothing is retained."""
        ...

    @property
    def shared_topics(self) -> Sequence[str]:
        """Return those of the command topics that are not the device's alone."""
        ...

    def parts(self, channel: Channel) -> Sequence[MessagePart]:
        """Return the messages that are made of each row of a table of this channel."""
        ...

    def said_fields(self, channel: Channel) -> Sequence[Collection[str]] | None:
        """Return the fields that each of these messages says, or says what follows from; None where all say all."""
        ...

    def topics(self, device: Device) -> Sequence[str]:
        """Return the topics of a device's messages, by their addresses."""
        ...

    def command_topics(self, device: Device) -> Sequence[str]:
        """Return the topic filters that a device subscribes to for its commands."""
        ...

    def encode(self, table: Table, devices: Sequence[Device], timestamps_ms: Ints, boot: int) -> list[bytes]:
        """Return the payloads of the rows of a table, which are all of one boot: of each row those of its parts.

        `timestamps_ms` are what the devices' clocks show, which is `table.times` unless a fault sets them wrong.
        """
        ...

    def properties_of(self, device: Device, options: PublishOptions) -> Properties | None:
        """Return the MQTT 5 properties of a device's message."""
        ...

    def is_said(self, table: Table) -> Flags | None:
        """Return whether there is a message, of each row of a table and in it of each part; None where always."""
        ...

    def status(self, device: Device, status: Mapping[str, Any], *, is_first: bool = True) -> Sequence[Publication]:
        """Return what tells a device's state; `status` has the fields of `edgewire.messages.Status`.

        `is_first` says whether it is the first of a boot.
        """
        ...

    def repeated_status(self, device: Device, status: Mapping[str, Any]) -> Sequence[Publication]:
        """Return what a device that stays connected says of its state every now and then; nothing where readings do."""
        ...

    def open_session(self, device: Device) -> DialectSession | None:
        """Return what the connection of a device needs for what it says; None where each message stands for itself."""
        ...

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication | None:
        """Return the message that the broker publishes when the device goes without a goodbye."""
        ...

    def read_heard(self, device: Device, topic: str, payload: bytes) -> HeardMessage:
        """Return what a message tells that somebody has published on a topic of the device's. Raises nothing."""
        ...

    def read_command(self, device: Device, message: Message) -> CommandRequest | None:
        """Return what a message on a command topic asks for; None where the device does not heed it."""
        ...

    def result_topic(self, device: Device) -> str:
        """Return the topic of results of the message contract; empty where the format has none."""
        ...

    def answer_filters(self, device: Device) -> Sequence[str]:
        """Return topic filters of what a device publishes beside readings, events, its state and its will."""
        ...

    def answer(self, device: Device, request: CommandRequest, answer: CommandAnswer) -> Sequence[Publication]:
        """Return what a device publishes when a command is done, or refused."""
        ...
