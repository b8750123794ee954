"""The beginnings and ends of faults that a live fleet executes, as a sequence in time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from devices.faults.base import Fault
from devices.faults.plan import FaultPlan
from devices.world.random import Ints


class FaultTransition(NamedTuple):
    """The beginning or the end of a fault at a device."""

    at_ms: int
    position: int
    """Of the device in the timeline."""
    begins: bool
    fault: Fault
    end_ms: int
    bits: int
    """What chances within the fault are drawn from."""


class AffectedGroup(Protocol):
    """Tells what is needed of a group of devices."""

    @property
    def kind(self) -> str: ...

    @property
    def positions(self) -> Ints: ...


def fault_transitions(
    plan: FaultPlan, groups: Sequence[AffectedGroup], from_ms: int, to_ms: int, *, first: bool
) -> Iterable[FaultTransition]:
    """Return what begins and ends in [from_ms, to_ms), in the order of time, ends before beginnings.

    With `first`, what has begun before and is still there begins at `from_ms`.
    """
    return sorted(
        _unordered(plan, groups, from_ms, to_ms, first), key=lambda one: (one.at_ms, one.begins, one.position)
    )


def _unordered(
    plan: FaultPlan, groups: Sequence[AffectedGroup], from_ms: int, to_ms: int, first: bool
) -> Iterator[FaultTransition]:
    for group in groups:
        for assigned in plan.connection_faults(group.kind):
            # A window that ends as this one begins has its end here, and touches [from_ms - 1, to_ms).
            positions, windows = assigned.windows_between(group.positions, from_ms - 1, to_ms)
            for position, start_ms, end_ms in zip(*(part.tolist() for part in (positions, *windows)), strict=True):
                if start_ms >= end_ms:
                    continue
                fault, bits = assigned.fault, assigned.chance_bits(position)
                if first and start_ms < from_ms < end_ms:
                    yield FaultTransition(from_ms, position, True, fault, end_ms, bits)
                elif from_ms <= start_ms < to_ms:
                    yield FaultTransition(start_ms, position, True, fault, end_ms, bits)
                if from_ms <= end_ms < to_ms:
                    yield FaultTransition(end_ms, position, False, fault, end_ms, bits)
