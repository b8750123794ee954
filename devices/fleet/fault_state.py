"""Holds what is wrong with the link of one device at the moment. Most devices never have any of this."""

from zlib import crc32

from devices.faults.connection_faults import Corrupt
from devices.firmware.outbox import NO_SEQ, Reading
from devices.firmware.vitals import draw
from devices.scenario.devices import Device
from edgewire.link import BrokerUrl, Link
from edgewire.mqtt import Connected, ConnectionLost, Event, Session


class LinkFaultState:
    """Counts the faults that a link has now; several may be there at once."""

    __slots__ = ("_corruption", "delay_count", "drop_count", "duplicate", "stalled_link")

    def __init__(self) -> None:
        self.drop_count = 0
        """Faults that keep the device from connecting."""
        self.delay_count = 0
        """Faults that keep its messages in the device."""
        self.stalled_link: Link | None = None
        """A connection that stands and is of no use."""
        self.duplicate: DuplicateClient | None = None
        """Another client with the name of the device."""
        self._corruption: list[tuple[Corrupt, int]] = []

    @property
    def is_over(self) -> bool:
        """Return whether nothing is wrong any more."""
        return not (self.drop_count or self.delay_count or self.stalled_link or self.duplicate or self._corruption)

    def begin_corruption(self, fault: Corrupt, bits: int) -> None:
        """Damage payloads from now on, by chances drawn from `bits`."""
        self._corruption.append((fault, bits))

    def end_corruption(self, fault: Corrupt, bits: int) -> None:
        """End what `begin_corruption` with the same arguments has begun."""
        self._corruption.remove((fault, bits))

    def corrupts(self, reading: Reading) -> bool:
        """Return whether this message is damaged; `AssignedFault.struck_messages` tells the same of many.

        What goes with a reading, and has no number, has a chance of its own.
        """
        what = crc32(reading.payload) if reading.seq == NO_SEQ else reading.seq
        return any(draw(bits, reading.boot, what) < fault.chance for fault, bits in self._corruption)

    def corrupt(self, reading: Reading) -> bytes:
        """Return what is left of its payload: never JSON, and never text."""
        payload = reading.payload
        place = 1 + reading.seq % max(1, len(payload) - 1)
        if reading.seq % 2:
            return payload[:place] + b"\xff"
        return payload[:place] + b"\xff" + payload[place + 1 :]

    def end_all(self) -> None:
        """End what holds a connection: the run is over, and what is there is handed in."""
        if self.stalled_link is not None:
            self.stalled_link.abort()
        if self.duplicate is not None:
            self.duplicate.leave()


class DuplicateClient:
    """Connects under a device's name, as another client, and stays until it is thrown out in turn."""

    def __init__(self, device: Device, session: Session, broker: BrokerUrl) -> None:
        self.device = device
        self.session = session
        self.broker = broker
        self._link: Link | None = None
        self._is_wanted = True

    def begin_connect(self) -> bool:
        """Return whether it still wants to connect, now that its turn in the connect queue has come."""
        return self._is_wanted

    def on_events(self, link: Link, events: list[Event]) -> None:
        """Handle what happened on the wire; what is published to the device's own topics is lost here."""
        for event in events:
            if isinstance(event, Connected):
                self._link = link
                if not self._is_wanted:
                    link.close()
            elif isinstance(event, ConnectionLost):
                self._link = None

    def leave(self) -> None:
        """End the connection, if the device has not already."""
        self._is_wanted = False
        if self._link is not None:
            self._link.close()
