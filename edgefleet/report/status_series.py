"""Keeps how a run was, over its time: the file `status.jsonl` in its folder, of JSON objects, one a line.

The first line is a head, which says whose it is. Each other line is `{"state": …}`, what `/v1/status` told at a moment
less what never changes or is of one process, or `{"event": …}`, what happened, in words. A line is added every second,
so that a run that is killed leaves all but its last one. Where there are too many, neighbours are merged: of a day
there are a few hundred states that stand for minutes each, and the last minutes second by second.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edgewire.config import describe_error
from edgewire.errors import ConfigError

FILE_NAME = "status.jsonl"
FORMAT = 1
MOST_STATES = 1500
"""That a file has; of more, neighbours are merged until there are half as many."""
RECENT = 300
"""Of these the newest, second by second."""
MOST_EVENTS = 1000
"""The newest ones."""
MOST_BYTES = 8 << 20
MOST_READ = 64 << 20
"""Bytes beyond which a file is none that a run has written."""
FINEST_MS = 1000
LONGEST_TEXT = 2000
"""Characters of an event."""

OF_HEAD = ("run_id", "scenario", "brokers", "broker_is_embedded")
"""What never changes while a run goes on."""
_LEFT_OUT = {*OF_HEAD, "record", "processes"}

_RATES = ("sent_per_s", "emitted_per_s")
_BRIDGE_RATES = ("received_per_s",)
_SINK_RATES = ("delivered_per_s", "retries_per_s")
_STORE_RATES = ("stored_per_s",)
_LATENCIES = ("lag_ms", "puback_ms")
_BREAKERS = ("closed", "half-open", "open")

Count = Annotated[int, Field(ge=0, le=1 << 48)]
"""Of this, and of rates, there is a largest one, so that JSON can hold what is made of many."""
Rate = Annotated[float, Field(ge=0, le=1e15)]


class _Moment(BaseModel):
    """Is looked at and kept as it came: so a number must not be a text that says one."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Head(BaseModel):
    model_config = ConfigDict(strict=True)

    format: int
    run_id: str
    scenario: str
    brokers: list[str]
    broker_is_embedded: bool
    events_left_out: Count = 0


class _Latency(_Moment):
    __pydantic_extra__: dict[str, float | None]

    p50: float | None
    p99: float | None


class _Place(_Moment):
    __pydantic_extra__: dict[str, str]

    place: str


class _Store(_Moment):
    stored_per_s: Rate = 0.0


class _Sink(_Moment):
    sink: str
    breaker: str
    delivered_per_s: Rate
    retries_per_s: Rate
    pending: float
    dead_letters: Count


class _Bridge(_Moment):
    received_per_s: Rate
    sinks: list[_Sink]


class _State(_Moment):
    """Names what a reader counts on; the rest is shown where it is there."""

    at_ms: Count
    span_ms: Count
    device_time_ms: int
    devices: Count
    connected: Count
    emitted: Count
    acknowledged: Count
    sent_qos0: Count
    buffered: Count
    inflight: Count
    refused: Count
    dropped: Count
    reconnects: Count
    takeovers: Count
    sent_per_s: Rate
    emitted_per_s: Rate
    lag_ms: _Latency
    puback_ms: _Latency
    kinds: dict[str, dict[str, Count]]
    faults: list[int]
    flow: list[_Place]
    problems: list[str]
    broker_is_away: bool
    bridge: _Bridge | None
    store: _Store | None = None


class _Event(_Moment):
    number: Count
    at_ms: Count
    text: str


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    state: _State | None = None
    event: _Event | None = None


_LINE = TypeAdapter(_Line)


@dataclass(slots=True, kw_only=True)
class StatusSeries:
    """Holds how a run was over its time, the oldest first."""

    head: dict[str, Any]
    states: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, *, is_own: bool = False) -> "StatusSeries":
        """Read a file. Raises `ConfigError` that names the line where it is not what a run has written.

        A last line without its end is of a run that was killed as it wrote it, and is left out. What is in the lines of
        a file that `is_own` is not looked at again.
        """
        try:
            if path.stat().st_size > MOST_READ:
                raise ConfigError(f"{path}: has more than {MOST_READ >> 20} MiB, which no run writes there")
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        return cls.parse(data, str(path), is_own=is_own)

    @classmethod
    def parse(cls, data: bytes, path: str, *, is_own: bool = False) -> "StatusSeries":
        """Return what such a file holds; raises as `load`."""
        first, *lines = data.split(b"\n")[:-1] or [b""]
        series = cls(head=_read_head(first, path))
        for number, line in enumerate(lines, 2):
            try:
                content = orjson.loads(line)
                if not is_own:
                    _LINE.validate_python(content)
            except (orjson.JSONDecodeError, ValidationError) as error:
                said = describe_error(error) if isinstance(error, ValidationError) else f"no JSON: {error}"
                raise ConfigError(
                    f"{path}: line {number} is no moment of a run: {said}; without that file the run is shown as well, "
                    "but for its time line"
                ) from None
            if content.get("state"):
                series.states.append(content["state"])
            if content.get("event"):
                series.events.append(content["event"])
        return series

    def to_bytes(self) -> bytes:
        """Return it as it stands in the file, in the order of time."""
        moments = [(one["at_ms"], encode_line("state", one)) for one in self.states]
        moments += [(one["at_ms"], encode_line("event", one)) for one in self.events]
        moments.sort(key=lambda one: one[0])
        return b"".join([orjson.dumps(self.head) + b"\n", *(line for _, line in moments)])

    def condense(self, most_states: int, most_bytes: int = MOST_BYTES, recent: int = 0) -> None:
        """Merge states until there are few enough, of time that is long ago first; forget the oldest events.

        The `recent` newest ones are merged only where the others are one already.
        """
        left_out = max(0, len(self.events) - MOST_EVENTS)
        if left_out:
            self.head["events_left_out"] = self.head.get("events_left_out", 0) + left_out
            del self.events[:left_out]
        kept = max(0, len(self.states) - recent)
        earlier, later, step_ms = self.states[:kept], self.states[kept:], FINEST_MS
        while len(earlier) + len(later) > most_states or _size([*earlier, *later]) > most_bytes:
            step_ms *= 2
            if len(earlier) > 1:
                earlier = merge_states(earlier, step_ms)
            elif len(later) > 1:
                earlier, later = [*earlier, *later], []
                step_ms = FINEST_MS
            else:
                break
        self.states = [*earlier, *later]


def series_head(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the head of the series of a run of this status."""
    return {"format": FORMAT, **{name: status[name] for name in OF_HEAD}}


def series_state(status: Mapping[str, Any], span_ms: int) -> dict[str, Any]:
    """Return what is kept of a status, whose rates and latencies are of the `span_ms` before it."""
    return {name: value for name, value in status.items() if name not in _LEFT_OUT} | {"span_ms": span_ms}


def encode_line(name: str, content: Mapping[str, Any]) -> bytes:
    """Return a line of the file: a state or an event."""
    if name == "event" and len(content["text"]) > LONGEST_TEXT:
        content = {**content, "text": content["text"][:LONGEST_TEXT] + " …"}
    return orjson.dumps({name: content}) + b"\n"


def merge_states(states: Sequence[dict[str, Any]], step_ms: int) -> list[dict[str, Any]]:
    """Return as many states as there are steps of wall time, each of them made of those in it."""
    merged: list[dict[str, Any]] = []
    place = None
    for state in states:
        if merged and state["at_ms"] // step_ms == place:
            merged[-1] = merge_two(merged[-1], state)
        else:
            merged.append(state)
        place = state["at_ms"] // step_ms
    return merged


def merge_two(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return two states as one that stands for the time of both.

    Counts are those of the later one, as they are since the start, rates the mean of both times, latencies the higher
    ones. Whatever was wrong in either was wrong: an outage of a second stays in a state of minutes.
    """
    spans = earlier["span_ms"], later["span_ms"]
    merged = {**later, "span_ms": sum(spans)} | _mean_rates(earlier, later, _RATES, spans)
    for name in _LATENCIES:
        merged[name] = {key: _higher(earlier[name].get(key), value) for key, value in later[name].items()}
    merged["broker_is_away"] = earlier["broker_is_away"] or later["broker_is_away"]
    merged["faults"] = max(earlier["faults"], later["faults"], key=len)
    known = {one["place"] for one in later["flow"]}
    merged["flow"] = [*later["flow"], *(one for one in earlier["flow"] if one["place"] not in known)]
    if earlier.get("bridge") and later.get("bridge"):
        merged["bridge"] = _merge_bridges(earlier["bridge"], later["bridge"], spans)
    if earlier.get("store") and later.get("store"):
        merged["store"] = later["store"] | _mean_rates(earlier["store"], later["store"], _STORE_RATES, spans)
    return merged


def _merge_bridges(earlier: Mapping[str, Any], later: Mapping[str, Any], spans: tuple[int, int]) -> dict[str, Any]:
    before = {one["sink"]: one for one in earlier["sinks"]}
    sinks = []
    for sink in later["sinks"]:
        was = before.get(sink["sink"])
        if was is not None:
            worse = max(was["breaker"], sink["breaker"], key=_badness)
            sink = {**sink, "breaker": worse} | _mean_rates(was, sink, _SINK_RATES, spans)
        sinks.append(sink)
    return {**later, "sinks": sinks} | _mean_rates(earlier, later, _BRIDGE_RATES, spans)


def _badness(breaker: str) -> int:
    return _BREAKERS.index(breaker) if breaker in _BREAKERS else len(_BREAKERS)


def _mean_rates(
    earlier: Mapping[str, Any], later: Mapping[str, Any], names: Iterable[str], spans: tuple[int, int]
) -> dict[str, float]:
    first, second = spans
    total = max(1, first + second)
    return {name: (earlier.get(name, 0) * first + later.get(name, 0) * second) / total for name in names}


def _higher(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _size(states: Iterable[Mapping[str, Any]]) -> int:
    return sum(len(encode_line("state", one)) for one in states)


def _read_head(line: bytes, path: str) -> dict[str, Any]:
    try:
        content = orjson.loads(line)
        if isinstance(content, dict) and isinstance(found := content.get("format"), int) and found > FORMAT:
            raise ConfigError(f"{path}: was written by a newer edgefleet (format {found}); update this one")
        _Head.model_validate(content)
    except orjson.JSONDecodeError:
        raise ConfigError(f"{path}: line 1 does not say whose run it is of: it is no JSON, perhaps cut short") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: line 1 does not say whose run it is of: {describe_error(error)}") from None
    return dict(content)
