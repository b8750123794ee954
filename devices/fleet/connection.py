"""One device on the network: its firmware's decisions carried out over its own MQTT connection."""

from collections.abc import Callable
from typing import Protocol

from devices.firmware.device import Firmware
from devices.firmware.outbox import Reading
from devices.timeline import Device
from edgewire.link import BrokerUrl, Link
from edgewire.messages import Channel
from edgewire.mqtt import (
    FAILURE,
    Acknowledged,
    Connected,
    ConnectionLost,
    Event,
    PublishRefused,
    Session,
    SessionConfig,
    Will,
)

# Bytes that the transport may hold before a device keeps further readings to itself are asyncio's default (64 KiB);
# QoS 0 has no in-flight window, so this is how many readings of the outbox go out in one go.
QOS0_BURST = 64


class Owner(Protocol):
    """What a connection needs of the fleet around it."""

    def device_time_ms(self) -> int: ...

    def redial(self, connection: "DeviceConnection", delay_s: float) -> None: ...

    def acknowledged(self, connection: "DeviceConnection", count: int) -> None: ...


class DeviceConnection:
    """The link half of a device. It holds no task of its own: the fleet dials it and paces it."""

    __slots__ = ("_owner", "_uniform", "acknowledged", "broker", "device", "event_topic", "firmware", "link",
                 "reconnects", "session", "telemetry_topic")  # fmt: skip

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        session: Session,
        owner: Owner,
        uniform: Callable[[], float],
        broker: BrokerUrl,
    ) -> None:
        self.device = device
        self.broker = broker
        self.firmware = firmware
        self.session = session
        self.link: Link | None = None
        self.telemetry_topic = device.topic(Channel.TELEMETRY).encode()
        self.event_topic = device.topic(Channel.EVENT).encode()
        self.acknowledged = 0
        self.reconnects = -1
        self._owner = owner
        self._uniform = uniform

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

    def emit(self, reading: Reading) -> None:
        """A reading was taken: publish it now or keep it."""
        if self.firmware.on_reading(reading, self._room(reading.qos)):
            self._publish(reading)

    def lose(self, seq: int) -> None:
        """A reading was taken, and a fault keeps it from being sent."""
        self.firmware.on_lost_reading(seq)

    def on_events(self, link: Link, events: list[Event]) -> None:
        """What happened on the wire."""
        confirmed = 0
        for event in events:
            match event:
                case Acknowledged(_, code, int(seq)):
                    if code < FAILURE:
                        confirmed += 1
                    else:
                        self.firmware.on_refused(seq)
                case Connected():
                    self.link = link
                    self.reconnects += 1
                    self.firmware.on_connected()
                    self._say("online")
                case ConnectionLost():
                    self._lost()
                case _:
                    pass
        if confirmed:
            self._confirm(confirmed)
        if self.firmware.outbox:
            self.flush()

    def failed(self) -> None:
        """A dial did not lead to a connection."""
        self._owner.redial(self, self.firmware.on_lost(self._uniform()))

    def flush(self, link: Link | None = None) -> None:
        """Publish what waits in the outbox, as far as the connection takes it. Also called when it drains."""
        outbox = self.firmware.outbox
        while outbox and (room := self._room(outbox.peek().qos)):
            for reading in self.firmware.on_room(room):
                self._publish(reading)

    def unacknowledged(self) -> list[int]:
        """Seqs that were published and never acknowledged: they may have arrived or not."""
        return sorted(token for token in self.session.unacknowledged() if isinstance(token, int))

    def say_goodbye(self) -> None:
        """Retire in order: the retained status says offline, and the broker is told not to publish the will."""
        if self.link is not None and self.link.connected:
            self._say("offline")
            self.link.close()

    def _room(self, qos: int) -> int:
        link = self.link
        if link is None or not link.connected or not link.writable:
            return 0
        return self.session.window_free if qos else QOS0_BURST

    def _publish(self, reading: Reading) -> None:
        assert self.link is not None  # _room() said so
        try:
            self.link.publish(reading.topic, reading.payload, qos=reading.qos, token=reading.seq)
        except PublishRefused:
            self.firmware.on_refused(reading.seq)
            return
        if not reading.qos:
            self._confirm(1)

    def _confirm(self, count: int) -> None:
        self.acknowledged += count
        self._owner.acknowledged(self, count)

    def _say(self, state: str) -> None:
        assert self.link is not None
        payload = self.firmware.status(state, self._owner.device_time_ms())
        topic = self.device.topic(Channel.STATUS)
        # With the window full of readings that a resumed session sends again, the status goes out at QoS 0.
        self.link.publish(topic, payload, qos=1 if self.session.window_free else 0, retain=True)

    def _lost(self) -> None:
        if self.link is not None:
            self.link = None
            self.failed()


def session_config(device: Device, firmware: Firmware, *, keep_alive_s: int, session_expiry_s: int,
                   username: str | None, password: str | None) -> SessionConfig:  # fmt: skip
    """How this device introduces itself to the broker."""
    # Copied: what orjson returns holds on to 4 KiB of memory, however short it is.
    last_words = bytes(bytearray(firmware.status("offline", None)))
    return SessionConfig(
        client_id=device.device_id,
        clean_start=False,
        keep_alive_s=keep_alive_s,
        session_expiry_s=session_expiry_s,
        # Devices publish and take the odd command: a small window and packet size keep tens of thousands cheap.
        receive_maximum=8,
        maximum_packet_size=64 * 1024,
        username=username,
        password=None if password is None else password.encode(),
        will=Will(topic=device.topic(Channel.STATUS), payload=last_words, qos=1, retain=True),
    )
