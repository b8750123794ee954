"""Keeps a device's subscription to its commands, and lets only those pass that it should carry out."""

from enum import Enum, auto

from devices.firmware.firmware import Firmware
from devices.fleet.device_link import DeviceLink
from devices.fleet.incidents import IncidentRecorder
from devices.scenario.devices import Device
from devices.timeline.wire_format import WireFormat
from edgewire.mqtt import FAILURE, Message, Session, SubscribeRefused, Subscription, coded_reason, filter_matches
from edgewire.mqtt.advice import advice

SUBACK_S = 10.0
"""So long without SUBACK, and the device is taken for one that hears no commands."""


class CommandSubscription(Enum):
    """Names how far a device is with the subscription to its commands."""

    NONE = auto()
    ASKED = auto()
    GRANTED = auto()
    REFUSED = auto()


_ASKED = CommandSubscription.ASKED  # an attribute of an Enum class costs several times a global


class CommandInbox:
    """Subscribes one device to its commands, and judges what arrives: brokers hand over what nobody has asked for."""

    __slots__ = ("_asked_s", "_device", "_firmware", "_incidents", "_session", "_wire_format", "state")

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        session: Session,
        wire_format: WireFormat,
        incidents: IncidentRecorder,
    ) -> None:
        self._device = device
        self._firmware = firmware
        self._session = session
        self._wire_format = wire_format
        self._incidents = incidents
        self._asked_s = 0.0
        self.state = CommandSubscription.NONE
        """How far the subscription is."""

    @property
    def awaits_suback(self) -> bool:
        """Return whether the broker has not answered the subscription yet."""
        return self.state is _ASKED

    def forget_subscription(self) -> None:
        """Know nothing of what the session of the next connection is subscribed to: another client has had it."""
        self.state = CommandSubscription.NONE

    def on_accepted(self, link: DeviceLink, now_s: float, *, session_present: bool) -> None:
        """Subscribe on a new connection, unless its session is known to have the subscription."""
        # At first always: a session of an earlier process may be one without it.
        granted = session_present and self.state is CommandSubscription.GRANTED
        if granted or not self._firmware.build.firmware.commands:
            return
        qos = min(1, self._session.limits.maximum_qos)
        topics = self._wire_format.command_topics(self._device)
        if not topics:
            # A device of the user's own format takes no commands.
            return
        self.state, self._asked_s = CommandSubscription.ASKED, now_s
        try:
            link.subscribe([Subscription(topic, qos) for topic in topics])
        except SubscribeRefused as error:
            self._on_deaf(str(error))

    def on_subscribed(self, codes: tuple[int, ...]) -> None:
        """Take SUBACK."""
        refusal = next((code for code in codes if code >= FAILURE), 0)
        if refusal:
            self._on_deaf(coded_reason(refusal), advice("SUBACK", refusal))
        else:
            self.state = CommandSubscription.GRANTED

    def expect_suback(self, now_s: float) -> None:
        """Find that the broker does not answer the subscription, where it has had the time for it."""
        if self.state is _ASKED and now_s - self._asked_s > SUBACK_S:
            self._on_deaf(f"no SUBACK within {SUBACK_S:g} s")

    def accepts_command(self, message: Message, now_s: float) -> bool:
        """Return whether a message is a command to be carried out now; what is not is counted, with its reason."""
        topics = self._wire_format.command_topics(self._device)
        if not any(filter_matches(topic, message.topic) for topic in topics):
            self._incidents.record_ignored("message on a topic that the device has not asked for")
        elif message.retain:
            # It was meant for whoever was there when it was sent; every run would carry it out again. On a
            # topic that is not the device's alone something may well be retained.
            if message.topic not in self._wire_format.shared_topics:
                self._incidents.record_ignored("retained command")
        elif not self._firmware.allows_command(now_s):
            self._incidents.record_ignored("command in a flood of them")
        else:
            return True
        return False

    def _on_deaf(self, reason: str, fix: str = "") -> None:
        """Tell that the broker leaves the device without commands; it is asked again on the next connection."""
        self.state = CommandSubscription.REFUSED
        self._incidents.record_subscribe_refused(self._device.device_id, reason, fix)
