"""The settings of a session: what a client asks of a server at CONNECT."""

from dataclasses import dataclass, field

from edgewire.errors import ConfigError
from edgewire.mqtt.codec import write_text
from edgewire.mqtt.errors import Unsendable
from edgewire.mqtt.filters import encode_topic
from edgewire.mqtt.packets import Connect, Version, Will
from edgewire.mqtt.properties import Properties


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """Holds the settings of a session. Raises `ConfigError`, naming the field, for a value that MQTT cannot carry.

    An empty `client_id` lets the server choose one.
    """

    client_id: str
    clean_start: bool = True
    """True ends what the server kept of an earlier connection; in 3.1.1 it is also forgotten after this one."""
    keep_alive_s: int = 60
    """0 switches pings off, and with them the detection of a dead connection."""
    session_expiry_s: int = 0
    """How long the server keeps the session after the connection; in 3.1.1 for ever unless `clean_start`."""
    receive_maximum: int = 65535
    """How many messages of QoS 1 and 2 the server may send us without an acknowledgement. 3.1.1 cannot say it.

    A wish, not a bound: see `inbound_qos`."""
    maximum_packet_size: int = 1 << 20
    """The largest packet we take, in bytes. 3.1.1 cannot announce it: a larger one ends the connection."""
    topic_alias_maximum: int = 0
    """How many topic aliases the server may use towards us."""
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    will: Will | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    manual_ack: bool = False
    """True: a message of QoS 1 or 2 is acknowledged when its owner calls `Session.ack`."""
    response_timeout_s: float = 20.0
    """How long CONNACK and PINGRESP may take before the connection counts as dead."""

    def __post_init__(self) -> None:
        ranges = {
            "keep_alive_s": (0, 65535),
            "session_expiry_s": (0, 2**32 - 1),
            "receive_maximum": (1, 65535),
            "maximum_packet_size": (16, 2**32 - 1),
            "topic_alias_maximum": (0, 65535),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} of client '{self.client_id}' is {value}: it must be {low} to {high}")
        try:
            self._check_texts()
            if self.will:
                check_will(self.will)
        except Unsendable as error:
            raise ConfigError(f"client '{self.client_id}': {error}") from None

    def _check_texts(self) -> None:
        for text in (self.client_id, self.username or "", *(text for pair in self.user_properties for text in pair)):
            write_text(text)
        if len(self.password or b"") > 65535:
            raise Unsendable("the password is longer than 65535 bytes")

    def connect_packet(self, version: Version, client_id: str, will: Will | None = None) -> Connect:
        """Return the CONNECT packet, with this `will` or its own. What 3.1.1 cannot say is left out there."""
        return Connect(
            client_id=client_id,
            clean_start=self.clean_start,
            keep_alive_s=self.keep_alive_s,
            will=will or self.will,
            username=self.username,
            password=self.password,
            properties=self._properties() if version is Version.V5 else {},
        )

    def _properties(self) -> Properties:
        properties: Properties = {"maximum_packet_size": self.maximum_packet_size}
        if self.session_expiry_s:
            properties["session_expiry_interval"] = self.session_expiry_s
        if self.receive_maximum != 65535:
            properties["receive_maximum"] = self.receive_maximum
        if self.topic_alias_maximum:
            properties["topic_alias_maximum"] = self.topic_alias_maximum
        if self.user_properties:
            properties["user_property"] = self.user_properties
        return properties


def check_will(will: Will) -> None:
    """Raise `Unsendable` for a will that MQTT cannot carry."""
    encode_topic(will.topic)
    if will.qos not in (0, 1, 2) or len(will.payload) > 65535:
        raise Unsendable("the will needs QoS 0, 1 or 2 and a payload of 65535 bytes at most")
    if not 0 <= will.delay_s < 2**32:
        raise Unsendable(f"the will cannot be delayed by {will.delay_s} s")
