"""Carries several devices over one MQTT connection, whoever has it: a gateway, or a device with several parts.

Each that is carried has firmware and a client of its own, and a share of the connection.
"""

from collections.abc import Callable, Iterable
from typing import cast

from devices.faults.base import Fault
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import NO_SEQ
from devices.fleet.client_state import ClientState, ClientTrigger
from devices.fleet.device_client import STATUS, ClientOwner, DeviceClient
from devices.scenario.devices import Device
from devices.timeline.wire_format import WireFormat
from edgewire.link import BrokerUrl, Link
from edgewire.mqtt import FAILURE, Acknowledged, ConnectionLost, Event, Properties, Session

_S, _T = ClientState, ClientTrigger


class CarriedToken:
    """Marks what one that is carried has published."""

    __slots__ = ("client", "token")

    def __init__(self, client: "CarriedClient", token: object) -> None:
        self.client = client
        self.token = token
        """Boot and seq of a reading, or what else `DeviceClient` publishes with."""


class CarriedClient(DeviceClient):
    """Publishes what one has to say that shares a connection."""

    __slots__ = ("_carrier", "status_token", "under_way")

    def __init__(
        self,
        device: Device,
        firmware: Firmware,
        carrier: "CarrierClient",
        owner: ClientOwner,
        uniform: Callable[[], float],
        wire_format: WireFormat,
    ) -> None:
        super().__init__(device, firmware, carrier.session, owner, uniform, carrier.broker, wire_format)
        self._carrier = carrier
        self.speech = carrier.speech
        self.status_token = CarriedToken(self, STATUS)
        self.under_way = 0
        """Messages of QoS 1 and 2 that are published and not acknowledged."""
        # It asks for no connection: it has one whenever its carrier has.
        self._move(_T.PASS_TURN)

    @property
    def carrier(self) -> "CarrierClient":
        """Return the client that has the connection."""
        return self._carrier

    @property
    def inflight(self) -> int:
        """Return how many of its messages are published and not acknowledged."""
        return self.under_way

    def unacknowledged(self) -> list[object]:
        """Return the tokens of what it has published and nobody has acknowledged."""
        if not self.under_way:
            return []
        tokens = self.session.unacknowledged()
        return [one.token for one in tokens if isinstance(one, CarriedToken) and one.client is self]

    def attach(self) -> None:
        """Take part in the connection that the carrier has."""
        link = self._carrier.link
        if self.state is not _S.DISCONNECTED or link is None or not link.connected:
            return
        for trigger in (_T.REQUEST, _T.TAKE_TURN, _T.ACCEPT):
            self._move(trigger)
        self.link = link
        self._connected_since_s = self._owner.monotonic_s()
        self.reconnects = 0

    def detach(self) -> None:
        """Have no part in a connection any more: it has ended, or the device has."""
        if self.link is not None:
            self.link = None
            self._owner.on_detached(self)
            self._move(_T.LOSE)

    def on_answers(self, answers: Iterable[Acknowledged]) -> None:
        """Take what the broker answered to messages of this device."""
        confirmed = earlier = answered = 0
        for answer in answers:
            answered += 1
            token = cast("CarriedToken", answer.token).token
            match token:
                case (int(boot), int(seq)) if boot == self.firmware.boot and answer.reason_code < FAILURE:
                    confirmed += seq != NO_SEQ
                case _:
                    earlier += self._on_answer(answer.reason_code, token)
        self.under_way -= answered
        if confirmed:
            self.firmware.on_acknowledged(self.firmware.boot, confirmed)
        self._owner.on_acknowledged(self, confirmed + earlier, answered)

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
        """Publish over the shared connection, marked with who it is that publishes."""
        if type(token) is int:
            token = (self.firmware.boot, token)
        marked = self.status_token if token == STATUS else CarriedToken(self, token)
        super()._send(link, topic, payload, qos, marked, retain=retain, properties=properties)
        self.under_way += qos > 0

    def withdraw_status(self) -> None:
        """Give up a status that is under way, between two connections: it is out of date."""
        before = self.session.inflight
        self.session.withdraw_inflight(self.status_token)
        self.under_way -= before - self.session.inflight

    # -- what a device with a connection of its own does otherwise

    def request_connect(self, delay_s: float = 0.0) -> None:
        """Take part in the carrier's connection, if there is one."""
        self.attach()

    def request_reconnect(self) -> None:
        """Do the same, where a fault of the device is over."""
        self.attach()

    def drop_connection(self, *, orderly: bool = False) -> None:
        """Let go of the connection, which stays: it is the carrier's."""
        self.detach()


class CarrierClient(DeviceClient):
    """Keeps a connection for several, and gives each of them what is for it."""

    __slots__ = ("_carried", "_fault_counts")

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
        super().__init__(device, firmware, session, owner, uniform, broker, wire_format)
        self._carried: list[CarriedClient] = []
        self._fault_counts: dict[int, int] = {}

    @property
    def carried(self) -> int:
        """Return how many its connection is for."""
        return len(self._carried)

    @property
    def carried_ids(self) -> list[str]:
        """Return the ids of those that its connection is for."""
        return [one.device.device_id for one in self._carried]

    def counts_fault(self, fault: Fault, *, begins: bool) -> bool:
        """Return whether a fault of the connection begins or ends with this: it comes once for each that is carried."""
        before = self._fault_counts.get(id(fault), 0)
        now = before + (1 if begins else -1)
        self._fault_counts[id(fault)] = now
        return (before, now) == (0, 1) or (before, now) == (1, 0)

    def begin_connect(self) -> bool:
        """Return whether it still wants to connect, now that its turn in the connect queue has come."""
        if not super().begin_connect():
            return False
        if self.session.inflight:
            for one in self._carried:
                if one.under_way:
                    one.withdraw_status()
        return True

    def on_events(self, link: Link, events: list[Event]) -> None:
        """Handle what happened on the wire: answers go to those that have published."""
        own: list[Event] = []
        answers: dict[CarriedClient, list[Acknowledged]] = {}
        for event in events:
            if type(event) is Acknowledged and type(event.token) is CarriedToken:
                answers.setdefault(event.token.client, []).append(event)
                self._is_acknowledged = self._is_acknowledged or event.reason_code < FAILURE
            else:
                own.append(event)
        for client, found in answers.items():
            client.on_answers(found)
        if own:
            super().on_events(link, own)

    def disconnect_cleanly(self) -> None:
        """Say goodbye for those that it carries, and for itself."""
        for one in self._carried:
            one.disconnect_cleanly()
        super().disconnect_cleanly()

    def _introduce(self) -> None:
        """Say that it is there, and have those that it carries take part in the connection."""
        super()._introduce()
        if self.is_online and self.state is _S.ONLINE and (self.speech is None or self.speech.may_speak):
            for one in self._carried:
                one.attach()

    def _introduce_again(self) -> None:
        super()._introduce_again()
        for one in self._carried:
            one.publish_status("online")

    def _on_connection_lost(self, link: Link, lost: ConnectionLost) -> None:
        if self.link is link:
            for one in self._carried:
                one.detach()
        super()._on_connection_lost(link, lost)
