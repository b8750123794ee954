"""Decides when a device comes back after its connection is lost or refused.

Common firmware waits a fixed time before it dials again (ESPHome 5 s, Tasmota 10 s), so all devices of a broker that
went away return together, again and again. Exponential waits with full jitter spread them; see `edgewire.backoff`. A
wait begins anew only when a connection has proved itself: a broker that accepts and soon closes is met ever more
seldom. What the broker says decides too, as in the SDKs of the large platforms, which tell a throttled client from
one with a wrong password; by how much is judgement.
"""

from enum import Enum, auto
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import Field

from edgewire.backoff import Backoff
from edgewire.config import Config, DurationMs


class ReconnectPace(Enum):
    """Names how soon a device comes back, by what the broker said last."""

    USUAL = auto()
    """As the policy has it."""
    SLOW = auto()
    """The broker wants less of this device: as after three failures more, and never at once."""
    SLOWEST = auto()
    """It will say no again until somebody changes something: half of the longest wait at the least."""
    ELSEWHERE = auto()
    """Another server is meant: as usual where the device follows, else as slow as can be."""


SESSION_TAKEN_OVER = 0x8E
SERVER_MOVED = 0x9D
REFERRALS = frozenset({0x9C, SERVER_MOVED})
"""Codes with which a server reference comes."""

_P = ReconnectPace
PACES = MappingProxyType(
    {
        # CONNACK of 3.1.1
        0x01: _P.SLOWEST,  # unacceptable protocol version
        0x02: _P.SLOWEST,  # client identifier rejected
        0x03: _P.USUAL,  # server unavailable
        0x04: _P.SLOWEST,  # bad user name or password
        0x05: _P.SLOWEST,  # not authorized
        # CONNACK and DISCONNECT of 5
        0x84: _P.SLOWEST,  # unsupported protocol version
        0x85: _P.SLOWEST,  # client identifier not valid
        0x86: _P.SLOWEST,  # bad user name or password
        0x87: _P.SLOWEST,  # not authorized
        0x88: _P.USUAL,  # server unavailable
        0x89: _P.SLOW,  # server busy
        0x8A: _P.SLOWEST,  # banned
        0x8B: _P.USUAL,  # server shutting down
        0x8C: _P.SLOWEST,  # bad authentication method
        0x8D: _P.USUAL,  # keep alive timeout
        0x8E: _P.SLOW,  # session taken over
        0x90: _P.SLOWEST,  # topic name invalid: of the will, at CONNECT
        0x93: _P.SLOW,  # receive maximum exceeded
        0x96: _P.SLOW,  # message rate too high
        0x97: _P.SLOW,  # quota exceeded
        0x98: _P.SLOW,  # administrative action
        0x99: _P.SLOWEST,  # payload format invalid
        0x9C: _P.ELSEWHERE,  # use another server
        0x9D: _P.ELSEWHERE,  # server moved
        0x9F: _P.SLOW,  # connection rate exceeded
        0xA0: _P.USUAL,  # maximum connect time
    }
)
"""By reason code; a code that is not here is as the loss of a connection: usual."""

SLOW_AHEAD = 3
"""How many failures ahead of its count a device is that is to slow down."""
SUSPICIOUS = 3
"""So many connections in a row that were used, did not last, and ended without a word, are a sign of another client
with the same id: brokers of 3.1.1, and Mosquitto before 2.0.15, do not say that a session is taken over."""
SUSPICIOUS_ALONE = 2
"""As many are enough where those of the other devices stayed, so that the broker was there all the time."""


class ReconnectConfig(Config):
    """Says how a device comes back after its connection is lost."""

    policy: Literal["exponential", "fixed"] = "exponential"
    """`exponential`: a random part (full jitter) of a wait that doubles from `base` to `cap`. `fixed`: always
    `interval`, as common firmware does, whatever the broker says; a fleet of such devices returns as a storm."""
    base: DurationMs = Field(default=1000, ge=1)
    cap: DurationMs = Field(default=60_000, ge=1)
    interval: DurationMs = Field(default=5000, ge=1)
    """Of the policy `fixed`. ESPHome waits 5 s, Tasmota 10 s."""
    stable: DurationMs = Field(default=10_000, ge=0)
    """A connection proves itself by lasting this long, with a message acknowledged on it; only then do the waits begin
    with `base` again."""
    follow_server_reference: bool = False
    """Whether a device goes where a broker sends it (MQTT 5: `use another server`, `server moved`), with the user,
    password and certificate that it has."""

    def delay_s(self, failures: int, uniform: float, pace: ReconnectPace = ReconnectPace.USUAL) -> float:
        """Return the seconds to wait after so many failures in a row, for a draw in [0, 1)."""
        if self.policy == "fixed":
            return self.interval / 1000
        backoff = Backoff(base_s=self.base / 1000, cap_s=self.cap / 1000)
        if pace is _P.SLOWEST or (pace is _P.ELSEWHERE and not self.follow_server_reference):
            return backoff.cap_s * (1 + uniform) / 2
        if pace is _P.SLOW:
            return backoff.ceiling(failures + SLOW_AHEAD) * (1 + uniform) / 2
        return backoff.delay(failures, uniform)


class ConnectionEnd(NamedTuple):
    """Tells how a connection ended, or an attempt at one."""

    code: int = 0
    """Of CONNACK or DISCONNECT; 0 where the broker said nothing."""
    lasted_s: float = 0.0
    is_acknowledged: bool = False
    """Whether a message was acknowledged on it, or none needed to be."""
    is_unexplained: bool = False
    """Whether broker or network ended it without a word, after the broker had accepted it."""
    choices: int = 1
    """Among how many brokers the device goes round: only a whole round that fails makes the waits longer."""


class Comeback(NamedTuple):
    """Tells when a device comes back, and what it makes of the end of its connection."""

    delay_s: float
    takeovers: int
    """Connections, of this and those before, that another client with the same id seems to have ended."""
    is_cut_short: bool
    """Whether the broker accepts connections and ends them soon, again and again, with nothing done on them."""


class ReconnectState:
    """Counts what did not go well with the last connections of a device."""

    __slots__ = ("brief", "failures", "told")

    def __init__(self) -> None:
        self.failures = 0
        """Connections lost or not made, since one has proved itself."""
        self.brief = 0
        """Of the last ones: those in a row that were used, ended without a word and before they had lasted."""
        self.told = 0
        """Of those: the ones for which another client has been blamed."""

    def plan_comeback(self, config: ReconnectConfig, end: ConnectionEnd, uniform: float) -> Comeback:
        """Return what follows from the end of a connection, for a draw in [0, 1)."""
        lasts = end.lasted_s * 1000 >= config.stable
        if lasts and end.is_acknowledged:
            self.failures = 0
        if end.is_unexplained and not lasts:
            self.brief += 1
        else:
            self.brief = self.told = 0
        takeovers, is_cut_short, pace = 0, False, PACES.get(end.code, _P.USUAL)
        if self.brief >= SUSPICIOUS:
            is_cut_short = not end.is_acknowledged
            if end.is_acknowledged:
                takeovers = self._blame_another()
                pace = PACES[SESSION_TAKEN_OVER]
        delay_s = config.delay_s(self.failures // end.choices, uniform, pace)
        self.failures += 1
        return Comeback(delay_s, takeovers, is_cut_short)

    def on_accepted_again(self, *, was_alone: bool) -> int:
        """Return the takeovers that show as the broker accepts the device again, if its last end `was_alone`."""
        return self._blame_another() if was_alone and self.brief >= SUSPICIOUS_ALONE else 0

    def _blame_another(self) -> int:
        takeovers = self.brief - self.told
        self.told = self.brief
        return takeovers
