"""What one device has to say, over its connection: readings now or from the outbox, status and answers."""

from typing import Any, Protocol

from devices.device import Device
from devices.firmware.device import Firmware
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.trouble import Trouble
from edgewire.link import Link
from edgewire.messages import Channel
from edgewire.mqtt import PublishRefused, Session

# Bytes that the transport may hold before a device keeps further readings to itself are asyncio's default (64 KiB);
# QoS 0 has no in-flight window, so this is how many readings of the outbox go out in one go.
QOS0_BURST = 64


class Owner(Protocol):
    """What a sender needs of the fleet around it."""

    def device_time_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...

    def acknowledged(self, connection: Any, count: int) -> None: ...


class Sender:
    """The outgoing half of a device's connection, whoever makes and keeps that."""

    __slots__ = ("device", "event_topic", "firmware", "link", "session", "telemetry_topic", "trouble")

    _owner: Owner

    def __init__(self, device: Device, firmware: Firmware, session: Session) -> None:
        self.device = device
        self.firmware = firmware
        self.session = session
        self.link: Link | None = None
        self.telemetry_topic = device.topic(Channel.TELEMETRY).encode()
        self.event_topic = device.topic(Channel.EVENT).encode()
        self.trouble: Trouble | None = None
        """What is wrong with its link at the moment."""

    @property
    def is_online(self) -> bool:
        """Whether the broker has accepted the connection and it still stands."""
        return self.link is not None and self.link.connected

    @property
    def is_gone(self) -> bool:
        """Whether its connection, if it had one, is closed."""
        return self.link is None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be sent or acknowledged."""
        return not self.firmware.outbox and not self.session.inflight

    @property
    def is_stalled(self) -> bool:
        """Whether readings wait though it is connected, and only the broker's window holds them back."""
        outbox = self.firmware.outbox
        if not (outbox and self.is_online and self.firmware.is_synced) or (self.trouble and self.trouble.holds):
            return False
        return not self._room(outbox.peek().qos)

    @property
    def acknowledged(self) -> int:
        """How many readings the broker took responsibility for."""
        return sum(account.acknowledged for account in self.firmware.accounts())

    def lose(self, seq: int) -> None:
        """A reading was taken, and a fault keeps it from being sent."""
        self.firmware.on_lost_reading(seq)

    def flush(self, link: Link | None = None) -> None:
        """Publish what waits in the outbox, as far as the connection takes it. Also called when it drains."""
        outbox = self.firmware.outbox
        while outbox and (room := self._room(outbox.peek().qos)):
            readings = self.firmware.on_room(room, self._owner.monotonic_s())
            if not readings:
                return
            for reading in readings:
                self._publish(reading)

    def unacknowledged(self) -> list[object]:
        """Tokens of what was published and never acknowledged: it may have arrived or not."""
        return self.session.unacknowledged()

    def say(self, state: str) -> None:
        """Publish the retained status, where there is a connection."""
        self.publish_control(Channel.STATUS, self.firmware.status(state, self._owner.device_time_ms()), retain=True)

    def publish_control(self, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        """Publish on `status` or `result`, where there is a connection."""
        if self.link is not None and self.link.connected:
            # With the window full of readings that a resumed session sends again, it goes out at QoS 0.
            qos = 1 if self.session.window_free else 0
            self.link.publish(self.device.topic(channel), payload, qos=qos, retain=retain)

    def _room(self, qos: int) -> int:
        link = self.link
        if link is None or not link.connected or not link.writable or not self.firmware.is_synced:
            return 0
        if self.trouble is not None and self.trouble.holds:
            return 0
        return self.session.window_free if qos else QOS0_BURST

    def _publish(self, reading: Reading) -> None:
        assert self.link is not None  # _room() said so
        seq, boot = reading.seq, reading.boot
        token = seq if boot == self.firmware.boot else (boot, seq)
        try:
            self.link.publish(reading.topic, reading.payload, qos=reading.qos, token=token)
        except PublishRefused:
            self.firmware.on_refused(seq, boot)
            return
        if not reading.qos and seq != NO_SEQ:
            self._confirm(boot, 1)

    def _corrupted(self, reading: Reading) -> Reading:
        """What leaves instead of a reading; the reading itself is lost with it."""
        assert self.trouble is not None
        self.firmware.on_lost_reading(reading.seq)
        return reading._replace(seq=NO_SEQ, payload=self.trouble.corrupt(reading))

    def _confirm(self, boot: int, count: int) -> None:
        self.firmware.on_acknowledged(boot, count)
        self._owner.acknowledged(self, count)
