"""The life of a session's connections, as a table: nothing else decides what may follow what."""

from enum import Enum, auto

from edgewire.mqtt.errors import IllegalStep


class State(Enum):
    """Where the connection of a session stands."""

    IDLE = auto()
    """There is none."""
    CONNECTING = auto()
    """CONNECT was queued, CONNACK has not come."""
    CONNECTED = auto()
    CLOSED = auto()
    """Spent: what is queued may still leave, nothing more is taken in, and its end is awaited."""


class Step(Enum):
    """What moves it."""

    CONNECT = auto()
    ACCEPT = auto()
    """CONNACK with success."""
    CLOSE = auto()
    """A refusal, a DISCONNECT of either side, a broken protocol, a silent peer."""
    LOSE = auto()
    """The transport is gone."""


_NEXT = {
    (State.IDLE, Step.CONNECT): State.CONNECTING,
    (State.IDLE, Step.LOSE): State.IDLE,
    (State.CONNECTING, Step.ACCEPT): State.CONNECTED,
    (State.CONNECTING, Step.CLOSE): State.CLOSED,
    (State.CONNECTING, Step.LOSE): State.IDLE,
    (State.CONNECTED, Step.CLOSE): State.CLOSED,
    (State.CONNECTED, Step.LOSE): State.IDLE,
    (State.CLOSED, Step.CLOSE): State.CLOSED,
    (State.CLOSED, Step.LOSE): State.IDLE,
}


def after(state: State, step: Step) -> State:
    """The state that follows. Raises `IllegalStep`, which names both, where there is none."""
    following = _NEXT.get((state, step))
    if following is None:
        raise IllegalStep(f"a session that is {state.name} cannot {step.name}: end its connection first")
    return following
