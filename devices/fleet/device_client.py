"""What one device has to say, over its connection: readings now or from the outbox, status and answers.

One device on the network: its firmware's decisions carried out over its own MQTT connection."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.fault_state import LinkFaultState
from devices.fleet.session_factory import last_will
from devices.scenario.devices import Device
from edgewire.link import BrokerUrl, Link
from edgewire.messages import Channel
from edgewire.mqtt import (
    FAILURE,
    Acknowledged,
    Connected,
    ConnectionLost,
    Event,
    Message,
    PublishRefused,
    Session,
    SubscribeRefused,
    Subscription,
)

# Bytes that the transport may hold before a device keeps further readings to itself are asyncio's default (64 KiB);
# QoS 0 has no in-flight window, so this is how many readings of the outbox go out in one go.
QOS0_BURST = 64


class Owner(Protocol):
    """What a sender needs of the fleet around it."""

    def device_time_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...

    def acknowledged(self, connection: Any, count: int) -> None: ...

    def redial(self, connection: "DeviceClient", delay_s: float) -> None: ...

    def booted(self, connection: "DeviceClient") -> None: ...

    def command(self, connection: "DeviceClient", payload: bytes) -> None: ...


class Sender:
    """The outgoing half of a device's connection, whoever makes and keeps that."""

    __slots__ = ("device", "event_topic", "firmware", "link", "link_faults", "session", "telemetry_topic")

    _owner: Owner

    def __init__(self, device: Device, firmware: Firmware, session: Session) -> None:
        self.device = device
        self.firmware = firmware
        self.session = session
        self.link: Link | None = None
        self.telemetry_topic = device.topic(Channel.TELEMETRY).encode()
        self.event_topic = device.topic(Channel.EVENT).encode()
        self.link_faults: LinkFaultState | None = None
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
        if not (outbox and self.is_online and self.firmware.is_synced) or (
            self.link_faults and self.link_faults.delay_count
        ):
            return False
        return not self._room(outbox.peek().qos)

    @property
    def acknowledged(self) -> int:
        """How many readings the broker took responsibility for."""
        return sum(account.acknowledged for account in self.firmware.all_counters())

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
        if self.link_faults is not None and self.link_faults.delay_count:
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
        assert self.link_faults is not None
        self.firmware.on_lost_reading(reading.seq)
        return reading._replace(seq=NO_SEQ, payload=self.link_faults.corrupt(reading))

    def _confirm(self, boot: int, count: int) -> None:
        self.firmware.on_acknowledged(boot, count)
        self._owner.acknowledged(self, count)


class DeviceClient(Sender):
    """The link half of a device. It holds no task and no timer: the fleet dials it, paces it and ticks it."""

    __slots__ = ("_awake_since_s", "_is_dialling", "_needs_care", "_owner", "_says_goodnight", "_uniform", "broker",
                 "is_asleep", "is_off", "reconnects")  # fmt: skip

    _owner: Owner

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        session: Session,
        owner: Owner,
        uniform: Callable[[], float],
        broker: BrokerUrl,
    ) -> None:
        super().__init__(device, firmware, session)
        self.broker = broker
        self.reconnects = -1
        self.is_asleep = False
        self.is_off = False
        """During a reset: it neither measures nor connects."""
        # Waiting for its turn to dial, or dialling. A new device stands in that queue from the beginning.
        self._is_dialling = True
        self._owner = owner
        self._uniform = uniform
        build = firmware.build
        self._needs_care = build.firmware.sleep is not None or build.outbox.flush_per_second is not None
        self._awake_since_s = 0.0
        self._says_goodnight = False

    @property
    def is_resting(self) -> bool:
        """Whether it has no connection because it wants none: it sleeps, or is down during a reset."""
        return self.is_asleep or self.is_off

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will leave it without another reading or the end of a reset, which may not come."""
        return self.is_idle or self.is_off or not (self.firmware.is_synced or self.session.inflight)

    # -- what the timeline brings

    def emit(self, reading: Reading) -> None:
        """A reading was taken: publish it now or keep it."""
        if self.link_faults is not None and self.link_faults.corrupts(reading):
            reading = self._corrupted(reading)
        if self.firmware.on_reading(reading, self._room(reading.qos)):
            self._publish(reading)
        elif self.is_asleep and self.firmware.wants_to_wake():
            self.wake()

    # -- the connection

    def begin_connect(self) -> bool:
        """Its turn to dial has come: whether it still wants to."""
        self._is_dialling = not self._is_kept_off()
        return self._is_dialling

    def dial(self, delay_s: float = 0.0) -> None:
        """Ask for a connection, unless one is there or asked for already, or cannot be had."""
        if not (self._is_dialling or self.link is not None or self._is_kept_off()):
            self._is_dialling = True
            self._owner.redial(self, delay_s)

    def dial_again(self) -> None:
        """What kept it from dialling may be over: it comes back as its policy says."""
        if not (self._is_dialling or self.link is not None or self._is_kept_off()):
            self.dial(self.firmware.on_lost(self._uniform()))

    def failed(self) -> None:
        """A dial did not lead to a connection, or one is lost."""
        self._is_dialling = False
        self.dial(self.firmware.on_lost(self._uniform()))

    def on_events(self, link: Link, events: list[Event]) -> None:
        """What happened on the wire."""
        confirmed = 0
        for event in events:
            if type(event) is Acknowledged and type(event.token) is int and event.reason_code < FAILURE:
                # What nearly all events are: told apart before the `match`, which would try its patterns one by one.
                confirmed += event.token != NO_SEQ
                continue
            match event:
                case Acknowledged(_, _, int(seq)):
                    self.firmware.on_refused(seq, self.firmware.boot)
                case Acknowledged(_, code, (int(boot), int(seq))):
                    if code >= FAILURE:
                        self.firmware.on_refused(seq, boot)
                    elif seq != NO_SEQ:
                        self._confirm(boot, 1)
                case Connected():
                    self._connected(link, session_present=event.session_present)
                case Message():
                    self._owner.command(self, event.payload)
                case ConnectionLost():
                    self._lost(link)
                case _:
                    pass
        if confirmed:
            self._confirm(self.firmware.boot, confirmed)
        if self.firmware.outbox:
            self.flush()

    def tick(self) -> None:
        """Some time has passed: keep the connection alive, let more of the outbox go, fall asleep."""
        link = self.link
        if link is None:
            return
        link.tick()
        if self._needs_care and self.is_online:
            self.flush()
            self._drowse()

    def wake(self) -> None:
        """End the sleep."""
        self.is_asleep = False
        self.dial()

    def finish(self) -> None:
        """No more readings follow: hand in what is there, asleep or not."""
        if self.link_faults is not None:
            self.link_faults.end_all()
            self.link_faults = None
            self.dial_again()
        if self.is_asleep and not self.is_idle:
            self.wake()
        self.flush()

    def disconnect_cleanly(self) -> None:
        """Retire in order: the retained status says offline, and the broker is told not to publish the will."""
        if self.link is not None and self.link.connected:
            self.say("offline")
            self.link.close()

    # -- resets

    def power_off(self, *, orderly: bool = False) -> None:
        """The device goes down: its connection dies with it, and the broker publishes the will."""
        self.is_off = True
        self.is_asleep = self._says_goodnight = False
        self.cut(orderly=orderly)

    def power_on(self, boot: int, at_ms: int, reason: str, version: str | None = None) -> None:
        """It starts anew, and connects."""
        self.firmware.on_reset(boot, at_ms, reason, self.unacknowledged(), version)
        self.session.discard_inflight()
        self.session.config = replace(self.session.config, will=last_will(self.device, self.firmware))
        self.is_off = False
        self._owner.booted(self)
        self.dial()

    def synced(self, boot: int) -> None:
        """The first NTP answer since a boot: the device knows the time of all it has measured."""
        if self.firmware.boot == boot and not self.is_off:
            self.firmware.is_synced = True
            self.say("online")
            self.flush()

    # -- inside

    def _is_kept_off(self) -> bool:
        return self.is_off or self.is_asleep or (self.link_faults is not None and self.link_faults.drop_count > 0)

    def _connected(self, link: Link, *, session_present: bool) -> None:
        self.link = link
        self._is_dialling = False
        if self._is_kept_off():
            self.cut()
            return
        is_first = self.reconnects < 0
        # A device that went to sleep has lost nothing.
        self.reconnects += is_first or not self._says_goodnight
        self._awake_since_s = self._owner.monotonic_s()
        self._says_goodnight = False
        self.firmware.on_connected()
        # At first always: a session of an earlier process may be one without a subscription.
        if self.firmware.build.firmware.commands and not (session_present and not is_first):
            self._subscribe(link)
        self.say("online")

    def _subscribe(self, link: Link) -> None:
        # A broker that takes no subscriptions leaves the device without commands.
        with suppress(SubscribeRefused):
            link.subscribe([Subscription(self.device.topic(Channel.CMD), qos=1)])

    def _drowse(self) -> None:
        """Go to sleep where all is said: first the status says so, then, once that is acknowledged, the device goes."""
        sleep = self.firmware.build.firmware.sleep
        if sleep is None or not self.is_idle or self.link is None:
            return
        if self._says_goodnight:
            self.is_asleep = True
            self.link.close()
        elif (self._owner.monotonic_s() - self._awake_since_s) * 1000 >= sleep.awake:
            self._says_goodnight = True
            self.say("sleeping")

    def cut(self, *, orderly: bool = False) -> None:
        """End the connection without a goodbye: by a reset of TCP, or where `orderly` as the operating system would."""
        if self.link is not None:
            if orderly:
                self.link.drop()
            else:
                self.link.abort()

    def _lost(self, link: Link) -> None:
        if self.link is link:
            self.link = None
            # It may have said so and lost the connection before it slept.
            self._says_goodnight = self.is_asleep
            self.failed()
