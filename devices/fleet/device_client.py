"""Carries out the decisions of one device's firmware over its own MQTT connection.

A client holds no task and no timer: the fleet connects it, paces it and ticks it. `client_state` says what may follow
what; nothing but connecting, sleeping and resetting changes the state, so that a message costs nothing for it.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.client_state import ClientState, ClientTrigger, next_client_state
from devices.fleet.fault_state import LinkFaultState
from devices.fleet.incidents import IncidentRecorder
from devices.fleet.session_factory import last_will
from devices.scenario.devices import Device
from devices.timeline.wire_format import Publication, WireFormat
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
    coded_reason,
)

# Bytes that the transport may hold before a device keeps further readings to itself are asyncio's default (64 KiB);
# QoS 0 has no in-flight window, so this is how many readings of the outbox go out in one go.
QOS0_BURST = 64

_S, _T = ClientState, ClientTrigger
_ASLEEP = (_S.ASLEEP, _S.ASLEEP_CLOSING)
_OFF = (_S.OFF, _S.OFF_WAITING, _S.OFF_CONNECTING, _S.OFF_CLOSING)
_RESTING = _ASLEEP + _OFF


class ClientOwner(Protocol):
    """Names what a client needs of the fleet around it."""

    incidents: IncidentRecorder

    def device_time_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...

    def on_acknowledged(self, client: "DeviceClient", count: int, answered: int) -> None: ...

    def on_sent_qos0(self) -> None: ...

    def on_connect_requested(self, client: "DeviceClient", delay_s: float) -> None: ...

    def on_booted(self, client: "DeviceClient") -> None: ...

    def on_command(self, client: "DeviceClient", payload: bytes) -> None: ...


class DeviceClient:
    """Publishes what one device has to say, and keeps its connection."""

    __slots__ = ("_awake_since_s", "_needs_care", "_owner", "_slept", "_uniform", "broker", "device", "event_topic",
                 "firmware", "link", "link_faults", "reconnects", "session", "state", "telemetry_topic",
                 "wire_format")  # fmt: skip

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        session: Session,
        owner: ClientOwner,
        uniform: Callable[[], float],
        broker: BrokerUrl,
        wire_format: WireFormat,
    ) -> None:
        """Draw from [0, 1) with `uniform` for the waits before a reconnection."""
        self.device = device
        self.firmware = firmware
        self.session = session
        self.broker = broker
        self.wire_format = wire_format
        self.state = ClientState.WAITING
        self.link: Link | None = None
        """The connection, from its acceptance until its end was reported."""
        self.link_faults: LinkFaultState | None = None
        """What is wrong with its link at the moment."""
        self.reconnects = -1
        """Connections made after a loss; -1 until the first connection."""
        self.telemetry_topic = wire_format.topic(device, Channel.TELEMETRY).encode()
        self.event_topic = wire_format.topic(device, Channel.EVENT).encode()
        self._owner = owner
        self._uniform = uniform
        build = firmware.build
        self._needs_care = build.firmware.sleep is not None or build.outbox.flush_per_second is not None
        self._awake_since_s = 0.0
        # Whether its last connection ended for sleep: then the next one makes up for no loss.
        self._slept = False

    @property
    def is_online(self) -> bool:
        """Return whether the broker has accepted the connection and it still stands."""
        return self.link is not None and self.link.connected

    @property
    def is_asleep(self) -> bool:
        """Return whether it is in deep sleep, though its connection may still be closing."""
        return self.state in _ASLEEP

    @property
    def is_off(self) -> bool:
        """Return whether it is down during a reset: it neither measures nor connects."""
        return self.state in _OFF

    @property
    def is_resting(self) -> bool:
        """Return whether it has no connection because it wants none: it sleeps, or is down during a reset."""
        return self.state in _RESTING

    @property
    def is_disconnected(self) -> bool:
        """Return whether its connection, if it had one, is closed."""
        return self.link is None

    @property
    def is_idle(self) -> bool:
        """Return whether nothing waits to be sent or acknowledged."""
        return not self.firmware.outbox and not self.session.inflight

    @property
    def is_drained(self) -> bool:
        """Return whether nothing more leaves it without another reading or the end of a reset, which may not come."""
        return self.is_idle or self.is_off or not (self.firmware.is_synced or self.session.inflight)

    @property
    def is_stalled(self) -> bool:
        """Return whether readings wait though it is connected, and only the broker's window holds them back."""
        outbox, faults = self.firmware.outbox, self.link_faults
        if not (outbox and self.is_online and self.firmware.is_synced) or (faults and faults.delay_count):
            return False
        return not self._free_window(outbox.peek().qos)

    @property
    def is_connect_blocked(self) -> bool:
        """Return whether it wants no connection, or a fault keeps it from connecting."""
        return self.state in _RESTING or (self.link_faults is not None and self.link_faults.drop_count > 0)

    @property
    def acknowledged(self) -> int:
        """Return how many readings the broker took responsibility for."""
        return sum(counters.acknowledged for counters in self.firmware.all_counters())

    def unacknowledged(self) -> list[object]:
        """Return the tokens of what was published and never acknowledged: it may have arrived or not."""
        return self.session.unacknowledged()

    # -- what the timeline brings

    def handle_reading(self, reading: Reading) -> None:
        """Publish a reading that was taken now, or keep it."""
        if self.link_faults is not None and self.link_faults.corrupts(reading):
            reading = self._corrupted(reading)
        if self.firmware.on_reading(reading, self._free_window(reading.qos)):
            self._publish(reading)
        elif self.is_asleep and self.firmware.wants_to_wake():
            self.wake()

    def lose_reading(self, seq: int) -> None:
        """Count a reading that was taken, and that a fault keeps from being sent."""
        self.firmware.on_lost_reading(seq)

    # -- publishing

    def flush_outbox(self, link: Link | None = None) -> None:
        """Publish what waits in the outbox, as far as the connection takes it. A link that is writable calls it too."""
        outbox = self.firmware.outbox
        while outbox and (window := self._free_window(outbox.peek().qos)):
            readings = self.firmware.pop_publishable(window, self._owner.monotonic_s())
            if not readings:
                return
            for reading in readings:
                self._publish(reading)

    def publish_status(self, state: str) -> None:
        """Publish the retained status, where there is a connection."""
        status = self.firmware.status(state, self._owner.device_time_ms())
        self.publish_control(self.wire_format.status(self.device, status))

    def publish_control(self, message: Publication) -> None:
        """Publish a status or the result of a command, where there is a connection."""
        if self.link is not None and self.link.connected:
            # With the window full of readings that a resumed session sends again, it goes out at QoS 0.
            qos = 1 if self.session.window_free else 0
            self.link.publish(message.topic, message.payload, qos=qos, retain=message.retain)

    def _free_window(self, qos: int) -> int:
        link = self.link
        if link is None or not link.connected or not link.writable or not self.firmware.is_synced:
            return 0
        if self.link_faults is not None and self.link_faults.delay_count:
            return 0
        return self.session.window_free if qos else QOS0_BURST

    def _publish(self, reading: Reading) -> None:
        assert self.link is not None  # _free_window() said so
        seq, boot = reading.seq, reading.boot
        token = seq if boot == self.firmware.boot else (boot, seq)
        try:
            self.link.publish(reading.topic, reading.payload, qos=reading.qos, token=token)
        except PublishRefused as error:
            self._count_refused(boot, seq, error.code)
            return
        if not reading.qos and seq != NO_SEQ:
            self.firmware.on_sent_qos0(boot)
            self._owner.on_sent_qos0()

    def _corrupted(self, reading: Reading) -> Reading:
        """Return what leaves instead of a reading; the reading itself is lost with it."""
        assert self.link_faults is not None
        self.firmware.on_lost_reading(reading.seq)
        return reading._replace(seq=NO_SEQ, payload=self.link_faults.corrupt(reading))

    def _count_refused(self, boot: int, seq: int, code: int) -> None:
        reason = coded_reason(code)
        self.firmware.on_refused(seq, boot, reason)
        if seq != NO_SEQ:
            self._owner.incidents.record_refused(self.device.kind, reason)

    # -- the connection

    def begin_connect(self) -> bool:
        """Return whether it still wants to connect, now that its turn in the connect queue has come."""
        self._move(_T.PASS_TURN if self.is_connect_blocked else _T.TAKE_TURN)
        return self.state is _S.CONNECTING

    def request_connect(self, delay_s: float = 0.0) -> None:
        """Ask for a connection, unless one is there or asked for already, or cannot be had."""
        if self.state is _S.DISCONNECTED and not self.is_connect_blocked:
            self._move(_T.REQUEST)
            self._owner.on_connect_requested(self, delay_s)

    def request_reconnect(self) -> None:
        """Come back as its policy says, where what kept it from connecting is over."""
        if self.state is _S.DISCONNECTED and not self.is_connect_blocked:
            self.request_connect(self.firmware.on_connection_lost(self._uniform()))

    def on_connect_failed(self) -> None:
        """Ask again, after an attempt that did not lead to a connection."""
        self._move(_T.FAIL)
        self.request_connect(self.firmware.on_connection_lost(self._uniform()))

    def on_events(self, link: Link, events: list[Event]) -> None:
        """Handle what happened on the wire."""
        # Readings of this boot and of earlier ones that the broker took, and all that it answered for.
        confirmed = earlier = answered = 0
        for event in events:
            if type(event) is Acknowledged and type(event.token) is int and event.reason_code < FAILURE:
                # What nearly all events are: told apart before the `match`, which would try its patterns one by one.
                confirmed += event.token != NO_SEQ
                answered += 1
                continue
            match event:
                case Acknowledged(_, code, token):
                    answered += 1
                    earlier += self._on_answer(code, token)
                case Connected():
                    self._on_connected(link, session_present=event.session_present)
                case Message():
                    self._owner.on_command(self, event.payload)
                case ConnectionLost():
                    self._on_connection_lost(link)
                case _:
                    pass
        if confirmed:
            self.firmware.on_acknowledged(self.firmware.boot, confirmed)
        if answered:
            self._owner.on_acknowledged(self, confirmed + earlier, answered)
        if self.firmware.outbox:
            self.flush_outbox()

    def _on_answer(self, code: int, token: object) -> int:
        """Handle an answer that is none of the usual ones; return how many readings of earlier boots it confirms."""
        match token:
            case int(seq):
                self._count_refused(self.firmware.boot, seq, code)
            case (int(boot), int(seq)) if code >= FAILURE:
                self._count_refused(boot, seq, code)
            case (int(boot), int(seq)) if seq != NO_SEQ:
                self.firmware.on_acknowledged(boot, 1)
                return 1
            case None if code >= FAILURE:
                self._owner.incidents.record_control_refused(coded_reason(code), self.device.device_id)
        return 0

    def tick(self) -> None:
        """Keep the connection alive, let more of the outbox go, fall asleep: some time has passed."""
        link = self.link
        if link is None:
            return
        link.tick()
        if self._needs_care and self.is_online:
            self.flush_outbox()
            self._maybe_sleep()

    def wake(self) -> None:
        """End the sleep."""
        self._move(_T.WAKE)
        self.request_connect()

    def drop_connection(self, *, orderly: bool = False) -> None:
        """End the connection without a goodbye: by a reset of TCP, or where `orderly` as the operating system would."""
        if self.link is not None:
            self._move(_T.CUT)
            if orderly:
                self.link.drop()
            else:
                self.link.abort()

    def finish_readings(self) -> None:
        """Hand in what is there, asleep or not: no more readings follow."""
        if self.link_faults is not None:
            self.link_faults.end_all()
            self.link_faults = None
            self.request_reconnect()
        if self.is_asleep and not self.is_idle:
            self.wake()
        self.flush_outbox()

    def disconnect_cleanly(self) -> None:
        """Say goodbye: the retained status says offline, and the broker is told not to publish the will."""
        if self.link is not None and self.link.connected:
            self.publish_status("offline")
            self._move(_T.LEAVE)
            self.link.close()

    def _on_connected(self, link: Link, *, session_present: bool) -> None:
        self.link = link
        self._move(_T.ACCEPT)
        if self.is_connect_blocked:
            self.drop_connection()
            return
        is_first = self.reconnects < 0
        # A device that went to sleep has lost nothing.
        self.reconnects += is_first or not self._slept
        self._awake_since_s = self._owner.monotonic_s()
        self._slept = False
        self.firmware.on_connected()
        # At first always: a session of an earlier process may be one without a subscription.
        if self.firmware.build.firmware.commands and not (session_present and not is_first):
            self._subscribe(link)
        self.publish_status("online")

    def _subscribe(self, link: Link) -> None:
        # A broker that takes no subscriptions leaves the device without commands.
        with suppress(SubscribeRefused):
            link.subscribe([Subscription(topic, qos=1) for topic in self.wire_format.command_topics(self.device)])

    def _maybe_sleep(self) -> None:
        """Go to sleep where all is said: first the status says so, then, once that is acknowledged, the device goes."""
        sleep = self.firmware.build.firmware.sleep
        if sleep is None or not self.is_idle or self.link is None:
            return
        if self.state is _S.FALLING_ASLEEP:
            self._move(_T.FALL_ASLEEP)
            self.link.close()
        elif (self._owner.monotonic_s() - self._awake_since_s) * 1000 >= sleep.awake:
            self._move(_T.ANNOUNCE_SLEEP)
            self.publish_status("sleeping")

    def _on_connection_lost(self, link: Link) -> None:
        if self.link is link:
            self.link = None
            # It may have announced its sleep and lost the connection before.
            self._slept = self.is_asleep
            self._move(_T.LOSE)
            self.request_connect(self.firmware.on_connection_lost(self._uniform()))

    # -- resets

    def power_off(self) -> None:
        """Go down: the connection dies with the device, and the broker publishes the will."""
        self._move(_T.POWER_OFF)
        self._slept = False
        self.drop_connection()

    def power_on(self, boot: int, at_ms: int, reason: str, version: str | None = None) -> None:
        """Start anew, and connect."""
        self.firmware.on_reset(boot, at_ms, reason, self.unacknowledged(), version)
        self.session.discard_inflight()
        self.session.config = replace(self.session.config, will=last_will(self.device, self.firmware, self.wire_format))
        self._move(_T.POWER_ON)
        self._owner.on_booted(self)
        self.request_connect()

    def on_time_synced(self, boot: int) -> None:
        """Take the time from the first NTP answer since a boot: the device knows when all was that it has measured."""
        if self.firmware.boot == boot and not self.is_off:
            self.firmware.is_synced = True
            self.publish_status("online")
            self.flush_outbox()

    def _move(self, trigger: ClientTrigger) -> None:
        self.state = next_client_state(self.state, trigger)
