"""Carries out the decisions of one device's firmware over its own MQTT connection.

A client holds no task and no timer: the fleet connects it, paces it and ticks it. `client_state` says what may follow
what; nothing but connecting, sleeping and resetting changes the state, so that a message costs nothing for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from os.path import commonprefix
from typing import Protocol

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ, Reading, ReadingsToken
from devices.firmware.reconnect import REFERRALS, SERVER_MOVED, SESSION_TAKEN_OVER, ConnectionEnd
from devices.fleet.brokers import referred_broker
from devices.fleet.client_state import ClientState, ClientTrigger, next_client_state
from devices.fleet.command_inbox import SUBACK_S, CommandInbox, CommandSubscription
from devices.fleet.fault_state import LinkFaultState
from devices.fleet.incidents import IncidentRecorder
from devices.fleet.login_renewal import LoginRenewal
from devices.fleet.loss_window import LossWindow
from devices.fleet.session_factory import fitted_will, last_will, learned_limits
from devices.scenario.devices import Device
from devices.timeline.wire_format import PublishOptions, WireFormat, divide_payload
from edgewire.dialects.encoder import HeardCommands, Publication
from edgewire.link import BrokerUrl, Link
from edgewire.mqtt import (
    FAILURE,
    Acknowledged,
    Connected,
    ConnectionLost,
    Event,
    Message,
    Properties,
    PublishRefused,
    ServerDisconnected,
    Session,
    StrayAnswer,
    Subscribed,
    Version,
    coded_reason,
)
from edgewire.mqtt.advice import advice
from edgewire.mqtt.reasons import DISCONNECT_WITH_WILL, QOS_NOT_SUPPORTED

# Bytes that the transport may hold before a device keeps further readings to itself are asyncio's default (64 KiB);
# QoS 0 has no in-flight window, so this is how many readings of the outbox go out in one go.
QOS0_BURST = 64

PUBACK_S = 10.0
"""So long without any acknowledgement, and the broker is taken for one that gives none."""
STATUS = "status"
"""The token of a status that is published: only the newest is worth sending again."""

_S, _T = ClientState, ClientTrigger
_ASKED = CommandSubscription.ASKED  # an attribute of an Enum class costs several times a global
_ASLEEP = (_S.ASLEEP, _S.ASLEEP_CLOSING)
_OFF = (_S.OFF, _S.OFF_WAITING, _S.OFF_CONNECTING, _S.OFF_CLOSING)
_RESTING = _ASLEEP + _OFF


class ClientOwner(Protocol):
    """Names what a client needs of the fleet around it."""

    incidents: IncidentRecorder
    losses: LossWindow
    broker_choices: int
    """Among how many brokers a device may choose."""

    def next_broker(self, client: "DeviceClient") -> BrokerUrl:
        """Return where a device tries next, which could not connect."""
        ...

    def credentials_for(self, client: "DeviceClient", broker: BrokerUrl) -> tuple[str | None, bytes | None]: ...

    def token_life_s(self, client: "DeviceClient") -> float | None:
        """Return for how long what a device logs in with is good, in seconds; None where it is for good."""
        ...

    def device_time_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...

    def on_acknowledged(self, client: "DeviceClient", count: int, answered: int) -> None: ...

    def on_sent_qos0(self, count: int) -> None: ...

    def on_batch(self, readings: int) -> None:
        """Take note of one more message, of so many readings."""
        ...

    def on_connect_requested(self, client: "DeviceClient", delay_s: float) -> None: ...

    def on_booted(self, client: "DeviceClient") -> None: ...

    def on_command(self, client: "DeviceClient", message: Message) -> None: ...

    def on_detached(self, client: "DeviceClient") -> None: ...


class DeviceClient:
    """Publishes what one device has to say, and keeps its connection."""

    __slots__ = ("_batch_rules", "_connected_since_s", "_farewell", "_home", "_is_acknowledged", "_is_unanswered",
                 "_lost_s", "_options", "_owner", "_renewal", "_slept", "_subscription", "_topic_ends", "_topic_stem",
                 "_unanswered_since_s", "_uniform", "broker", "changed_ms", "device", "firmware", "is_leaving",
                 "is_retired", "link", "link_faults", "reconnects", "session", "speech", "state",
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
        self.changed_ms: int | None = None
        """The device time from which commands let it say something else than the scenario has."""
        self.reconnects = -1
        """Connections made after a loss; -1 until the first connection."""
        self.is_leaving = False
        """Whether it is taken out of the fleet: it hands in what it has, and no fault befalls it any more."""
        self.is_retired = False
        """Whether it is out of the fleet, and connects no more."""
        self._topic_stem, self._topic_ends = stem_and_ends(wire_format.topics(device))
        self._options = wire_format.options
        rules = [one.batch for one in self._options or ()]
        # By address, where messages of one say several readings.
        self._batch_rules = rules if any(rules) else None
        self.speech = wire_format.open_session(device)
        """What its dialect knows from message to message; None where each stands for itself."""
        if self.speech is not None:
            session.config = replace(session.config, clean_start=True, session_expiry_s=0)
        self._owner = owner
        self._uniform = uniform
        self._connected_since_s = 0.0
        # Whether a message was acknowledged on the connection that is there.
        self._is_acknowledged = False
        # Whether it was told that none is, for so long that one should be.
        self._is_unanswered = False
        # Since when something is under way on a connection on which nothing was acknowledged.
        self._unanswered_since_s: float | None = None
        # When the last connection ended without a word, if it had been used.
        self._lost_s: float | None = None
        # How far it is with the subscription to its commands, for which it asks as it is connected.
        self._subscription = CommandSubscription.NONE
        # What the broker said as it ended the connection, until the end is reported.
        self._farewell: ServerDisconnected | None = None
        # The broker to come back to where another one, that it has referred the device to, does not want it.
        self._home = broker
        # Whether its last connection ended for sleep: then the next one makes up for no loss.
        self._slept = False
        # When what it has logged in with is to be renewed; None where it is good for ever.
        self._renewal: LoginRenewal | None = None

    @property
    def topics(self) -> tuple[bytes, ...]:
        """Return where its messages go, by their addresses."""
        return tuple(self._topic_stem + end for end in self._topic_ends)

    def topic(self, address: int) -> bytes:
        """Return where its messages of one address go."""
        return self._topic_stem + self._topic_ends[address]

    @property
    def needs_care(self) -> bool:
        """Return whether it does something by itself as time goes on, beside keeping its connection."""
        build = self.firmware.build
        if build.firmware.sleep is not None or build.outbox.flush_per_second is not None:
            return True
        return self._renewal is not None

    @property
    def batches_readings(self) -> bool:
        """Return whether some of its messages say several readings."""
        return self._batch_rules is not None

    def publishes(self, address: int, seq: int) -> bool:
        """Return whether a message leaves with the reading that has this number, and does not wait for others."""
        rule = None if self._batch_rules is None else self._batch_rules[address]
        return rule is None or rule.is_complete(seq)

    @property
    def is_online(self) -> bool:
        """Return whether the broker has accepted the connection and it still stands."""
        return self.link is not None and self.link.connected

    def renames(self, boot: int) -> list[tuple[int, str]]:
        """Return the names that it was called by in a boot, each from a seq on: only gateways give other ones."""
        return []

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
    def is_gone(self) -> bool:
        """Return whether it is out of the fleet, and another client may use its id."""
        is_connecting = self.state in (_S.CONNECTING, _S.OFF_CONNECTING)
        return self.is_retired and self.link is None and not is_connecting

    @property
    def inflight(self) -> int:
        """Return how many of its messages are published and not acknowledged."""
        return self.session.inflight

    @property
    def carrier(self) -> "DeviceClient":
        """Return the client that has the connection over which it speaks: itself, unless it shares one."""
        return self

    @property
    def carried(self) -> int:
        """Return how many devices its connection is for."""
        return 1

    @property
    def is_idle(self) -> bool:
        """Return whether nothing waits to be sent or acknowledged."""
        return not self.firmware.outbox and not self.inflight

    @property
    def is_drained(self) -> bool:
        """Return whether nothing more leaves it without another reading or the end of a reset, which may not come."""
        return self.is_idle or self.is_off or not (self.firmware.is_synced or self.inflight)

    @property
    def is_stalled(self) -> bool:
        """Return whether readings wait though it is connected, and only the broker's window holds them back."""
        outbox, faults = self.firmware.outbox, self.link_faults
        if not (outbox and self.is_online and self.firmware.is_synced) or (faults and faults.delay_count):
            return False
        if self.speech is not None and not self.speech.may_speak:
            return False
        return not self._free_window(outbox.peek().qos)

    @property
    def is_withdrawn(self) -> bool:
        """Return whether it has left its place to a real sensor; only an emulator in standby does."""
        return False

    @property
    def is_excused(self) -> bool:
        """Return whether it counts as connected though it never was."""
        return False

    @property
    def least_boot(self) -> int:
        """Return the boot that is greater than all of its own."""
        return self.firmware.boot + 1

    @property
    def is_connect_blocked(self) -> bool:
        """Return whether it wants no connection, or a fault keeps it from connecting."""
        if self.is_retired or self.state in _RESTING:
            return True
        return self.link_faults is not None and self.link_faults.drop_count > 0

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
        if self._batch_rules is not None and (rule := self._batch_rules[reading.address]) is not None:
            message = self.firmware.collect_reading(reading, rule)
            if message is not None:
                self.handle_batch(message)
            return
        if self.link_faults is not None and self.link_faults.corrupts(reading):
            reading = self._corrupted(reading, self.link_faults)
        if self.firmware.on_reading(reading, self._free_window(reading.qos)):
            self._publish(reading)
        elif self.is_asleep and self.firmware.wants_to_wake():
            self.wake()

    def handle_batch(self, message: Reading) -> None:
        """Publish a message of several readings, or keep it."""
        self._owner.on_batch(len(message.seqs))
        if self.firmware.on_message(message, self._free_window(message.qos)):
            self._publish(message)
        elif self.is_asleep and self.firmware.wants_to_wake():
            self.wake()

    def ignore_command(self) -> None:
        """Count a message on a command topic that this device's firmware does not heed."""
        self._owner.incidents.record_ignored("message on a command topic that is no command")

    def lose_reading(self, seq: int, address: int) -> None:
        """Count a reading that was taken, and that a fault keeps from being sent; others of its message are sent."""
        self.firmware.on_lost_reading(seq)
        if self._batch_rules is not None and self.publishes(address, seq):
            message = self.firmware.close_batch(address)
            if message is not None:
                self.handle_batch(message)

    # -- publishing

    def flush_outbox(self) -> None:
        """Publish what waits in the outbox, as far as the connection takes it."""
        outbox = self.firmware.outbox
        while outbox and (window := self._free_window(outbox.peek().qos)):
            readings = self.firmware.pop_publishable(window, self._owner.monotonic_s())
            if not readings:
                return
            for place, reading in enumerate(readings, 1):
                self._publish(reading, is_past=place < len(readings) or bool(outbox))

    def publish_status(self, state: str) -> None:
        """Publish the retained status, where there is a connection."""
        status = self.firmware.status(state, self._owner.device_time_ms())
        is_first = not self.firmware.is_introduced
        for message in self.wire_format.status(self.device, status, is_first=is_first):
            self.publish_control(message, token=STATUS)
        if state == "online" and self.is_online:
            self.firmware.is_introduced = True
            self.firmware.schedule_status(self._owner.device_time_ms())

    def _repeat_status(self) -> None:
        """Say again how it is, where that is due."""
        now_ms = self._owner.device_time_ms()
        if self.firmware.is_status_due(now_ms):
            for message in self.wire_format.repeated_status(self.device, self.firmware.status("online", now_ms)):
                self.publish_control(message, token=STATUS)
            self.firmware.schedule_status(now_ms)

    def publish_control(
        self, message: Publication, properties: Properties | None = None, token: str | None = None
    ) -> None:
        """Publish a status or the result of a command, where there is a connection, as the broker's limits allow."""
        if self.link is None or not self.link.connected or (self.speech is not None and not self.speech.may_speak):
            return
        limits, retain = self.session.limits, message.retain
        if retain and not limits.retain_available:
            retain = False
            self._owner.incidents.record_adapted("status without retain", self.device.device_id)
        # With the window full of readings that a resumed session sends again, it goes out at QoS 0.
        qos = min(message.qos, limits.maximum_qos) if self.session.window_free else 0
        payload = self._written(message.topic, message.payload)
        try:
            self._send(self.link, message.topic, payload, qos, token, retain=retain, properties=properties)
            if self.speech is not None:
                self.speech.on_sent()
        except PublishRefused as error:
            self._owner.incidents.record_control_refused(coded_reason(error.code), self.device.device_id)

    def _free_window(self, qos: int) -> int:
        link = self.link
        if link is None or not link.connected or not link.writable or not self.firmware.is_synced:
            return 0
        if self._renewal is not None and self._renewal.is_due:
            return 0
        if self.link_faults is not None and self.link_faults.delay_count:
            return 0
        if self.speech is not None and not self.speech.may_speak:
            return 0
        return self.session.window_free if qos else QOS0_BURST

    def _written(self, topic: str, payload: bytes, *, is_past: bool = False, is_damaged: bool = False) -> bytes:
        """Return a payload as it goes out now."""
        if self.speech is None:
            return payload
        now_ms = self._owner.device_time_ms()
        return self.speech.write(topic, payload, now_ms, is_past=is_past, is_damaged=is_damaged)

    def _publish(self, reading: Reading, *, is_past: bool = False) -> None:
        """Publish a reading; `is_past` says that it has waited, and that a newer one waits behind it."""
        assert self.link is not None  # _free_window() said so
        seq, boot = reading.seq, reading.boot
        token: object = seq if boot == self.firmware.boot else (boot, seq)
        if reading.earlier:
            token = ReadingsToken(boot, reading.seqs)
        try:
            if self._options is None:
                self._send(self.link, reading.topic, reading.payload, reading.qos, token)
            else:
                self._publish_as(self._options[reading.address], reading, token, is_past=is_past)
        except PublishRefused as error:
            if error.code == QOS_NOT_SUPPORTED and reading.qos > self.session.limits.maximum_qos:
                self._owner.incidents.record_adapted("message at a lower QoS", self.device.device_id)
                self._publish(reading._replace(qos=self.session.limits.maximum_qos))
            else:
                self._count_refused(boot, reading.seqs, error.code)
            return
        if not reading.qos and seq != NO_SEQ:
            count = 1 + len(reading.earlier)
            self.firmware.on_sent_qos0(boot, count)
            self._owner.on_sent_qos0(count)

    def _send(
        self,
        link: Link,
        topic: str | bytes,
        payload: bytes,
        qos: int,
        token: object,
        *,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """Publish over its connection, marked with what its acknowledgement is to be known by."""
        link.publish(topic, payload, qos=qos, retain=retain, properties=properties, token=token)

    def _publish_as(self, options: PublishOptions, reading: Reading, token: object, *, is_past: bool) -> None:
        """Publish a message with what its format says beside topic and payload."""
        assert self.link is not None
        retain = options.retain and self.session.limits.retain_available
        if options.retain and not retain:
            self._owner.incidents.record_adapted("message without retain", self.device.device_id)
        properties = self.wire_format.properties_of(self.device, options) if options.properties else None
        payload, properties = divide_payload(options, reading.payload, properties, self.session.version)
        if self.speech is not None:
            is_damaged = reading.seq == NO_SEQ
            payload = self._written(reading.topic.decode(), payload, is_past=is_past, is_damaged=is_damaged)
        self._send(self.link, reading.topic, payload, reading.qos, token, retain=retain, properties=properties)
        if self.speech is not None:
            self.speech.on_sent()

    def _corrupted(self, reading: Reading, faults: LinkFaultState) -> Reading:
        """Return what leaves instead of a reading; the reading itself is lost with it."""
        if reading.seq != NO_SEQ:
            self.firmware.on_lost_reading(reading.seq)
        return reading._replace(seq=NO_SEQ, payload=faults.corrupt(reading))

    def _count_refused(self, boot: int, seqs: Sequence[int], code: int) -> None:
        reason = coded_reason(code)
        self.firmware.on_refused(seqs, boot, reason)
        for seq in seqs:
            if seq != NO_SEQ:
                self._owner.incidents.record_refused(self.device.kind, reason)

    # -- the connection

    def begin_connect(self) -> bool:
        """Return whether it still wants to connect, now that its turn in the connect queue has come."""
        self._move(_T.PASS_TURN if self.is_connect_blocked else _T.TAKE_TURN)
        if self.state is not _S.CONNECTING:
            return False
        if self.session.inflight:
            # What it says of itself on the connection to come is newer.
            self.session.withdraw_inflight(STATUS)
        if self.speech is not None:
            self.speech.begin_connect(self.session.connects, str(self.broker))
        self._write_will()
        self._renew_login()
        return True

    def _renew_login(self) -> None:
        """Log in with a token that has just been made, where the device has such."""
        life_s = self._owner.token_life_s(self)
        if life_s is None:
            return
        username, password = self._owner.credentials_for(self, self.broker)
        self.session.config = replace(self.session.config, username=username, password=password)
        self._renewal = LoginRenewal(self._owner.monotonic_s(), life_s, self._uniform())

    def _leave_to_renew(self, renewal: LoginRenewal) -> None:
        """Say goodbye before the token ends, to come back with another: readings wait meanwhile.

        What is under way is waited for, so that nothing is sent twice, unless that takes too long.
        """
        if self.link is None or self.state is not _S.ONLINE:
            return
        if not self.session.inflight or renewal.is_urgent(self._owner.monotonic_s()):
            self._move(_T.CUT)
            self.link.close()

    def _write_will(self) -> None:
        """Ask for a will that the broker takes, by what its last CONNACK or refusal says."""
        will = last_will(self.device, self.firmware, self.wire_format)
        if will is not None:
            if self.speech is not None:
                will = replace(will, payload=self.speech.write_will())
            will = fitted_will(will, self.session.limits)
        self.session.will = will

    def request_connect(self, delay_s: float = 0.0) -> None:
        """Ask for a connection, unless one is there or asked for already, or cannot be had."""
        if self.state is _S.DISCONNECTED and not self.is_connect_blocked:
            self._move(_T.REQUEST)
            self._owner.on_connect_requested(self, delay_s)

    def request_reconnect(self) -> None:
        """Come back as its policy says, where what kept it from connecting is over."""
        if self.state is _S.DISCONNECTED and not self.is_connect_blocked:
            self.request_connect(self.firmware.on_connection_lost(ConnectionEnd(), self._uniform()).delay_s)

    def on_connect_failed(self, code: int = 0, server_reference: str = "") -> None:
        """Ask again, after an attempt that did not lead to a connection; `code` is that of a refusal."""
        self._move(_T.FAIL)
        if self.session.will is not None:
            self.session.assume_limits(learned_limits(self.session.limits, self.session.will, code))
        if self.broker == self._home:
            self._go_on_to(self._owner.next_broker(self))
        self._follow_reference(code, server_reference)
        end = ConnectionEnd(code, choices=self._owner.broker_choices)
        self.request_connect(self.firmware.on_connection_lost(end, self._uniform()).delay_s)

    def _go_on_to(self, broker: BrokerUrl) -> None:
        """Have another broker of the list as its own, as whom that one knows it."""
        if broker == self._home:
            return
        self._home = broker
        username, password = self._owner.credentials_for(self, broker)
        self.session.config = replace(self.session.config, username=username, password=password)

    def _follow_reference(self, code: int, server_reference: str) -> None:
        """Choose the broker for the next connection: the one that this one refers to, where it may, or its own."""
        referred = None
        if code in REFERRALS and self.firmware.build.reconnect.follow_server_reference:
            referred = referred_broker(self.broker, server_reference)
        if referred is not None and code == SERVER_MOVED:
            self._home = referred
        self.broker = referred or self._home

    def __call__(self, link: Link, events: list[Event]) -> None:
        """Do as `on_events`: a link has the client itself for its handler, as a bound method of each takes 64 bytes."""
        self.on_events(link, events)

    def on_events(self, link: Link, events: list[Event]) -> None:
        """Handle what happened on the wire; nothing, where the connection takes more again."""
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
                    if self.speech is not None and event.topic in self.speech.heard_topics:
                        self._heed(self.speech.hear_state(event.topic, event.payload))
                    else:
                        self._on_message(event)
                case Subscribed():
                    self._on_subscribed(event)
                case ServerDisconnected():
                    self._farewell = event
                case StrayAnswer(packet, _):
                    self._owner.incidents.record_ignored(f"{packet} for nothing that is under way")
                case ConnectionLost():
                    self._on_connection_lost(link, event)
                case _:
                    pass
        if confirmed:
            self._is_acknowledged = True
            self.firmware.on_acknowledged(self.firmware.boot, confirmed)
        if answered:
            self._owner.on_acknowledged(self, confirmed + earlier, answered)
        if self.firmware.outbox:
            self.flush_outbox()
        if self._renewal is not None and self._renewal.is_due:
            self._leave_to_renew(self._renewal)

    @property
    def _inbox(self) -> CommandInbox:
        return CommandInbox(self.device, self.firmware, self.session, self.wire_format, self._owner.incidents)

    def _on_message(self, message: Message) -> None:
        if not self._inbox.accepts_command(message, self._owner.monotonic_s()):
            return
        if self.speech is None:
            self._on_command(message)
            return
        heard = self.speech.hear_command(message.topic, message.payload)
        self._heed(heard)
        for payload in heard.commands:
            self._on_command(message._replace(payload=payload))

    def _on_command(self, message: Message) -> None:
        self._owner.on_command(self, message)

    def _heed(self, heard: HeardCommands) -> None:
        """Do what a message asks for that is for the session of its dialect."""
        for reason in heard.ignored:
            self._owner.incidents.record_ignored(reason)
        if heard.begins:
            self._introduce()
        elif heard.introduces:
            self._introduce_again()
        elif heard.leaves or (heard.is_missed and self._owner.broker_choices > 1):
            self._leave_broker()

    def _introduce(self) -> None:
        """Say that it is there, unless its dialect has it wait for somebody."""
        if self.speech is None or self.speech.may_speak:
            self.publish_status("online")

    def _introduce_again(self) -> None:
        """Say once more what it is, as somebody asks for it."""
        self.publish_status("online")

    def _leave_broker(self) -> None:
        """Say goodbye and come back, at the next broker where there is one: whom it speaks to is not at this one."""
        if self.link is not None and self.link.connected:
            self._move(_T.CUT)
            self._close_link()
            self._go_on_to(self._owner.next_broker(self))

    def _close_link(self) -> None:
        """End the connection with a goodbye, after which a dialect may still want its will to be published."""
        assert self.link is not None
        goodbye = None if self.speech is None else self.speech.write_goodbye()
        if goodbye is None:
            self.link.close()
            return
        self.publish_control(goodbye)
        self.link.close(DISCONNECT_WITH_WILL if self.session.version is Version.V5 else 0)

    def _on_subscribed(self, answer: Subscribed) -> None:
        self._subscription = self._inbox.on_subscribed(answer.codes)

    def _on_answer(self, code: int, token: object) -> int:
        """Handle an answer that is none of the usual ones; return how many readings it confirms."""
        if code < FAILURE:
            self._is_acknowledged = True
        match token:
            case int(seq):
                self._count_refused(self.firmware.boot, (seq,), code)
            case (int(boot), int(seq)) if code >= FAILURE:
                self._count_refused(boot, (seq,), code)
            case ReadingsToken(boot, seqs) if code >= FAILURE:
                self._count_refused(boot, seqs, code)
            case ReadingsToken(boot, seqs):
                self.firmware.on_acknowledged(boot, len(seqs))
                return len(seqs)
            case (int(boot), int(seq)) if seq != NO_SEQ:
                self.firmware.on_acknowledged(boot, 1)
                return 1
            case None | str() if code >= FAILURE:
                self._owner.incidents.record_control_refused(coded_reason(code), self.device.device_id)
        return 0

    def tick(self) -> None:
        """Keep the connection alive, let more of the outbox go, fall asleep: some time has passed."""
        link = self.link
        if link is None:
            return
        link.tick()
        if not self.is_online:
            return
        # Of most devices nothing is expected any more: this is asked of each in every round.
        if not self._is_acknowledged or self._subscription is _ASKED:
            self._expect_answers(self._owner.monotonic_s())
        self._repeat_status()
        if self._renewal is not None and self._renewal.begins(self._owner.monotonic_s()):
            self._renewal.is_due = True
            self._leave_to_renew(self._renewal)
        if self.needs_care and self.is_online:
            self.flush_outbox()
            self._maybe_sleep()

    def _expect_answers(self, now_s: float) -> None:
        """Find that the broker leaves the device without answers, where it has had the time for them."""
        if self._subscription is _ASKED and now_s - self._connected_since_s > SUBACK_S:
            self._subscription = self._inbox.on_unanswered()
        if self._is_acknowledged or self._is_unanswered:
            return
        if not self.session.inflight:
            # A device that says nothing as it comes may have been connected for long before it says something.
            self._unanswered_since_s = None
        elif self._unanswered_since_s is None:
            self._unanswered_since_s = now_s
        elif now_s - self._unanswered_since_s >= PUBACK_S:
            self._is_unanswered = True
            self._owner.incidents.record_never_acknowledged(self.device.device_id)

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
        for message in self.firmware.close_batches():
            self.handle_batch(message)
        if self.is_asleep and not self.is_idle:
            self.wake()
        self.flush_outbox()

    def begin_leave(self) -> None:
        """Hand in what is there before it is taken out of the fleet: no more readings follow."""
        self.is_leaving = True
        self.finish_readings()

    def retire(self) -> None:
        """Go out of the fleet: say goodbye where there is a connection, and connect no more."""
        self.is_leaving = self.is_retired = True
        self.disconnect_cleanly()

    def disconnect_cleanly(self) -> None:
        """Say goodbye: the retained status says offline, and the broker is told not to publish the will."""
        if self.link is not None and self.link.connected:
            self.publish_status("offline")
            self._move(_T.LEAVE)
            self._close_link()

    def _on_connected(self, link: Link, *, session_present: bool) -> None:
        self.link = link
        self._move(_T.ACCEPT)
        self._connected_since_s = self._owner.monotonic_s()
        self._is_acknowledged = self._is_unanswered = False
        self._unanswered_since_s = None
        if self.is_retired:
            self.disconnect_cleanly()
            return
        if self.is_connect_blocked:
            self.drop_connection()
            return
        if self._lost_s is not None:
            self._blame_takeovers(self.firmware.on_accepted_again(was_alone=self._owner.losses.was_alone(self._lost_s)))
        is_first = self.reconnects < 0
        # A device that went to sleep has lost nothing.
        self.reconnects += is_first or not self._slept
        self._slept = False
        self._subscription = self._inbox.on_accepted(link, self._subscription, session_present=session_present)
        self._introduce()

    def _maybe_sleep(self) -> None:
        """Go to sleep where all is said: first the status says so, then, once that is acknowledged, the device goes."""
        sleep = self.firmware.build.firmware.sleep
        if sleep is None or not self.is_idle or self.link is None:
            return
        if self.state is _S.FALLING_ASLEEP:
            self._move(_T.FALL_ASLEEP)
            self._close_link()
        elif (self._owner.monotonic_s() - self._connected_since_s) * 1000 >= sleep.awake:
            self._move(_T.ANNOUNCE_SLEEP)
            self.publish_status("sleeping")

    def _on_connection_lost(self, link: Link, lost: ConnectionLost) -> None:
        if self.link is not link:
            return
        self.link = None
        is_renewed = self._renewal is not None and self._renewal.is_due and self.state is _S.CLOSING
        # It may have announced its sleep and lost the connection before.
        self._slept = self.is_asleep or is_renewed
        self._move(_T.LOSE)
        code, server_reference = self._count_farewell()
        end = ConnectionEnd(
            code=code,
            lasted_s=self._owner.monotonic_s() - self._connected_since_s,
            is_acknowledged=self._is_acknowledged or not self.session.inflight,
            is_unexplained=lost.is_unexplained and not self.is_duplicated,
            choices=self._owner.broker_choices,
        )
        comeback = self.firmware.on_connection_lost(end, self._uniform())
        # Only the end of a connection that was used is a sign of another client.
        self._lost_s = None
        if end.is_unexplained:
            self._owner.losses.record_loss(self._owner.monotonic_s())
            if end.is_acknowledged:
                self._lost_s = self._owner.monotonic_s()
        self._blame_takeovers(comeback.takeovers)
        if comeback.is_cut_short:
            self._owner.incidents.record_server_disconnect("no reason, soon after CONNACK", self.device.device_id)
        if self._slept:
            self.firmware.on_connection_proved()
        self._follow_reference(code, server_reference)
        self.request_connect(0.0 if is_renewed else comeback.delay_s)

    def _blame_takeovers(self, count: int) -> None:
        for _ in range(count):
            self._on_takeover()

    def _on_takeover(self) -> None:
        """Count that another client has ended the connection by using the id of the device."""
        self._owner.incidents.record_takeover(self.device.device_id)

    def _count_farewell(self) -> tuple[int, str]:
        """Count what the broker said as it ended the connection; return the code, and the server to use instead."""
        farewell, self._farewell = self._farewell, None
        if farewell is None:
            return 0, ""
        code, incidents = farewell.code, self._owner.incidents
        if code != SESSION_TAKEN_OVER:
            incidents.record_server_disconnect(
                coded_reason(code), self.device.device_id, advice("DISCONNECT", code), farewell.reason
            )
        elif not self.is_duplicated:
            self._on_takeover()
        return code, farewell.server_reference

    @property
    def is_duplicated(self) -> bool:
        """Return whether a fault of the scenario has another client use its id."""
        return self.link_faults is not None and self.link_faults.duplicate is not None

    # -- resets

    def power_off(self) -> None:
        """Go down: the connection dies with the device, and the broker publishes the will."""
        if self.is_retired:
            return
        self._move(_T.POWER_OFF)
        self._slept = False
        self.drop_connection()

    def power_on(self, boot: int, at_ms: int, reason: str, version: str | None = None) -> None:
        """Start anew, and connect."""
        if self.is_retired:
            return
        self.firmware.on_reset(boot, at_ms, reason, self.unacknowledged(), version)
        self.session.discard_inflight()
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


def stem_and_ends(topics: Sequence[str]) -> tuple[bytes, tuple[bytes, ...]]:
    """Return what the topics of a device begin with, which is its own, and how they end, which many have in common.

    Kept whole they take 200 bytes of a device of the contract, so 75; to join the two takes 0.1 µs of a message.
    """
    encoded = [topic.encode() for topic in topics]
    stem = commonprefix(encoded)  # noqa: RUF071 - characters it is
    return stem or b"", _shared_ends(tuple(topic[len(stem) :] for topic in encoded))


@lru_cache(maxsize=1024)
def _shared_ends(ends: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return ends
