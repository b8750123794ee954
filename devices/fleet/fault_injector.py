"""Carries out what the fault calendar has for devices and their links: resets, dead connections, delays, damage."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from devices.faults.base import Fault
from devices.faults.connection_faults import (
    Corrupt,
    Delay,
    Duplicate,
    HalfOpen,
    Reboot,
    Reorder,
    SilentDeath,
    Takeover,
)
from devices.faults.transitions import FaultTransition
from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_state import DuplicateClient, LinkFaultState
from devices.fleet.gateway_client import MemberClient
from devices.fleet.host_client import PartClient
from devices.fleet.pacer import ScheduledAction
from devices.timeline.timeline import Timeline
from edgewire.mqtt import Session


class FaultTarget(Protocol):
    """Names what faults need of the fleet."""

    timeline: Timeline
    clients: list[DeviceClient]

    def connect_duplicate(self, duplicate: DuplicateClient) -> None: ...


class FaultInjector:
    """Begins and ends faults, each in its turn among the messages."""

    def __init__(self, fleet: FaultTarget) -> None:
        self._fleet = fleet

    def scheduled_actions(self, from_ms: int, to_ms: int, *, first: bool) -> Sequence[ScheduledAction]:
        """Return what happens in this window of time. Touches nothing: the thread that computes ahead calls it."""
        return [
            (one.at_ms, partial(self._apply, one))
            for one in self._fleet.timeline.fault_transitions(from_ms, to_ms, first=first)
        ]

    def _apply(self, transition: FaultTransition) -> None:
        client, row = self._fleet.clients[transition.position], FAULT_ACTIONS[type(transition.fault)]
        # One that is leaving has got over its faults, but for a reset that it may be in.
        if client.is_leaving and not isinstance(transition.fault, Reboot):
            return
        # All of them are of the whole device, whichever part the calendar names.
        if isinstance(client, PartClient) or (row.is_of_link and isinstance(client, MemberClient)):
            if not client.carrier.counts_fault(transition.fault, begins=transition.begins):
                return
            client = client.carrier
        (row.begin if transition.begins else row.end)(self._fleet, client, transition.fault, transition)


def _begin_reboot(_fleet: FaultTarget, client: DeviceClient, _fault: Reboot, _at: FaultTransition) -> None:
    client.power_off()


def _end_reboot(fleet: FaultTarget, client: DeviceClient, fault: Reboot, at: FaultTransition) -> None:
    client.power_on(fleet.timeline.boot_at(at.position, at.end_ms), at.end_ms, fault.reason)


def _begin_silent_death(_fleet: FaultTarget, client: DeviceClient, fault: SilentDeath, _at: FaultTransition) -> None:
    _started_faults(client).drop_count += 1
    client.drop_connection(orderly=fault.how == "fin")


def _end_silent_death(_fleet: FaultTarget, client: DeviceClient, _fault: SilentDeath, _at: FaultTransition) -> None:
    _present_faults(client).drop_count -= 1
    _recover(client)


def _begin_stall(_fleet: FaultTarget, client: DeviceClient, fault: HalfOpen | Duplicate, _at: FaultTransition) -> None:
    faults = _started_faults(client)
    if client.link is not None:
        faults.stalled_link = client.link
        client.link.stall(drop_outgoing=isinstance(fault, HalfOpen))


def _end_stall(_fleet: FaultTarget, client: DeviceClient, _fault: HalfOpen | Duplicate, _at: FaultTransition) -> None:
    faults = _present_faults(client)
    if faults.stalled_link is not None:
        faults.stalled_link.abort()
        faults.stalled_link = None
    _recover(client)


def _begin_delay(_fleet: FaultTarget, client: DeviceClient, _fault: Delay | Reorder, _at: FaultTransition) -> None:
    _started_faults(client).delay_count += 1


def _end_delay(_fleet: FaultTarget, client: DeviceClient, fault: Delay | Reorder, _at: FaultTransition) -> None:
    _present_faults(client).delay_count -= 1
    if isinstance(fault, Reorder):
        client.firmware.outbox.reverse()
    _recover(client)


def _begin_takeover(fleet: FaultTarget, client: DeviceClient, _fault: Takeover, _at: FaultTransition) -> None:
    faults = _started_faults(client)
    # Where a real sensor uses the name, it would be thrown out.
    if not client.is_withdrawn:
        faults.duplicate = _duplicate_of(client)
        fleet.connect_duplicate(faults.duplicate)


def _end_takeover(_fleet: FaultTarget, client: DeviceClient, _fault: Takeover, _at: FaultTransition) -> None:
    faults = _present_faults(client)
    if faults.duplicate is not None:
        faults.duplicate.leave()
        faults.duplicate = None
    _recover(client)


def _begin_corruption(_fleet: FaultTarget, client: DeviceClient, fault: Corrupt, at: FaultTransition) -> None:
    _started_faults(client).begin_corruption(fault, at.bits)


def _end_corruption(_fleet: FaultTarget, client: DeviceClient, fault: Corrupt, at: FaultTransition) -> None:
    _present_faults(client).end_corruption(fault, at.bits)
    _recover(client)


def _started_faults(client: DeviceClient) -> LinkFaultState:
    if client.link_faults is None:
        client.link_faults = LinkFaultState()
    return client.link_faults


def _present_faults(client: DeviceClient) -> LinkFaultState:
    assert client.link_faults is not None  # it has begun
    return client.link_faults


def _recover(client: DeviceClient) -> None:
    """Let a device go on after the end of a fault of its link."""
    if client.link_faults is not None and client.link_faults.is_over:
        client.link_faults = None
    client.request_reconnect()
    client.flush_outbox()


def _duplicate_of(client: DeviceClient) -> DuplicateClient:
    """Return a client of the same name: the same credentials, and a session that is taken up where it was."""
    session = client.session
    return DuplicateClient(client.device, Session(session.config, session.version, session.client_id), client.broker)


FaultAction = Callable[[FaultTarget, DeviceClient, Any, FaultTransition], None]
"""Gets the fleet, the device's client, the fault, and which beginning or end of it this is."""


class FaultActions(NamedTuple):
    """Holds how a fault begins at a device, and how it ends."""

    begin: FaultAction
    end: FaultAction
    is_of_link: bool = False
    """Whether it is done to the connection: that of the gateway, where the device has one."""


FAULT_ACTIONS: Mapping[type[Fault], FaultActions] = MappingProxyType(
    {
        Reboot: FaultActions(_begin_reboot, _end_reboot),
        SilentDeath: FaultActions(_begin_silent_death, _end_silent_death, is_of_link=True),
        HalfOpen: FaultActions(_begin_stall, _end_stall, is_of_link=True),
        Duplicate: FaultActions(_begin_stall, _end_stall, is_of_link=True),
        Delay: FaultActions(_begin_delay, _end_delay),
        Reorder: FaultActions(_begin_delay, _end_delay),
        Takeover: FaultActions(_begin_takeover, _end_takeover, is_of_link=True),
        Corrupt: FaultActions(_begin_corruption, _end_corruption),
    }
)
"""Every fault of a device or its link, and what it does to the device's client."""
