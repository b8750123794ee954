"""Carries out what the fault calendar has for devices and their links: resets, dead connections, delays, damage."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from devices.faults.connection_faults import Corrupt, Delay, Duplicate, HalfOpen, Reboot, Reorder, SilentDeath, Takeover
from devices.faults.transitions import FaultTransition
from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_state import DuplicateClient, LinkFaultState
from devices.fleet.pacer import ScheduledAction
from devices.sensors.base import boot_number
from devices.timeline.timeline import Timeline
from edgewire.mqtt import Session


class Owner(Protocol):
    """What is needed of the fleet."""

    timeline: Timeline
    connections: list[DeviceClient]

    def connect_duplicate(self, duplicate: DuplicateClient) -> None: ...


class FaultInjector:
    """The beginnings and ends of faults, each in its turn among the messages."""

    def __init__(self, fleet: Owner) -> None:
        self._fleet = fleet

    def scheduled_actions(self, from_ms: int, to_ms: int, *, first: bool) -> Sequence[ScheduledAction]:
        """What happens in this window of time. Touches nothing: it is called in the thread that computes ahead."""
        fleet = self._fleet
        return [
            (one.at_ms, partial(self._begin if one.begins else self._end, fleet.connections[one.position], one))
            for one in fleet.timeline.fault_transitions(from_ms, to_ms, first=first)
        ]

    def _begin(self, connection: DeviceClient, one: FaultTransition) -> None:
        if isinstance(one.fault, Reboot):
            connection.power_off()
            return
        link_faults = connection.link_faults = connection.link_faults or LinkFaultState()
        match one.fault:
            case SilentDeath(how=how):
                link_faults.drop_count += 1
                connection.cut(orderly=how == "fin")
            case HalfOpen() | Duplicate():
                if connection.link is not None:
                    link_faults.stalled_link = connection.link
                    connection.link.stall(drop_outgoing=isinstance(one.fault, HalfOpen))
            case Delay() | Reorder():
                link_faults.delay_count += 1
            case Takeover():
                link_faults.duplicate = _duplicate_of(connection)
                self._fleet.connect_duplicate(link_faults.duplicate)
            case Corrupt():
                link_faults.begin_corruption(one.fault, one.bits)
            case _:
                raise AssertionError(f"{type(one.fault).__name__} is no fault of a link")

    def _end(self, connection: DeviceClient, one: FaultTransition) -> None:
        if isinstance(one.fault, Reboot):
            connection.power_on(boot_number(one.end_ms), one.end_ms, one.fault.reason)
            return
        link_faults = connection.link_faults
        assert link_faults is not None  # it has begun
        match one.fault:
            case SilentDeath():
                link_faults.drop_count -= 1
            case HalfOpen() | Duplicate():
                if link_faults.stalled_link is not None:
                    link_faults.stalled_link.abort()
                    link_faults.stalled_link = None
            case Delay() | Reorder():
                link_faults.delay_count -= 1
                if isinstance(one.fault, Reorder):
                    connection.firmware.outbox.reverse()
            case Takeover():
                if link_faults.duplicate is not None:
                    link_faults.duplicate.leave()
                    link_faults.duplicate = None
            case Corrupt():
                link_faults.end_corruption(one.fault, one.bits)
        if link_faults.is_over:
            connection.link_faults = None
        connection.dial_again()
        connection.flush()


def _duplicate_of(connection: DeviceClient) -> DuplicateClient:
    """Two devices with one name: the same credentials, and a session that is taken up where it was."""
    session = connection.session
    config = replace(session.config, will=None)
    return DuplicateClient(connection.device, Session(config, session.version), connection.broker)
