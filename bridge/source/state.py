"""The life of the source as a table: nothing else decides what may follow what."""

from enum import Enum, auto

from edgewire.mqtt.errors import IllegalTransition


class SourceState(Enum):
    """Names where the source stands with its session."""

    CONNECTING = auto()
    """There is no connection yet, or none any more: the broker is dialled, again and again."""
    SUBSCRIBING = auto()
    """The broker has accepted us; the answer to SUBSCRIBE has not come."""
    RECEIVING = auto()
    REFUSED = auto()
    """The broker refuses a subscription: the connection is closed, and the next one asks again."""
    RENEWING = auto()
    """Other settings are there: the connection makes way for one that has them, and that is dialled without a wait."""
    DRAINING = auto()
    """No subscription is asked for; what the broker still holds is taken in, over any number of connections."""
    EMPTIED = auto()
    """While draining, the broker turned out to have no session: it holds nothing."""
    STOPPING = auto()
    """Nothing is taken in any more; what was received may still be acknowledged."""
    TAKEN_OVER = auto()
    """Another client has the session."""


class SourceTrigger(Enum):
    """Names what moves it."""

    DIAL = auto()
    """The next connection is about to be made."""
    ACCEPT = auto()
    """CONNACK with success."""
    GRANT = auto()
    """SUBACK that grants every subscription."""
    REFUSE = auto()
    """SUBACK that refuses one, or a broker that does not offer it."""
    LOSE = auto()
    """The connection is gone."""
    TAKE_OVER = auto()
    """DISCONNECT because another client has connected under our name."""
    RENEW = auto()
    """Go on with other settings that take another connection."""
    DRAIN = auto()
    EMPTY = auto()
    """CONNACK without a session, where there is nothing more to be had."""
    STOP = auto()


_S, _T = SourceState, SourceTrigger

TRANSITIONS = {
    (_S.CONNECTING, _T.DIAL): _S.CONNECTING,
    (_S.CONNECTING, _T.ACCEPT): _S.SUBSCRIBING,
    (_S.CONNECTING, _T.LOSE): _S.CONNECTING,
    (_S.CONNECTING, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.CONNECTING, _T.RENEW): _S.RENEWING,
    (_S.CONNECTING, _T.DRAIN): _S.DRAINING,
    (_S.CONNECTING, _T.STOP): _S.STOPPING,
    (_S.SUBSCRIBING, _T.DIAL): _S.CONNECTING,  # a dial that timed out together with CONNACK: LOSE comes a turn later
    (_S.SUBSCRIBING, _T.GRANT): _S.RECEIVING,
    (_S.SUBSCRIBING, _T.REFUSE): _S.REFUSED,
    (_S.SUBSCRIBING, _T.LOSE): _S.CONNECTING,
    (_S.SUBSCRIBING, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.SUBSCRIBING, _T.RENEW): _S.RENEWING,
    (_S.SUBSCRIBING, _T.DRAIN): _S.DRAINING,
    (_S.SUBSCRIBING, _T.STOP): _S.STOPPING,
    (_S.RECEIVING, _T.LOSE): _S.CONNECTING,
    (_S.RECEIVING, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.RECEIVING, _T.RENEW): _S.RENEWING,
    (_S.RECEIVING, _T.DRAIN): _S.DRAINING,
    (_S.RECEIVING, _T.STOP): _S.STOPPING,
    (_S.REFUSED, _T.DIAL): _S.CONNECTING,
    (_S.REFUSED, _T.LOSE): _S.REFUSED,
    (_S.REFUSED, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.REFUSED, _T.RENEW): _S.RENEWING,
    (_S.REFUSED, _T.DRAIN): _S.DRAINING,
    (_S.REFUSED, _T.STOP): _S.STOPPING,
    # Until all that came is acknowledged the old connection goes on as it is, and a dial under way comes to its end.
    (_S.RENEWING, _T.DIAL): _S.CONNECTING,
    (_S.RENEWING, _T.ACCEPT): _S.RENEWING,
    (_S.RENEWING, _T.GRANT): _S.RENEWING,
    (_S.RENEWING, _T.REFUSE): _S.RENEWING,
    (_S.RENEWING, _T.LOSE): _S.RENEWING,
    (_S.RENEWING, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.RENEWING, _T.RENEW): _S.RENEWING,
    (_S.RENEWING, _T.DRAIN): _S.DRAINING,
    (_S.RENEWING, _T.STOP): _S.STOPPING,
    (_S.DRAINING, _T.DIAL): _S.DRAINING,
    (_S.DRAINING, _T.ACCEPT): _S.DRAINING,
    (_S.DRAINING, _T.GRANT): _S.DRAINING,
    (_S.DRAINING, _T.REFUSE): _S.DRAINING,
    (_S.DRAINING, _T.LOSE): _S.DRAINING,
    (_S.DRAINING, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.DRAINING, _T.EMPTY): _S.EMPTIED,
    (_S.DRAINING, _T.STOP): _S.STOPPING,
    (_S.EMPTIED, _T.DIAL): _S.EMPTIED,
    (_S.EMPTIED, _T.ACCEPT): _S.EMPTIED,
    (_S.EMPTIED, _T.LOSE): _S.EMPTIED,
    (_S.EMPTIED, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.EMPTIED, _T.EMPTY): _S.EMPTIED,
    (_S.EMPTIED, _T.STOP): _S.STOPPING,
    (_S.STOPPING, _T.ACCEPT): _S.STOPPING,
    (_S.STOPPING, _T.GRANT): _S.STOPPING,
    (_S.STOPPING, _T.REFUSE): _S.STOPPING,
    (_S.STOPPING, _T.LOSE): _S.STOPPING,
    (_S.STOPPING, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.STOPPING, _T.STOP): _S.STOPPING,
    # `run` raises once the connection is gone. Whoever commands the source may not know of it yet.
    (_S.TAKEN_OVER, _T.LOSE): _S.TAKEN_OVER,
    (_S.TAKEN_OVER, _T.TAKE_OVER): _S.TAKEN_OVER,
    (_S.TAKEN_OVER, _T.RENEW): _S.TAKEN_OVER,
    (_S.TAKEN_OVER, _T.DRAIN): _S.TAKEN_OVER,
    (_S.TAKEN_OVER, _T.STOP): _S.TAKEN_OVER,
}


def next_source_state(state: SourceState, trigger: SourceTrigger) -> SourceState:
    """Return the state that follows. Raises `IllegalTransition`, which names both, where there is none."""
    following = TRANSITIONS.get((state, trigger))
    if following is None:
        raise IllegalTransition(f"a source that is {state.name} cannot {trigger.name}")
    return following
