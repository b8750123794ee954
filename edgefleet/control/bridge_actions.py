"""Carries out what is asked of the bridge behind a run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

from devices.scenario.actions import (
    DrainBridge,
    DropLetters,
    LettersAction,
    PauseBridge,
    ReplayLetters,
    ResumeBridge,
    action_arguments,
)
from edgefleet.control.bridge_client import BridgeClient
from edgewire.run_record import ActionRecord

BridgeAction = PauseBridge | ResumeBridge | DrainBridge | ReplayLetters | DropLetters


async def perform_at_bridge(bridge: BridgeClient, action: BridgeAction, record: ActionRecord) -> ActionRecord:
    """Return the record with what came of an action; raises as the methods of `BridgeClient`."""
    match action:
        case PauseBridge() | ResumeBridge():
            is_pause = isinstance(action, PauseBridge)
            body = {} if action.sink is None else {"sink": action.sink}
            answer = await bridge.change("pause" if is_pause else "resume", body)
            paused = ", ".join(map(str, answer["paused"])) or "no sink"
            done = "paused" if is_pause else "resumed"
            return replace(record, said=f"the bridge: {action.sink or 'all sinks'} {done}; paused now: {paused}")
        case DrainBridge():
            await bridge.change("drain", {})
            return replace(record, said="the bridge takes no new messages, delivers what it has, and ends")
        case ReplayLetters():
            answer = await bridge.change("dead-letters/replay", _choice(action))
            return replace(
                record, messages=answer["messages"], said=f"{answer['replaying']:,} dead letters are tried again"
            )
        case DropLetters():
            answer = await bridge.change("dead-letters/drop", _choice(action))
            return replace(
                record,
                messages=answer["messages"],
                said=f"{answer['dropped']:,} dead letters were dropped: they are lost",
            )
    assert_never(action)


async def read_letters(bridge: BridgeClient, query: Sequence[tuple[str, str]]) -> Any:
    """Return dead letters of the bridge; raises as the methods of `BridgeClient`."""
    return await bridge.read("dead-letters", query)


def _choice(action: LettersAction) -> Mapping[str, Any]:
    return action_arguments(action)
