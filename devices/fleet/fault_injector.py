"""Carries out what the fault calendar has for devices and their links: resets, dead connections, delays, damage."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from devices.faults.connection_faults import Corrupt, Delay, Duplicate, HalfOpen, Reboot, Reorder, SilentDeath, Takeover
from devices.faults.transitions import FaultTransition
from devices.fleet.device_client import DeviceConnection
from devices.fleet.fault_state import Impostor, Trouble
from devices.fleet.pacer import Planned
from devices.sensors.base import boot_number
from devices.timeline.timeline import Timeline
from edgewire.mqtt import Session


class Owner(Protocol):
    """What is needed of the fleet."""

    timeline: Timeline
    connections: list[DeviceConnection]

    def dial_impostor(self, impostor: Impostor) -> None: ...


class Mishaps:
    """The beginnings and ends of faults, each in its turn among the messages."""

    def __init__(self, fleet: Owner) -> None:
        self._fleet = fleet

    def foresee(self, from_ms: int, to_ms: int, *, first: bool) -> Sequence[Planned]:
        """What happens in this window of time. Touches nothing: it is called in the thread that computes ahead."""
        fleet = self._fleet
        return [
            (one.at_ms, partial(self._begin if one.begins else self._end, fleet.connections[one.position], one))
            for one in fleet.timeline.fault_transitions(from_ms, to_ms, first=first)
        ]

    def _begin(self, connection: DeviceConnection, one: FaultTransition) -> None:
        if isinstance(one.fault, Reboot):
            connection.power_off()
            return
        trouble = connection.trouble = connection.trouble or Trouble()
        match one.fault:
            case SilentDeath(how=how):
                trouble.deaths += 1
                connection.cut(orderly=how == "fin")
            case HalfOpen() | Duplicate():
                if connection.link is not None:
                    trouble.hung = connection.link
                    connection.link.stall(drop_outgoing=isinstance(one.fault, HalfOpen))
            case Delay() | Reorder():
                trouble.holds += 1
            case Takeover():
                trouble.impostor = _impostor(connection)
                self._fleet.dial_impostor(trouble.impostor)
            case Corrupt():
                trouble.begin_corruption(one.fault, one.bits)
            case _:
                raise AssertionError(f"{type(one.fault).__name__} is no fault of a link")

    def _end(self, connection: DeviceConnection, one: FaultTransition) -> None:
        if isinstance(one.fault, Reboot):
            connection.power_on(boot_number(one.end_ms), one.end_ms, one.fault.reason)
            return
        trouble = connection.trouble
        assert trouble is not None  # it has begun
        match one.fault:
            case SilentDeath():
                trouble.deaths -= 1
            case HalfOpen() | Duplicate():
                if trouble.hung is not None:
                    trouble.hung.abort()
                    trouble.hung = None
            case Delay() | Reorder():
                trouble.holds -= 1
                if isinstance(one.fault, Reorder):
                    connection.firmware.outbox.reverse()
            case Takeover():
                if trouble.impostor is not None:
                    trouble.impostor.leave()
                    trouble.impostor = None
            case Corrupt():
                trouble.end_corruption(one.fault, one.bits)
        if trouble.is_over:
            connection.trouble = None
        connection.dial_again()
        connection.flush()


def _impostor(connection: DeviceConnection) -> Impostor:
    """Two devices with one name: the same credentials, and a session that is taken up where it was."""
    session = connection.session
    config = replace(session.config, will=None)
    return Impostor(connection.device, Session(config, session.version), connection.broker)
