"""Finds where the way of the messages is held up, from device to store, and says why. Pure: it is given the status."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

SLOW_MS = 1000.0
"""Beyond which 1 % of the messages make a place the bottleneck."""
SETTLED_MS = 5000
"""So long after the start devices may still be connecting."""
MANY_SPOOLED = 1000
OLD_S = 10.0
FULL = 0.9


class FlowProblem(NamedTuple):
    """Says where something is wrong, and what."""

    place: str
    """A node of the flow, such as `broker`, or `sink:http`, or the edge to the next one, such as `sent`."""
    said: str
    """A sentence."""


def find_flow_problems(status: Mapping[str, Any]) -> list[FlowProblem]:
    """Return what is wrong now by a run's status, the gravest first in the order of the flow."""
    found = [*_of_fleet(status)]
    if status.get("bridge") is not None:
        found += _of_bridge(status["bridge"], broker_is_away=status["broker_is_away"])
    if status.get("store") is not None:
        found += _of_store(status["store"])
    return found


def _of_fleet(now: Mapping[str, Any]) -> Iterator[FlowProblem]:
    away = now["devices"] - now["connected"] - now["resting"] - now["standby"]
    stalled = [one for one in now["processes"] if one["state"] in ("silent", "failed")]
    uptime_ms = 0 if now["started_ms"] is None else now["at_ms"] - now["started_ms"]
    if now["broker_is_away"]:
        yield FlowProblem("broker", "The broker is away: devices keep what they measure and dial again.")
        return
    if stalled:
        yield FlowProblem("devices", f"{len(stalled)} of {len(now['processes'])} processes say nothing.")
    if away > 0 and now["never_connected"] < away:
        yield FlowProblem("sent", f"{away:,} of {now['devices']:,} devices have no connection.")
    elif now["never_connected"] > 0 and uptime_ms > SETTLED_MS:
        yield FlowProblem("sent", f"{now['never_connected']:,} of {now['devices']:,} devices have not connected yet.")
    elif (now["puback_ms"]["p99"] or 0) > SLOW_MS:
        yield FlowProblem(
            "broker", f"The broker is slow: 1 % of the messages wait {now['puback_ms']['p99']:,.0f} ms for its PUBACK."
        )
    elif (now["lag_ms"]["p99"] or 0) > SLOW_MS:
        yield FlowProblem(
            "emitted",
            f"The generator is late: 1 % of the messages leave {now['lag_ms']['p99']:,.0f} ms after they are due.",
        )
    elif now["buffered"] > max(10, now["emitted_per_s"]) and now["sent_per_s"] < now["emitted_per_s"]:
        yield FlowProblem("outbox", "More is measured than is sent: outboxes fill.")


def _of_bridge(bridge: Mapping[str, Any], *, broker_is_away: bool) -> Iterator[FlowProblem]:
    if not bridge["is_reachable"]:
        yield FlowProblem("bridge", f"The bridge does not say how it is: {bridge['error']}.")
        return
    if not bridge["is_connected"] and not broker_is_away:
        yield FlowProblem("received", "The bridge is not connected to the broker, which keeps its session's messages.")
    elif not bridge["is_ready"] and not broker_is_away:
        why = "; ".join(bridge["reasons"]) or "it does not say why"
        yield FlowProblem("bridge", f"The bridge takes no messages: {why}.")
    if not bridge["is_balanced"]:
        yield FlowProblem("bridge", "The books of the bridge do not balance: see its /ledger.")
    limit = bridge["spool_limit_bytes"]
    if limit and bridge["spool_bytes"] > FULL * limit:
        yield FlowProblem("bridge", f"The spool is {100 * bridge['spool_bytes'] / limit:.0f} % full.")
    for sink in bridge["sinks"]:
        if said := _of_sink(sink):
            yield FlowProblem(f"sink:{sink['sink']}", said)


def _of_sink(sink: Mapping[str, Any]) -> str | None:
    waits = f"{sink['pending']:,} messages wait in the spool"
    causes = ", ".join(sink["causes"])
    if sink["is_held"]:
        return f"An operator has paused {sink['sink']}; {waits}."
    if sink["breaker"] == "open":
        why = f"its circuit breaker is open after {causes or 'failures'}"
        return f"Nothing gets through to {sink['sink']}: {why}; {waits}."
    if sink["paused"]:
        return f"{sink['sink']} waits for another configuration; {waits}."
    if sink["breaker"] == "half-open":
        return f"{sink['sink']} is being tried again after {causes or 'failures'}; {waits}."
    if sink["retries_per_s"] > 0 and sink["pending"] and not sink["delivered_per_s"]:
        return f"{sink['sink']} does not take what it is sent ({causes}); {waits}."
    if sink["pending"] > MANY_SPOOLED and sink["oldest_s"] > OLD_S:
        return f"{sink['sink']} is behind by {sink['oldest_s']:,.0f} s; {waits}."
    if sink["devices_waiting"]:
        return f"Messages of {sink['devices_waiting']:,} devices are refused by {sink['sink']} and tried again."
    return None


def _of_store(store: Mapping[str, Any]) -> Iterator[FlowProblem]:
    if not store["is_reachable"]:
        yield FlowProblem("store", f"The ingest does not say how it is: {store['error']}.")
