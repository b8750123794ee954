"""The table of a session's states: every state and trigger is in it or refused, and the session keeps to it."""

from collections.abc import Callable
from itertools import product

import pytest

from edgewire.mqtt import IllegalTransition, PeerFault, Session, SessionConfig, SessionState, Version, encode
from edgewire.mqtt.packets import Connack
from edgewire.mqtt.state import TRANSITIONS, Trigger, next_state

IDLE, CONNECTING, CONNECTED, CLOSED = SessionState
CONNECT, ACCEPT, CLOSE, LOSE = Trigger

REFUSED = {
    (IDLE, ACCEPT),
    (IDLE, CLOSE),
    (CONNECTING, CONNECT),
    (CONNECTED, CONNECT),
    (CONNECTED, ACCEPT),
    (CLOSED, CONNECT),
    (CLOSED, ACCEPT),
}
PAIRS = [pytest.param(*pair, id=f"{pair[0].name}-{pair[1].name}") for pair in product(SessionState, Trigger)]


def session_in(state: SessionState) -> Session:
    session = Session(SessionConfig(client_id="c"))
    if state is not IDLE:
        session.connect(0.0)
    if state in (CONNECTED, CLOSED):
        session.receive(encode(Connack(), Version.V5), 0.0)
    if state is CLOSED:
        session.disconnect()
    assert session.state is state
    return session


@pytest.mark.parametrize(("state", "trigger"), PAIRS)
def test_every_pair_is_in_the_table_or_refused(state: SessionState, trigger: Trigger) -> None:
    assert ((state, trigger) in TRANSITIONS) is ((state, trigger) not in REFUSED)
    if (state, trigger) in TRANSITIONS:
        assert next_state(state, trigger) is TRANSITIONS[state, trigger]
    else:
        with pytest.raises(IllegalTransition, match=f"{state.name} cannot {trigger.name}"):
            next_state(state, trigger)


def test_from_every_state_every_other_is_reached_and_every_connection_can_end() -> None:
    for start in SessionState:
        reached = {start}
        for _ in SessionState:
            reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
        assert reached == set(SessionState)
        assert next_state(start, LOSE) is IDLE


OWNER: dict[Trigger, Callable[[Session], object]] = {
    CONNECT: lambda session: session.connect(1.0),
    CLOSE: lambda session: session.disconnect(),
    LOSE: lambda session: session.connection_lost(),
}
"""What the owner of a session does; CONNACK is the server's."""


@pytest.mark.parametrize(("state", "trigger"), [pair for pair in PAIRS if pair.values[1] in OWNER])
def test_a_session_does_what_the_table_says_and_keeps_its_state_where_it_refuses(
    state: SessionState, trigger: Trigger
) -> None:
    session = session_in(state)
    if (state, trigger) in TRANSITIONS:
        OWNER[trigger](session)
        assert session.state is TRANSITIONS[state, trigger]
    else:
        with pytest.raises(IllegalTransition, match=f"{state.name} cannot {trigger.name}"):
            OWNER[trigger](session)
        assert session.state is state


@pytest.mark.parametrize("state", SessionState)
def test_connack_is_taken_where_the_table_has_it(state: SessionState) -> None:
    session = session_in(state)
    connack = encode(Connack(), Version.V5)
    if state is CONNECTED:
        with pytest.raises(PeerFault, match="CONNACK, which it may not do here"):
            session.receive(connack, 1.0)
        assert session.state is CLOSED, "a broken protocol closes"
    else:
        session.receive(connack, 1.0)
        assert session.state is TRANSITIONS.get((state, ACCEPT), state)


@pytest.mark.parametrize("state", [CONNECTING, CONNECTED, CLOSED])
def test_the_version_changes_between_connections_only(state: SessionState) -> None:
    session = session_in(state)
    with pytest.raises(IllegalTransition, match=f"{state.name} cannot change its version"):
        session.set_version(Version.V311)
    session.connection_lost()
    session.set_version(Version.V311)
    assert session.version is Version.V311
