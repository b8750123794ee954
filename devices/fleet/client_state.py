"""Holds the life of a device's client as a table: nothing else decides what may follow what.

A state tells two things: what the device wants (to be connected, to sleep, to be off), and how far its connection is. A
device that goes off while it waits or connects keeps its place until the turn or attempt is over, and a connection is
there until its end is reported, whoever has ended it.
"""

from enum import Enum, auto

from edgewire.errors import EdgefleetError


class ClientState(Enum):
    """Names where a device's client stands."""

    WAITING = auto()
    """It stands in the connect queue; every device begins here."""
    CONNECTING = auto()
    """Its turn has come, and the broker has not accepted it yet."""
    ONLINE = auto()
    FALLING_ASLEEP = auto()
    """It has announced that it sleeps, and waits for the acknowledgement."""
    CLOSING = auto()
    """Its connection was ended on this side; it wants another one once the end is reported."""
    DISCONNECTED = auto()
    """It has no connection and none is asked for, as where a fault keeps it from connecting."""
    ASLEEP_CLOSING = auto()
    """It sleeps, and the end of its connection is not reported yet."""
    ASLEEP = auto()
    OFF_WAITING = auto()
    """It is switched off, during a reset, with a turn in the connect queue."""
    OFF_CONNECTING = auto()
    OFF_CLOSING = auto()
    OFF = auto()
    LEAVING = auto()
    """It has said goodbye; the end of its connection is not reported yet."""
    GONE = auto()


class ClientTrigger(Enum):
    """Names what moves it."""

    REQUEST = auto()
    """It asks for a connection."""
    TAKE_TURN = auto()
    """Its turn in the connect queue has come, and it connects."""
    PASS_TURN = auto()
    """Its turn has come, but it wants no connection or can have none."""
    ACCEPT = auto()
    """The broker has accepted it."""
    FAIL = auto()
    """The attempt has failed. The broker may have accepted it at the last moment all the same: then the link tells."""
    ANNOUNCE_SLEEP = auto()
    FALL_ASLEEP = auto()
    """All that it has said is acknowledged, and it disconnects."""
    WAKE = auto()
    CUT = auto()
    """The connection is ended on this side without a goodbye."""
    LOSE = auto()
    """The end of the connection is reported, whoever ended it."""
    POWER_OFF = auto()
    POWER_ON = auto()
    """It begins a boot, also where another reset has done so before."""
    LEAVE = auto()
    """It says goodbye for good."""


class IllegalClientTransition(EdgefleetError):
    """Raised where the fleet calls something out of turn: a mistake in the program."""


_S, _T = ClientState, ClientTrigger

TRANSITIONS = {
    (_S.WAITING, _T.TAKE_TURN): _S.CONNECTING,
    (_S.WAITING, _T.PASS_TURN): _S.DISCONNECTED,
    (_S.WAITING, _T.FAIL): _S.WAITING,
    (_S.WAITING, _T.POWER_OFF): _S.OFF_WAITING,
    (_S.WAITING, _T.POWER_ON): _S.WAITING,
    (_S.CONNECTING, _T.ACCEPT): _S.ONLINE,
    (_S.CONNECTING, _T.FAIL): _S.DISCONNECTED,
    (_S.CONNECTING, _T.POWER_OFF): _S.OFF_CONNECTING,
    (_S.CONNECTING, _T.POWER_ON): _S.CONNECTING,
    (_S.ONLINE, _T.ANNOUNCE_SLEEP): _S.FALLING_ASLEEP,
    (_S.ONLINE, _T.FAIL): _S.ONLINE,
    (_S.ONLINE, _T.CUT): _S.CLOSING,
    (_S.ONLINE, _T.LOSE): _S.DISCONNECTED,
    (_S.ONLINE, _T.POWER_OFF): _S.OFF_CLOSING,
    (_S.ONLINE, _T.POWER_ON): _S.ONLINE,
    (_S.ONLINE, _T.LEAVE): _S.LEAVING,
    (_S.FALLING_ASLEEP, _T.FALL_ASLEEP): _S.ASLEEP_CLOSING,
    (_S.FALLING_ASLEEP, _T.FAIL): _S.FALLING_ASLEEP,
    (_S.FALLING_ASLEEP, _T.CUT): _S.CLOSING,
    (_S.FALLING_ASLEEP, _T.LOSE): _S.DISCONNECTED,
    (_S.FALLING_ASLEEP, _T.POWER_OFF): _S.OFF_CLOSING,
    (_S.FALLING_ASLEEP, _T.POWER_ON): _S.FALLING_ASLEEP,
    (_S.FALLING_ASLEEP, _T.LEAVE): _S.LEAVING,
    (_S.CLOSING, _T.FAIL): _S.CLOSING,
    (_S.CLOSING, _T.CUT): _S.CLOSING,
    (_S.CLOSING, _T.LOSE): _S.DISCONNECTED,
    (_S.CLOSING, _T.POWER_OFF): _S.OFF_CLOSING,
    (_S.CLOSING, _T.POWER_ON): _S.CLOSING,
    (_S.DISCONNECTED, _T.REQUEST): _S.WAITING,
    (_S.DISCONNECTED, _T.FAIL): _S.DISCONNECTED,
    (_S.DISCONNECTED, _T.POWER_OFF): _S.OFF,
    (_S.DISCONNECTED, _T.POWER_ON): _S.DISCONNECTED,
    (_S.ASLEEP_CLOSING, _T.WAKE): _S.CLOSING,
    (_S.ASLEEP_CLOSING, _T.FAIL): _S.ASLEEP_CLOSING,
    (_S.ASLEEP_CLOSING, _T.CUT): _S.ASLEEP_CLOSING,
    (_S.ASLEEP_CLOSING, _T.LOSE): _S.ASLEEP,
    (_S.ASLEEP_CLOSING, _T.POWER_OFF): _S.OFF_CLOSING,
    (_S.ASLEEP_CLOSING, _T.POWER_ON): _S.ASLEEP_CLOSING,
    (_S.ASLEEP, _T.WAKE): _S.DISCONNECTED,
    (_S.ASLEEP, _T.FAIL): _S.ASLEEP,
    (_S.ASLEEP, _T.POWER_OFF): _S.OFF,
    (_S.ASLEEP, _T.POWER_ON): _S.ASLEEP,
    (_S.OFF_WAITING, _T.PASS_TURN): _S.OFF,
    (_S.OFF_WAITING, _T.FAIL): _S.OFF_WAITING,
    (_S.OFF_WAITING, _T.POWER_OFF): _S.OFF_WAITING,
    (_S.OFF_WAITING, _T.POWER_ON): _S.WAITING,
    (_S.OFF_CONNECTING, _T.ACCEPT): _S.OFF_CLOSING,
    (_S.OFF_CONNECTING, _T.FAIL): _S.OFF,
    (_S.OFF_CONNECTING, _T.POWER_OFF): _S.OFF_CONNECTING,
    (_S.OFF_CONNECTING, _T.POWER_ON): _S.CONNECTING,
    (_S.OFF_CLOSING, _T.FAIL): _S.OFF_CLOSING,
    (_S.OFF_CLOSING, _T.CUT): _S.OFF_CLOSING,
    (_S.OFF_CLOSING, _T.LOSE): _S.OFF,
    (_S.OFF_CLOSING, _T.POWER_OFF): _S.OFF_CLOSING,
    (_S.OFF_CLOSING, _T.POWER_ON): _S.CLOSING,
    (_S.OFF, _T.FAIL): _S.OFF,
    (_S.OFF, _T.POWER_OFF): _S.OFF,
    (_S.OFF, _T.POWER_ON): _S.DISCONNECTED,
    (_S.LEAVING, _T.FAIL): _S.LEAVING,
    (_S.LEAVING, _T.CUT): _S.LEAVING,
    (_S.LEAVING, _T.LOSE): _S.GONE,
    (_S.GONE, _T.FAIL): _S.GONE,
}


def next_client_state(state: ClientState, trigger: ClientTrigger) -> ClientState:
    """Return the state that follows. Raises `IllegalClientTransition`, which names both, where there is none."""
    following = TRANSITIONS.get((state, trigger))
    if following is None:
        raise IllegalClientTransition(f"a device that is {state.name} cannot {trigger.name}")
    return following
