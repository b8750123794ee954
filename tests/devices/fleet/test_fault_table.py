"""The table of the injector is whole: every fault of the calendar that concerns a device or its link has its row."""

from inspect import get_annotations
from typing import get_args

from devices.faults.connection_faults import ConnectionFault
from devices.faults.registry import FAULTS
from devices.fleet.fault_injector import FAULT_ACTIONS


def test_every_fault_of_a_link_begins_and_ends() -> None:
    assert set(FAULT_ACTIONS) == {fault for fault in FAULTS.values() if issubclass(fault, ConnectionFault)}


def test_a_fault_is_handled_by_what_knows_it() -> None:
    for fault, actions in FAULT_ACTIONS.items():
        for action in (actions.begin, actions.end):
            known = list(get_annotations(action).values())[2]
            assert fault in (get_args(known) or (known,)), f"{action.__name__} gets a {fault.__name__}"
