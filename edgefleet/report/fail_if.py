"""Reads and judges `--fail-if`: a condition over the numbers of a run, such as `lost>0 or p99_ms>50`.

The language is comparisons joined by `and`, `or`, `not` and parentheses; nothing of it is run as a program. A number
that a run has not makes a condition undecided, and an undecided condition fails: silence is no success.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from operator import eq, ge, gt, le, lt, ne

from devices.fleet.latency import ENOUGH, Histogram
from devices.fleet.metrics import FleetSnapshot
from edgewire.errors import ConfigError
from edgewire.run_record import RunRecord

LONGEST = 1000
DEEPEST = 20

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d[\d_]*\.?\d*(?:[eE][+-]?\d+)?)(?P<percent>%?)|(?P<name>[A-Za-z_]\w*)|(?P<sign><=|>=|==|!=|[<>()]))"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge, "==": eq, "!=": ne}


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """Holds what a condition may ask of a run that is over."""

    record: RunRecord
    final: FleetSnapshot

    @property
    def devices(self) -> int:
        """Return how many devices there were, also those of parts that are missing."""
        return self.final.devices + sum(len(part.device_ids) for part in self.record.unaccounted)


Number = float | str
"""A number, or the reason why there is none."""


def _share(part: float, whole: float, of: str) -> Number:
    return part / whole if whole else f"there was no {of}"


def _percentile(read: Callable[[FleetSnapshot], Histogram], percent: int) -> Callable[[RunNumbers], Number]:
    def percentile(run: RunNumbers) -> Number:
        histogram = read(run.final)
        value = histogram.sound_percentile_ms(percent)
        return f"it takes {ENOUGH[percent]} values and there are {histogram.total:,}" if value is None else value

    return percentile


NUMBERS: dict[str, tuple[str, Callable[[RunNumbers], Number]]] = {
    "devices": ("devices of the run", lambda run: run.devices),
    "connected": (
        "share of the devices, 0 to 1, that were connected at the end, or wanted no connection",
        lambda run: _share(run.final.devices - run.final.not_connected, run.devices, "device"),
    ),
    "never_connected": ("devices that never connected", lambda run: run.final.unconnected),
    "emitted": ("messages that the devices had to send", lambda run: run.final.emitted),
    "acknowledged": ("messages that the broker acknowledged", lambda run: run.final.acknowledged),
    "sent_qos0": ("messages sent at QoS 0", lambda run: run.final.sent_qos0),
    "lost": (
        "messages refused, dropped, unsent or never acknowledged, also by faults of the scenario",
        lambda run: run.final.lost,
    ),
    "lost_ratio": (
        "the same as a share of those emitted, 0 to 1",
        lambda run: _share(run.final.lost, run.final.emitted, "message"),
    ),
    "refused": ("messages that the broker refused", lambda run: run.final.refused),
    "dropped": ("messages dropped by full outboxes, faults or resets", lambda run: run.final.dropped),
    "dropped_by_fault": ("of those: by faults or resets", lambda run: run.final.dropped_by_fault),
    "unsent": ("messages still in outboxes at the end", lambda run: run.final.unsent),
    "unacknowledged": ("messages sent and never acknowledged", lambda run: run.final.unacknowledged),
    "reconnects": ("connections made again after a loss", lambda run: run.final.reconnects),
    "failed_dials": ("dials that led to no connection", lambda run: run.final.failed_dials),
    "refused_dials": ("connections that the broker refused", lambda run: run.final.incidents.connects_refused.total()),
    "server_disconnects": (
        "connections that the broker ended with a DISCONNECT",
        lambda run: run.final.incidents.server_disconnects.total(),
    ),
    "takeovers": (
        "connections that another client with the same id ended",
        lambda run: run.final.incidents.takeovers.events,
    ),
    "withdrawals": (
        "times that an emulator in standby left its place to a real sensor",
        lambda run: run.final.incidents.withdrawals.total(),
    ),
    "subscribes_refused": (
        "subscriptions to commands that the broker refused",
        lambda run: run.final.incidents.subscribes_refused.total(),
    ),
    "ignored": ("things from the broker that devices did not heed", lambda run: run.final.incidents.ignored.total()),
    "failures": (
        "parts of the run that ended before their time, such as workers",
        lambda run: len(run.record.failures),
    ),
    "connected_after_s": (
        "seconds until every device had been connected once",
        lambda run: (
            "not every device was connected" if run.record.connected_after_s is None else run.record.connected_after_s
        ),
    ),
    **{
        f"{prefix}p{percent}_ms": (f"{what}, {percent} % within", _percentile(read, percent))
        for prefix, what, read in (
            ("", "ms from PUBLISH to PUBACK", lambda final: final.puback),
            ("lag_", "ms from when a message was due until it was handed to its connection", lambda final: final.lag),
            ("connack_", "ms from a dial to its CONNACK", lambda final: final.connack),
        )
        for percent in ENOUGH
    },
}
"""Name -> what it means, and how it is read."""


@dataclass(frozen=True, slots=True)
class ConditionOutcome:
    """Tells whether a condition holds, None where a number is missing for that; and which comparisons made it so."""

    holds: bool | None
    reasons: tuple[str, ...] = ()


Evaluate = Callable[[RunNumbers], ConditionOutcome]


class FailCondition:
    """Holds a condition under which a run fails; raises `ConfigError` for a text that is none."""

    def __init__(self, text: str, option: str = "--fail-if") -> None:
        self.text = text
        self._option = option
        if len(text) > LONGEST:
            raise ConfigError(f"{option}: is longer than {LONGEST} characters; say it in fewer")
        self._tokens = list(self._split(text))
        self._at = 0
        self._evaluate = self._parse_or(0)
        if self._at < len(self._tokens):
            raise self._wrong(f"'{self._tokens[self._at]}' follows a whole condition; join two by 'and' or 'or'")

    def find_failure(self, run: RunNumbers) -> str | None:
        """Return the sentence that says why the run fails, with the numbers; None where it does not."""
        outcome = self._evaluate(run)
        if outcome.holds is False:
            return None
        why = "; ".join(outcome.reasons) or "it always holds"
        if outcome.holds is None:
            return f"'{self._option} {self.text}' cannot be decided, which counts as a failure: {why}"
        return f"'{self._option} {self.text}' holds: {why}"

    def _split(self, text: str) -> Iterator[str]:
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                rest = text[at:].strip()
                hint = "; write == to compare" if rest.startswith("=") else ""
                raise self._wrong(f"'{rest[:20]}' is neither a name, a number nor one of < <= > >= == != ( ){hint}")
            at = match.end()
            yield match.group().strip()

    def _next(self) -> str:
        """Return the next token without taking it; empty at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _parse_or(self, depth: int) -> Evaluate:
        parts = [self._parse_and(depth)]
        while self._next() == "or":
            self._at += 1
            parts.append(self._parse_and(depth))
        return parts[0] if len(parts) == 1 else lambda run: _joined([part(run) for part in parts], decides=True)

    def _parse_and(self, depth: int) -> Evaluate:
        parts = [self._parse_not(depth)]
        while self._next() == "and":
            self._at += 1
            parts.append(self._parse_not(depth))
        return parts[0] if len(parts) == 1 else lambda run: _joined([part(run) for part in parts], decides=False)

    def _parse_not(self, depth: int) -> Evaluate:
        if depth > DEEPEST:
            raise self._wrong(f"is nested more than {DEEPEST} deep; say it in fewer parentheses")
        if self._next() == "not":
            self._at += 1
            inner = self._parse_not(depth + 1)
            return lambda run: _negated(inner(run))
        if self._next() == "(":
            self._at += 1
            inner = self._parse_or(depth + 1)
            if self._next() != ")":
                raise self._wrong("a '(' is not closed")
            self._at += 1
            return inner
        return self._parse_comparison()

    def _parse_comparison(self) -> Evaluate:
        left, read_left = self._parse_operand()
        sign = self._next()
        if sign not in _COMPARE:
            raise self._wrong(f"after '{left}' stands {_quoted(sign)}, where one of {' '.join(_COMPARE)} is needed")
        self._at += 1
        right, read_right = self._parse_operand()
        compare = _COMPARE[sign]

        def evaluate(run: RunNumbers) -> ConditionOutcome:
            first, second = read_left(run), read_right(run)
            values = [(left, first), (right, second)]
            missing = tuple(f"there is no {name}: {value}" for name, value in values if isinstance(value, str))
            if isinstance(first, str) or isinstance(second, str):
                return ConditionOutcome(None, missing)
            said = " and ".join(f"{name} is {value:.10g}" for name, value in values if name in NUMBERS)
            return ConditionOutcome(compare(first, second), (said,) if said else ())

        return evaluate

    def _parse_operand(self) -> tuple[str, Callable[[RunNumbers], Number]]:
        token = self._next()
        self._at += 1
        if token[:1].isdigit():
            value = float(token.rstrip("%").replace("_", "")) / (100 if token.endswith("%") else 1)
            return token, lambda _: value
        if token in NUMBERS:
            return token, NUMBERS[token][1]
        if not token or token in ("and", "or", "not") or not token[0].isidentifier():
            raise self._wrong(f"{_quoted(token)} stands where a name or a number is needed")
        close = get_close_matches(token.lower(), NUMBERS, n=1)
        meant = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(NUMBERS)}"
        raise self._wrong(f"'{token}' is no number of a run; {meant}")

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"{self._option} '{self.text}': {what}")


def _joined(outcomes: list[ConditionOutcome], *, decides: bool) -> ConditionOutcome:
    """Return the outcome of several, of which one that is `decides` decides: true for `or`, false for `and`."""
    deciding = [one for one in outcomes if one.holds is decides]
    undecided = [one for one in outcomes if one.holds is None]
    holds = decides if deciding else None if undecided else not decides
    told = deciding or undecided or outcomes
    return ConditionOutcome(holds, tuple(reason for one in told for reason in one.reasons))


def _negated(outcome: ConditionOutcome) -> ConditionOutcome:
    return ConditionOutcome(None if outcome.holds is None else not outcome.holds, outcome.reasons)


def _quoted(token: str) -> str:
    return f"'{token}'" if token else "nothing"
