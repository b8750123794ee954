"""Finds what limited a run: the broker, the generator, the network, or nothing; one sentence, with its evidence."""

from dataclasses import dataclass
from typing import Literal

from devices.fleet.metrics import FleetSnapshot

Component = Literal["none", "generator", "broker", "network"]

# A device in the field that is so late does not look like one that keeps its interval.
LATE_P99_MS = 50.0
# A process that has less of a core left than this is at its end.
BUSY = 0.9
# A broker that takes longer to acknowledge keeps the devices waiting.
SLOW_P99_MS = 1000.0
# Of the devices: so many lost connections are more than an accident.
MANY_RECONNECTS = 0.01


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Names the component that held the fleet back, and how that shows."""

    component: Component
    summary: str


def diagnose(now: FleetSnapshot) -> Bottleneck:
    """Find what limited a run, or a part of one, from what its processes counted."""
    busy = now.cpu_s / max(now.elapsed_s, 0.001)
    lag = now.lag_p99_ms or 0.0
    puback = now.puback.percentile_ms(99)
    facts = f"99 % left within {_ms(lag)} of being due at {busy:.0%} of a core a process" + (
        "" if puback is None else f", and were acknowledged within {_ms(puback)}"
    )
    missing = now.devices - now.connected - now.resting
    if lag > LATE_P99_MS:
        why = "no core was left" if busy > BUSY else "something else used its processor"
        return Bottleneck(
            "generator", f"The generator was the limit ({why}): {facts}; use more workers or fewer devices."
        )
    if now.refused_dials:
        return Bottleneck(
            "broker",
            f"The broker was the limit: it refused {now.refused_dials:,} connections, and {missing:,} devices were "
            f"not connected at the end; {facts}.",
        )
    if (puback is not None and puback > SLOW_P99_MS) or now.stalled > now.devices:
        return Bottleneck(
            "broker",
            f"The broker was the limit: {facts}, and {now.stalled:,} messages waited for its window; "
            f"use more brokers or fewer messages.",
        )
    if now.slowed_s > 1:
        return Bottleneck(
            "broker",
            f"The broker was the limit while the fleet connected: it was slow to answer for {now.slowed_s:.0f} s; "
            f"once connected, {facts}.",
        )
    # Those that have not been connected yet are late for nobody's sake but the ramp's.
    if now.reconnects > MANY_RECONNECTS * now.devices or now.failed_dials or missing > now.unconnected:
        return Bottleneck(
            "network",
            f"The network, or a broker that went away, was the limit: {now.reconnects:,} reconnections, "
            f"{now.failed_dials:,} failed dials and {missing:,} devices not connected at the end; {facts}.",
        )
    early = f", and the run ended before {now.unconnected:,} devices had connected" if now.unconnected else ""
    return Bottleneck("none", f"Nothing was the limit: {facts}{early}.")


def _ms(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.3g} ms"
