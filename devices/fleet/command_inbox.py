"""Keeps a device's subscription to its commands, and lets only those pass that it should carry out."""

from enum import Enum, auto

from devices.firmware.firmware import Firmware
from devices.fleet.incidents import IncidentRecorder
from devices.scenario.devices import Device
from devices.timeline.wire_format import WireFormat
from edgewire.link import Link
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


class CommandInbox:
    """Subscribes one device to its commands, and judges what arrives: brokers hand over what nobody has asked for.

    It is made when there is something to do, which is seldom: kept, it would take 96 bytes of each device.
    """

    __slots__ = ("_device", "_firmware", "_incidents", "_session", "_wire_format")

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

    def on_accepted(self, link: Link, state: CommandSubscription, *, session_present: bool) -> CommandSubscription:
        """Subscribe on a new connection, unless its session is known to have the subscription; return the new state."""
        # At first always: a session of an earlier process may be one without it.
        granted = session_present and state is CommandSubscription.GRANTED
        if granted or not self._firmware.build.firmware.commands:
            return state
        qos = min(1, self._session.limits.maximum_qos)
        topics = self._wire_format.command_topics(self._device)
        if not topics:
            # A device of the user's own format takes no commands.
            return state
        try:
            link.subscribe([Subscription(topic, qos) for topic in topics])
        except SubscribeRefused as error:
            return self._report_deaf(str(error))
        return CommandSubscription.ASKED

    def on_subscribed(self, codes: tuple[int, ...]) -> CommandSubscription:
        """Take SUBACK; return the new state."""
        refusal = next((code for code in codes if code >= FAILURE), 0)
        if refusal:
            return self._report_deaf(coded_reason(refusal), advice("SUBACK", refusal))
        return CommandSubscription.GRANTED

    def on_unanswered(self) -> CommandSubscription:
        """Report that the broker does not answer the subscription within `SUBACK_S`; return the new state."""
        return self._report_deaf(f"no SUBACK within {SUBACK_S:g} s")

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

    def _report_deaf(self, reason: str, fix: str = "") -> CommandSubscription:
        """Tell that the broker leaves the device without commands; it is asked again on the next connection."""
        self._incidents.record_subscribe_refused(self._device.device_id, reason, fix)
        return CommandSubscription.REFUSED
