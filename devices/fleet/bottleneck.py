"""Finds what limited a run: the broker, the generator, the network, or nothing; one sentence, with its evidence."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from devices.fleet.incidents import NO_PORT, top_reason
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.verdict import find_notes, find_problems
from edgewire.link import NO_OPEN_FILE

Component = Literal["none", "generator", "broker", "network", "takeover"]

# A device in the field that is so late does not look like one that keeps its interval.
LATE_P99_MS = 50.0
# A process that has less of a core left than this is at its end.
BUSY = 0.9
# A quota that is used up in more of its periods than this keeps messages waiting.
THROTTLED = 0.1
# A broker that takes longer to acknowledge keeps the devices waiting.
SLOW_P99_MS = 1000.0
# Of the devices: so many lost connections are more than an accident.
MANY_RECONNECTS = 0.01
# Linux puts off an acknowledgement of TCP for so long, and a sender without TCP_NODELAY waits for it.
DELAYED_ACK_MS = (36.0, 50.0)
# Of the PUBACKs: so many that took just that long, and more than one, are no accident.
MANY_DELAYED = 0.01

# Whose limit it was where nothing else shows but that something is missing.
_CAUSES: dict[str, Component] = {
    "takeovers": "takeover",
    "refused": "broker",
    "controls_refused": "broker",
    "subscribes_refused": "broker",
    "unacknowledged": "broker",
}


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Names the component that held the fleet back, and how that shows."""

    component: Component
    summary: str


def diagnose(now: FleetSnapshot, *, is_over: bool = True, parts_missing: bool = False) -> Bottleneck:
    """Find what limited a run, or a part of one, from what its processes counted, unless some did not come to that."""
    facts = _facts(now)
    return (
        _exhausted(now)
        or _generator(now, facts)
        or _takeover(now)
        or _connections(now, facts)
        or _acknowledgements(now, facts)
        or _nothing(now, facts, is_over=is_over, parts_missing=parts_missing)
    )


def verdict_text(now: FleetSnapshot, bottleneck: Bottleneck, *, is_over: bool = True) -> str:
    """Return all that is to be said of a run: what is missing, what the limit was, and what else happened."""
    problems = [finding.full_sentence for finding in find_problems(now, is_over=is_over)]
    return " ".join([*problems, bottleneck.summary, *(finding.full_sentence for finding in find_notes(now))])


def _exhausted(now: FleetSnapshot) -> Bottleneck | None:
    failed = now.incidents.connects_failed
    if failed[NO_OPEN_FILE]:
        return Bottleneck(
            "generator",
            f"Too many open files here: {failed[NO_OPEN_FILE]:,} dials failed, as each connection is one; raise "
            "'ulimit -n', or use more --workers, which have a limit each.",
        )
    if failed[NO_PORT]:
        return Bottleneck(
            "generator",
            f"No local port was free here for {failed[NO_PORT]:,} dials; give more source_addresses, or widen "
            "net.ipv4.ip_local_port_range.",
        )
    return None


def _generator(now: FleetSnapshot, facts: str) -> Bottleneck | None:
    if (now.lag.usual_ms() or 0.0) <= LATE_P99_MS:
        return None
    if now.cpu_throttled_periods > THROTTLED * max(1, now.cpu_periods):
        return Bottleneck(
            "generator",
            f"The generator was the limit (the CPU quota of its container was used up in "
            f"{now.cpu_throttled_periods:,} of {now.cpu_periods:,} periods): {facts}; raise the quota or use fewer "
            "devices: more workers share the same quota.",
        )
    busy = now.cpu_s / max(now.elapsed_s, 0.001)
    why = "no core was left" if busy > BUSY else "something else used its processor"
    return Bottleneck("generator", f"The generator was the limit ({why}): {facts}; use more workers or fewer devices.")


def _takeover(now: FleetSnapshot) -> Bottleneck | None:
    tally = now.incidents.takeovers
    if not tally.events:
        return None
    return Bottleneck(
        "takeover",
        f"Another client with the same ids was the limit: end the other run, or give one of them other ids; "
        f"{now.reconnects:,} reconnections.",
    )


def _connections(now: FleetSnapshot, facts: str) -> Bottleneck | None:
    """Return what kept the devices from connecting, or took their connections."""
    refused = max(now.refused_dials, now.incidents.connects_refused.total())
    if refused and now.not_connected:
        return Bottleneck(
            "broker",
            f"The broker was the limit: it refused {refused:,} connections{_why(now.incidents.connects_refused)}, and "
            f"{now.not_connected:,} devices were not connected at the end; {facts}.",
        )
    # Those that have not been connected yet are late for nobody's sake but the ramp's.
    if now.not_connected > now.unconnected or (now.not_connected and now.failed_dials):
        return Bottleneck(
            "network",
            f"The network, or a broker that went away, was the limit: {now.reconnects:,} reconnections, "
            f"{now.failed_dials:,} failed dials{_why(now.incidents.connects_failed)} and {now.not_connected:,} devices "
            f"not connected at the end; {facts}.",
        )
    return None


def _acknowledgements(now: FleetSnapshot, facts: str) -> Bottleneck | None:
    """Return what made the fleet wait or come again, all of which is connected."""
    if now.stalled > now.devices or (now.puback.usual_ms() or 0.0) > SLOW_P99_MS:
        return Bottleneck(
            "broker",
            f"The broker was the limit: {facts}, and {now.stalled:,} messages waited for its window; "
            f"use more brokers or fewer messages.",
        )
    refused = max(now.refused_dials, now.incidents.connects_refused.total())
    if refused:
        return Bottleneck(
            "broker",
            f"The broker was the limit for a while: it refused {refused:,} connections"
            f"{_why(now.incidents.connects_refused)}; {facts}.",
        )
    if now.slowed_s > 1:
        return Bottleneck(
            "broker",
            f"The broker was the limit while the fleet connected: it was slow to answer for {now.slowed_s:.0f} s; "
            f"once connected, {facts}.",
        )
    if now.reconnects > MANY_RECONNECTS * now.devices or now.failed_dials:
        return Bottleneck(
            "network",
            f"The network, or a broker that went away, was the limit: {now.reconnects:,} reconnections and "
            f"{now.failed_dials:,} failed dials{_why(now.incidents.connects_failed)}; {facts}.",
        )
    return None


def _nothing(now: FleetSnapshot, facts: str, *, is_over: bool, parts_missing: bool) -> Bottleneck:
    early = f", and the run ended before {now.unconnected:,} devices had connected" if now.unconnected else ""
    problems = find_problems(now, is_over=is_over)
    # What a fault of the scenario has cost is no problem, but missing all the same.
    if not (problems or now.lost or parts_missing):
        return Bottleneck("none", f"Nothing was the limit: {facts}{early}.")
    causes = (cause for finding in problems if (cause := _CAUSES.get(finding.name)))
    return Bottleneck(next(causes, "none"), f"What did leave: {facts}{early}.")


def _facts(now: FleetSnapshot) -> str:
    """Return how late the messages left, what that took, and how soon they were acknowledged."""
    busy = f"at {now.cpu_s / max(now.elapsed_s, 0.001):.0%} of a core a process"
    late, soon = now.lag.sound_percentile_ms(99), now.puback.sound_percentile_ms(99)
    if late is not None:
        facts = f"99 % left within {_ms(late)} of being due {busy}"
    elif now.lag.total:
        facts = f"the {now.lag.total:,} that were due left within {_ms(now.lag.percentile_ms(100) or 0.0)} {busy}"
    else:
        facts = f"no message was due {busy}"
    answered = "acknowledged" if now.acknowledged or not now.refused else "answered"
    if soon is not None:
        facts += f", and were {answered} within {_ms(soon)}"
    elif now.puback.total:
        facts += f", and the {now.puback.total:,} timed ones were {answered} within "
        facts += f"{_ms(now.puback.percentile_ms(100) or 0.0)}, too few for a percentile"
    delayed = now.puback.share_between(*DELAYED_ACK_MS)
    if delayed > MANY_DELAYED and delayed * now.puback.total > 1.5:
        facts += f" ({delayed:.0%} after about 40 ms: TCP waits so long for more, unless 'set_tcp_nodelay true' is in "
        facts += "mosquitto.conf)"
    return facts


def _why(reasons: Counter[str]) -> str:
    return f" ({top_reason(reasons)})" if reasons else ""


def _ms(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.3g} ms"
