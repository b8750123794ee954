"""The life of the source: every state and trigger is in the table, or refused by name."""

from itertools import product

import pytest

from bridge.source.state import TRANSITIONS, SourceState, SourceTrigger, next_source_state
from edgewire.mqtt import IllegalTransition

ALL = list(product(SourceState, SourceTrigger))
REFUSED = {
    SourceState.CONNECTING: "GRANT REFUSE EMPTY",
    SourceState.SUBSCRIBING: "ACCEPT EMPTY",
    SourceState.RECEIVING: "DIAL ACCEPT GRANT REFUSE EMPTY",
    SourceState.REFUSED: "ACCEPT GRANT REFUSE EMPTY",
    SourceState.RENEWING: "EMPTY",
    SourceState.DRAINING: "RENEW DRAIN",
    SourceState.EMPTIED: "GRANT REFUSE RENEW DRAIN",
    SourceState.STOPPING: "DIAL RENEW DRAIN EMPTY",
    SourceState.TAKEN_OVER: "DIAL ACCEPT GRANT REFUSE EMPTY",
}


@pytest.mark.parametrize(("state", "trigger"), ALL, ids=lambda one: one.name)
def test_every_step_is_in_the_table_or_refused_by_name(state: SourceState, trigger: SourceTrigger) -> None:
    if trigger.name in REFUSED[state].split():
        with pytest.raises(IllegalTransition, match=rf"^a source that is {state.name} cannot {trigger.name}$"):
            next_source_state(state, trigger)
    else:
        assert next_source_state(state, trigger) is TRANSITIONS[state, trigger]


def walk(*triggers: SourceTrigger) -> SourceState:
    state = SourceState.CONNECTING
    for trigger in triggers:
        state = next_source_state(state, trigger)
    return state


def test_the_ways_through_the_table() -> None:
    step = SourceTrigger
    subscribed = (step.DIAL, step.ACCEPT, step.GRANT)
    assert walk(*subscribed) is SourceState.RECEIVING
    assert walk(*subscribed, step.LOSE, *subscribed) is SourceState.RECEIVING
    assert walk(step.DIAL, step.ACCEPT, step.REFUSE, step.LOSE) is SourceState.REFUSED
    assert walk(step.DIAL, step.ACCEPT, step.REFUSE, step.LOSE, *subscribed) is SourceState.RECEIVING
    assert walk(*subscribed, step.RENEW, step.RENEW, step.LOSE, *subscribed) is SourceState.RECEIVING
    assert walk(*subscribed, step.DRAIN, step.LOSE, step.DIAL, step.ACCEPT, step.EMPTY) is SourceState.EMPTIED
    assert walk(*subscribed, step.TAKE_OVER, step.LOSE, step.STOP) is SourceState.TAKEN_OVER
    assert walk(*subscribed, step.DRAIN, step.STOP, step.LOSE, step.STOP) is SourceState.STOPPING


def test_every_state_can_be_reached_and_each_can_be_stopped_or_lost() -> None:
    reached = {SourceState.CONNECTING}
    while more := {following for (state, _), following in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(SourceState)
    for state, trigger in product(SourceState, (SourceTrigger.STOP, SourceTrigger.LOSE, SourceTrigger.TAKE_OVER)):
        assert (state, trigger) in TRANSITIONS
