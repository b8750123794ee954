"""The table of a session's states: nothing else decides what may follow what."""

from enum import Enum, auto

from edgewire.mqtt.errors import IllegalTransition


class SessionState(Enum):
    """Says where the connection of a session stands."""

    IDLE = auto()
    """There is none."""
    CONNECTING = auto()
    """CONNECT was queued, CONNACK has not come."""
    CONNECTED = auto()
    CLOSED = auto()
    """Spent: what is queued may still leave, nothing more is taken in, and its end is awaited."""


class Trigger(Enum):
    """Moves a session from one state to the next."""

    CONNECT = auto()
    ACCEPT = auto()
    """CONNACK with success."""
    CLOSE = auto()
    """A refusal, a DISCONNECT of either side, a broken protocol, a silent peer."""
    LOSE = auto()
    """The transport is gone."""


TRANSITIONS = {
    (SessionState.IDLE, Trigger.CONNECT): SessionState.CONNECTING,
    (SessionState.IDLE, Trigger.LOSE): SessionState.IDLE,
    (SessionState.CONNECTING, Trigger.ACCEPT): SessionState.CONNECTED,
    (SessionState.CONNECTING, Trigger.CLOSE): SessionState.CLOSED,
    (SessionState.CONNECTING, Trigger.LOSE): SessionState.IDLE,
    (SessionState.CONNECTED, Trigger.CLOSE): SessionState.CLOSED,
    (SessionState.CONNECTED, Trigger.LOSE): SessionState.IDLE,
    (SessionState.CLOSED, Trigger.CLOSE): SessionState.CLOSED,
    (SessionState.CLOSED, Trigger.LOSE): SessionState.IDLE,
}


def next_state(state: SessionState, trigger: Trigger) -> SessionState:
    """Return the state that follows. Raises `IllegalTransition`, which names both, where there is none."""
    following = TRANSITIONS.get((state, trigger))
    if following is None:
        raise IllegalTransition(f"a session that is {state.name} cannot {trigger.name}: end its connection first")
    return following
