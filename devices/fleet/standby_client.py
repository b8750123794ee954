"""Emulates a device in standby: it leaves its place while a real sensor speaks in it, and comes back.

It withdraws when something else speaks on its topics or takes its client id: sends what it has measured, says no
goodbye (its status would stand over that of the sensor), and is quiet. What it would have measured meanwhile is
withheld and counted by seq. It returns as a device that is powered on: with a new boot, greater than all that was heard
of.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.client_state import ClientState, ClientTrigger
from devices.fleet.command_inbox import CommandSubscription
from devices.fleet.device_client import STATUS, ClientOwner, DeviceClient
from devices.fleet.own_publications import OwnPublications
from devices.scenario.devices import Device
from devices.timeline.wire_format import PublishOptions, WireFormat
from edgewire.dialects.encoder import Publication
from edgewire.link import BrokerUrl, Link
from edgewire.mqtt import (
    FAILURE,
    Event,
    Message,
    Properties,
    Session,
    Subscribed,
    SubscribeRefused,
    Subscription,
    Version,
)
from edgewire.mqtt.packets import Publish
from edgewire.run_record import BY_REQUEST, StandbySpan

DRAIN_S = 5.0
"""So long a device that withdraws waits for the acknowledgements of what it has sent."""
QUIET_S = 10.0
"""So long after it has withdrawn all is back that it has said."""
LOOK_S = 1.0
"""So long a device whose connection has ended waits at the least: a sensor that has taken its client id says hello."""
MOST_BOOT = 10**14
"""A boot above this is no counter, and leaves no room for greater ones."""

BY_STATUS, BY_MESSAGE, BY_TAKEOVER = "status of hardware", "message of another sender", "client id taken over"
"""How a real sensor shows itself."""


class StandbyOwner(ClientOwner, Protocol):
    """Names what a client in standby needs of the fleet around it."""

    def on_withdrawn(self, client: "StandbyClient", why: str) -> int:
        """Take note; return the devices' time up to which its readings are emitted."""
        ...

    def on_withheld(self) -> None: ...

    def on_handed_in(self) -> None: ...

    def on_foreign_message(self, client: "StandbyClient", topic: str, payload: bytes) -> None:
        """Take note of what a real sensor has said where the readings of a device are."""
        ...

    def on_unheard(self, client: "StandbyClient") -> None:
        """Take note that a real sensor may have said what nobody has heard."""
        ...

    def hand_in(self, client: "StandbyClient", readings: Iterable[Reading]) -> None:
        """Publish what a client could not over its own connection."""
        ...

    def watch_readings(self, client: "StandbyClient", watched: bool) -> None:
        """Listen to its telemetry and events over another connection, or no longer."""
        ...


@dataclass(slots=True)
class Absence:
    """Tells how long a real sensor has been in a device's place."""

    span: StandbySpan
    since_s: float
    heard_s: float
    """When the real sensor was last heard of."""
    is_held: bool = False
    """Whether it stays away until it is told to return."""
    pending: "PendingReturn | None" = None
    """Its return, where its connection has not ended yet."""


@dataclass(slots=True)
class PendingReturn:
    """Holds what a device has measured since it is back, until it can be said in its new boot."""

    boot: int
    at_ms: int
    readings: list[Reading] = field(default_factory=list)
    """One without payload is lost: a fault keeps it from being sent."""


class StandbyClient(DeviceClient):
    """Publishes what one device has to say, while no real sensor does."""

    __slots__ = ("_foreign_boot", "_is_excused", "_is_granted", "_is_misjudged", "_leaves_ms", "_own",
                 "_packet_id", "_standby_owner", "_watched", "absence", "handed_in", "is_returning", "reading_topics",
                 "spans", "standby_after_s", "status_topic")  # fmt: skip

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        session: Session,
        owner: StandbyOwner,
        uniform: Callable[[], float],
        broker: BrokerUrl,
        wire_format: WireFormat,
        standby_after_s: float,
    ) -> None:
        """Return after the real sensor was silent for `standby_after_s`."""
        super().__init__(device, firmware, session, owner, uniform, broker, wire_format)
        self._standby_owner = owner
        self.standby_after_s = standby_after_s
        will = wire_format.will(device, firmware.status("offline", None))
        topics = dict.fromkeys(topic.decode() for topic in self.topics)
        self.status_topic = "" if will is None or will.topic in topics else will.topic
        """Where it says that it is there, and nothing else; empty where its format has no such topic."""
        self.reading_topics = list(topics)
        """Where its readings and events go; what is said there of its state, such as a phone's will, is told by what it
        says."""
        self.absence: Absence | None = None
        """Where it has left its place."""
        self.spans: list[StandbySpan] = []
        """When it was away, the present absence included."""
        self.is_returning = False
        """Whether its return is planned."""
        # As of when it is to leave, where that is planned.
        self._leaves_ms: int | None = None
        self.handed_in: dict[tuple[int, int], Reading] = {}
        """What another connection publishes for it, by boot and seq, until that is acknowledged."""
        self._own = OwnPublications()
        # Whether something stands over its status that says it is not there.
        self._is_misjudged = False
        self._packet_id = 0
        # Whether the broker sends it what others publish on its topics.
        self._is_granted = False
        self._watched = False
        self._is_excused = False
        self._foreign_boot = -1

    # -- whether it is there

    @property
    def is_withdrawn(self) -> bool:
        """Return whether it has left its place to a real sensor."""
        return self.absence is not None

    @property
    def is_excused(self) -> bool:
        """Return whether it left its place before it was connected for the first time."""
        return self._is_excused

    @property
    def is_connect_blocked(self) -> bool:
        """Return whether it wants no connection, or a fault keeps it from connecting."""
        return self.absence is not None or super().is_connect_blocked

    @property
    def is_drained(self) -> bool:
        """Return whether nothing more leaves it without another reading."""
        return not self.handed_in and super().is_drained

    @property
    def is_idle(self) -> bool:
        """Return whether nothing waits to be sent or acknowledged."""
        return not self.handed_in and super().is_idle

    @property
    def least_boot(self) -> int:
        """Return the boot that is greater than all of its own, and all that were heard of the real sensor."""
        return max(self.firmware.boot, self._foreign_boot) + 1

    @property
    def needs_watching(self) -> bool:
        """Return whether another connection has to listen to its telemetry: its own does not, or is not there."""
        if self.is_leaving:
            return False
        if self.absence is not None:
            return self.link is None
        if not self.is_online:
            return self._watched
        return not self._is_granted

    def unacknowledged(self) -> list[object]:
        """Return the tokens of what was published and never acknowledged: it may have arrived or not."""
        return [*super().unacknowledged(), *self.handed_in]

    @property
    def away_since_ms(self) -> int | None:
        """Return the devices' time as of which it is away, or is going to be; None where it is not, or is to return."""
        if self._leaves_ms is not None:
            return self._leaves_ms
        return None if self.absence is None or self.is_returning else self.absence.span.from_ms

    def plan_leave(self, at_ms: int) -> None:
        """Take note that it is to `stand_by` as of a device time that has not come."""
        if self.away_since_ms is None:
            self._leaves_ms = at_ms

    def stand_by(self, at_ms: int) -> None:
        """Leave the place, of which all readings before `at_ms` are emitted, until it is told to return."""
        self._leaves_ms = None
        self.give_up_return()
        self.withdraw(BY_REQUEST, at_ms)
        if self.absence is not None:
            self.absence.is_held = True

    def withdraw(self, why: str, at_ms: int | None = None) -> None:
        """Leave the place to a real sensor, as of now or of `at_ms`."""
        if self.absence is not None or self.is_leaving or self.state in (ClientState.LEAVING, ClientState.GONE):
            return
        now_s = self._owner.monotonic_s()
        reached_ms = self._standby_owner.on_withdrawn(self, why)
        span = StandbySpan(
            device_id=self.device.device_id,
            kind=self.device.kind,
            from_ms=reached_ms if at_ms is None else at_ms,
            heard_ms=self._owner.device_time_ms(),
            why=why,
        )
        self.absence = Absence(span, now_s, now_s)
        self.spans.append(span)
        if self.reconnects < 0:
            self.reconnects, self._is_excused = 0, True
        faults = self.link_faults
        if faults is not None and faults.duplicate is not None:
            faults.duplicate.leave()
            faults.duplicate = None

    def begin_leave(self) -> None:
        """Hand in what is there before it is taken out of the fleet."""
        super().begin_leave()
        self._update_watching()

    def on_heard(self) -> None:
        """Take note that the real sensor is there."""
        if self.absence is not None:
            self.absence.heard_s = self._owner.monotonic_s()
            self.absence.span.heard_ms = self._owner.device_time_ms()

    def _note_boot(self, boot: object) -> None:
        """Remember the boot of the real sensor, where it says one."""
        if type(boot) is int and 0 <= boot < MOST_BOOT:
            self._foreign_boot = max(self._foreign_boot, boot)

    def come_back(self, boot: int, at_ms: int) -> None:
        """Return at `at_ms`, which is now; what it measures until its connection has ended is kept, and said then."""
        assert self.absence is not None
        self.absence.pending = PendingReturn(boot, at_ms)
        if self.link is not None:
            self._let_go()
        self._settle_absence()

    def give_up_return(self) -> None:
        """Count what it has measured since it came back as withheld: it is away again before that is said."""
        if self.absence is None or self.absence.pending is None:
            return
        pending, self.absence.pending = self.absence.pending, None
        self._note_boot(pending.boot)
        for reading in pending.readings:
            self._withhold(pending.boot, reading.seq)

    def _complete_pending(self, pending: PendingReturn) -> None:
        self.begin_return(pending.boot, pending.at_ms)
        self.complete_return(pending.at_ms)
        for reading in pending.readings:
            if reading.payload:
                self.handle_reading(reading)
            else:
                self.lose_reading(reading.seq, reading.address)

    def begin_return(self, boot: int, at_ms: int) -> None:
        """Begin the boot in which it returns, whether or not the real sensor is back by now."""
        self.firmware.begin_boot(boot, at_ms, "power_on")

    def complete_return(self, at_ms: int) -> None:
        """Be there again, as a device that is powered on."""
        assert self.absence is not None
        self.absence.span.to_ms, self.absence.span.boot = at_ms, self.firmware.boot
        self.absence = None
        self._lost_s = None
        # Others have had its session since.
        self._subscription = CommandSubscription.NONE
        self._is_granted = False
        # It has lost nothing.
        self._slept = True
        # What waits there, such as commands, was for the real sensor.
        self.session.config = replace(self.session.config, clean_start=True)
        self.request_connect()
        self._update_watching()

    # -- readings

    def handle_reading(self, reading: Reading) -> None:
        """Publish a reading that was taken now, or keep it; one of a real sensor's time is withheld."""
        if self.absence is None:
            super().handle_reading(reading)
        elif (pending := self.absence.pending) is not None:
            pending.readings.append(reading._replace(boot=pending.boot))
        else:
            self._withhold(self.firmware.boot, reading.seq)

    def lose_reading(self, seq: int, address: int) -> None:
        """Count a reading that was taken, and that a fault keeps from being sent."""
        if self.absence is None:
            super().lose_reading(seq, address)
        elif (pending := self.absence.pending) is not None:
            pending.readings.append(Reading(seq, b"", b"", 0, pending.boot, address))
        else:
            self._withhold(self.firmware.boot, seq)

    def _withhold(self, boot: int, seq: int) -> None:
        assert self.absence is not None
        if seq != NO_SEQ:
            self.absence.span.add_withheld(boot, seq)
            self._standby_owner.on_withheld()

    def _publish(self, reading: Reading, *, is_past: bool = False) -> None:
        if not self._is_granted:
            self._own.remember_reading(reading.payload, self._owner.monotonic_s())
        super()._publish(reading, is_past=is_past)

    def publish_control(
        self, message: Publication, properties: Properties | None = None, token: str | None = None
    ) -> None:
        """Publish a status or the result of a command; nothing in a real sensor's time."""
        if self.absence is not None:
            return
        if self.is_online:
            if message.topic == self.status_topic:
                self._own.remember_status(message.payload, self._owner.monotonic_s())
            elif not self._is_granted and message.topic in self.reading_topics:
                self._own.remember_reading(message.payload, self._owner.monotonic_s())
        super().publish_control(message, properties, token)

    # -- what it hears

    def on_heard_elsewhere(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Judge what another connection has heard on a topic of its own: from a real sensor, or from itself."""
        self._judge(topic, payload, retained=retained)
        if self.absence is not None:
            self._settle_absence()

    def on_watching_ended(self) -> None:
        """Take note that the other connection hears nothing for a while."""
        if self.absence is not None:
            self._standby_owner.on_unheard(self)

    def _judge(self, topic: str, payload: bytes, *, retained: bool) -> None:
        # An empty message is none: with it, somebody has the broker forget what was retained.
        if not payload or (not retained and self._is_own(topic, payload)):
            return
        heard = self.wire_format.read_heard(self.device, topic, payload)
        # What is retained may be of long ago, unless it says who has said it; and what is emulated is no sensor's.
        if heard.is_hardware is False or (retained and not heard.is_hardware):
            return
        self._note_boot(heard.boot)
        if heard.is_online is False:
            # Its last will may come after the emulator's return, and stands over the status of that.
            self._is_misjudged = self.absence is None and not retained
            return
        self.on_heard()
        is_reading = heard.is_online is None and topic != self.status_topic
        self.withdraw(BY_MESSAGE if is_reading else BY_STATUS)
        if topic != self.status_topic:
            self._standby_owner.on_foreign_message(self, topic, payload)

    def _is_own(self, topic: str, payload: bytes) -> bool:
        absence, now_s = self.absence, self._owner.monotonic_s()
        if absence is not None and not self.handed_in and now_s - absence.since_s > QUIET_S:
            # It has said nothing for so long that the sensor says the same.
            return False
        if topic == self.status_topic:
            return self._own.take_status(payload, now_s)
        return self._own.is_own_reading(payload)

    def _say_again(self) -> None:
        """Say once more that it is there, where a status or a will of another's says the opposite."""
        self._is_misjudged = False
        status = self.firmware.status("online", self._owner.device_time_ms())
        for message in self.wire_format.status(self.device, status, is_first=False):
            if message.topic == self.status_topic:
                self.publish_control(message, token=STATUS)

    def _on_message(self, message: Message) -> None:
        if message.topic in self.reading_topics:
            # Before SUBACK it is what the session has kept of earlier times.
            if self._is_granted:
                self._judge(message.topic, message.payload, retained=message.retain)
        else:
            super()._on_message(message)

    def _on_subscribed(self, answer: Subscribed) -> None:
        if answer.packet_id != self._packet_id:
            super()._on_subscribed(answer)
            return
        self._packet_id = 0
        self._is_granted = all(code < FAILURE for code in answer.codes)
        self._update_watching()

    def _on_takeover(self) -> None:
        if self.is_duplicated:
            return
        self.withdraw(BY_TAKEOVER)

    # -- its connection

    def request_connect(self, delay_s: float = 0.0) -> None:
        """Ask for a connection, unless one is there or asked for already, or cannot be had."""
        super().request_connect(max(delay_s, LOOK_S) if self.reconnects >= 0 and not self._slept else delay_s)

    def on_events(self, link: Link, events: list[Event]) -> None:
        """Handle what happened on the wire."""
        super().on_events(link, events)
        if self.absence is not None:
            self._settle_absence()

    @property
    def needs_care(self) -> bool:
        """Return whether it does something by itself as time goes on: it watches whether a real sensor is silent."""
        return True

    def tick(self) -> None:
        """Keep the connection alive, let more of the outbox go, fall asleep, leave: some time has passed."""
        super().tick()
        if self.absence is not None:
            self._settle_absence()
        elif self._is_misjudged and self.state is ClientState.ONLINE and self.is_online:
            self._say_again()

    def _on_connected(self, link: Link, *, session_present: bool) -> None:
        if self.absence is not None:
            # It was under way as the real sensor showed itself.
            self.link = link
            self._move(ClientTrigger.ACCEPT)
            self._move(ClientTrigger.CUT)
            link.close()
            return
        self.session.config = replace(self.session.config, clean_start=False)
        self._is_granted = self._is_misjudged = False
        super()._on_connected(link, session_present=session_present)
        sleeps = self.firmware.build.firmware.sleep is not None
        if self.absence is None and link.connected and not sleeps and self.session.version is Version.V5:
            filters = [Subscription(topic, 0, no_local=True) for topic in self.reading_topics]
            try:
                self._packet_id = link.subscribe(filters)
            except SubscribeRefused:
                self._update_watching()
        else:
            self._update_watching()

    def _settle_absence(self) -> None:
        """End the connection once all is said, then hand in what could not be said over it."""
        assert self.absence is not None
        late = self._owner.monotonic_s() - self.absence.since_s >= DRAIN_S
        if self.link is not None and (late or super().is_idle or not self.link.connected):
            self._let_go()
        if self.link is None and not super().is_idle:
            self._hand_in()
        if self.link is None and self.absence.pending is not None:
            self._complete_pending(self.absence.pending)
            return
        self._update_watching()

    def _let_go(self) -> None:
        """End the connection without a word on the status: the broker is told not to publish the will."""
        assert self.link is not None
        if self.state in (ClientState.ONLINE, ClientState.FALLING_ASLEEP):
            self._move(ClientTrigger.CUT)
            self.link.close()

    def _hand_in(self) -> None:
        tokens = self.session.unacknowledged()
        readings: list[Reading] = []
        for publish, token in self.session.take_inflight():
            tokens.remove(token)
            match token:
                case int(seq):
                    readings.append(self._to_reading(publish, self.firmware.boot, seq))
                case (int(boot), int(seq)):
                    readings.append(self._to_reading(publish, boot, seq))
        for token in tokens:
            # At QoS 2 the broker has said that it is there.
            self._count_taken(token)
        outbox = self.firmware.outbox
        while outbox:
            readings.append(outbox.pop())
        for reading in readings:
            self._own.remember_reading(reading.payload, self._owner.monotonic_s())
            if reading.seq != NO_SEQ:
                self.handed_in[reading.boot, reading.seq] = reading
        self._standby_owner.hand_in(self, readings)

    def _to_reading(self, publish: Publish, boot: int, seq: int) -> Reading:
        topic = publish.topic.encode()
        address = self.topics.index(topic) if topic in self.topics else -1
        return Reading(seq, topic, publish.payload, publish.qos, boot, address)

    def options_of(self, reading: Reading) -> PublishOptions | None:
        """Return what its format says of how a reading is published; None where that is plainly."""
        return None if self._options is None or reading.address < 0 else self._options[reading.address]

    def _count_taken(self, token: object) -> None:
        boot, seq = token if isinstance(token, tuple) else (self.firmware.boot, token)
        if isinstance(seq, int) and seq != NO_SEQ:
            self.firmware.on_acknowledged(boot, 1)
            self._standby_owner.on_handed_in()

    def on_handed_in(self, reading: Reading, code: int) -> None:
        """Take the answer to what was handed in; `code` is that of PUBACK, or why it was not sent."""
        if self.handed_in.pop((reading.boot, reading.seq), None) is None:
            return
        if code >= FAILURE:
            self._count_refused(reading.boot, reading.seqs, code)
        elif reading.qos:
            self._count_taken((reading.boot, reading.seq))
        else:
            self.firmware.on_sent_qos0(reading.boot)
            self._owner.on_sent_qos0(1)

    # -- who listens

    def _update_watching(self) -> None:
        if (wanted := self.needs_watching) != self._watched:
            self._watched = wanted
            self._standby_owner.watch_readings(self, wanted)
