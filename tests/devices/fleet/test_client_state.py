"""Every state and trigger of a device's client: the table says what rules of three lines each say, and no more."""

from itertools import product

import pytest

from devices.fleet.client_state import (
    TRANSITIONS,
    ClientState,
    ClientTrigger,
    IllegalClientTransition,
    next_client_state,
)

MEANING = {
    ClientState.WAITING: ("on", "queued"),
    ClientState.CONNECTING: ("on", "connecting"),
    ClientState.ONLINE: ("on", "open"),
    ClientState.FALLING_ASLEEP: ("on", "sleep announced"),
    ClientState.CLOSING: ("on", "closing"),
    ClientState.DISCONNECTED: ("on", "none"),
    ClientState.ASLEEP_CLOSING: ("asleep", "closing"),
    ClientState.ASLEEP: ("asleep", "none"),
    ClientState.OFF_WAITING: ("off", "queued"),
    ClientState.OFF_CONNECTING: ("off", "connecting"),
    ClientState.OFF_CLOSING: ("off", "closing"),
    ClientState.OFF: ("off", "none"),
    ClientState.LEAVING: ("gone", "closing"),
    ClientState.GONE: ("gone", "none"),
}
"""What the device wants, and how far its connection is."""

CONNECTED = ("open", "sleep announced", "closing")


def expected(wish: str, phase: str, trigger: ClientTrigger) -> tuple[str, str] | None:
    """What a state means after a trigger; None where the trigger has no place."""
    match trigger:
        case ClientTrigger.REQUEST:
            return ("on", "queued") if (wish, phase) == ("on", "none") else None
        case ClientTrigger.TAKE_TURN:
            return ("on", "connecting") if (wish, phase) == ("on", "queued") else None
        case ClientTrigger.PASS_TURN:
            return (wish, "none") if phase == "queued" else None
        case ClientTrigger.ACCEPT:
            return (wish, "open" if wish == "on" else "closing") if phase == "connecting" else None
        case ClientTrigger.FAIL:
            return (wish, "none" if phase == "connecting" else phase)
        case ClientTrigger.ANNOUNCE_SLEEP:
            return ("on", "sleep announced") if phase == "open" else None
        case ClientTrigger.FALL_ASLEEP:
            return ("asleep", "closing") if phase == "sleep announced" else None
        case ClientTrigger.WAKE:
            return ("on", phase) if wish == "asleep" else None
        case ClientTrigger.CUT:
            return (wish, "closing") if phase in CONNECTED else None
        case ClientTrigger.LOSE:
            return (wish, "none") if phase in CONNECTED else None
        case ClientTrigger.POWER_OFF:
            return ("off", "closing" if phase in CONNECTED else phase) if wish != "gone" else None
        case ClientTrigger.POWER_ON:
            return ("on" if wish == "off" else wish, phase) if wish != "gone" else None
        case ClientTrigger.LEAVE:
            return ("gone", "closing") if phase in ("open", "sleep announced") else None


@pytest.mark.parametrize(("state", "trigger"), list(product(ClientState, ClientTrigger)))
def test_every_trigger_in_every_state(state: ClientState, trigger: ClientTrigger) -> None:
    meant = expected(*MEANING[state], trigger)
    if meant is None:
        assert (state, trigger) not in TRANSITIONS
        with pytest.raises(IllegalClientTransition, match=f"{state.name} cannot {trigger.name}"):
            next_client_state(state, trigger)
    else:
        assert MEANING[next_client_state(state, trigger)] == meant


def test_every_state_is_reached_and_only_the_end_has_no_way_out() -> None:
    reached, found = {ClientState.WAITING}, set[ClientState]()
    while reached != found:
        found = set(reached)
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in found}
    assert reached == set(ClientState)
    ends = {
        state
        for state in ClientState
        if all(after is state for (before, _), after in TRANSITIONS.items() if before is state)
    }
    assert ends == {ClientState.GONE}
