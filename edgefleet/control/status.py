"""Says how a run is, as data and in words. Pure: it is given the numbers of all processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from devices.fleet.metrics import FleetSnapshot
from devices.fleet.verdict import find_problems
from edgefleet.launch.worker_status import WorkerState

_COUNTS = (
    *("devices", "connected", "resting", "standby", "gateways", "gateways_connected", "emitted", "acknowledged"),
    *("sent_qos0", "collecting", "batched", "batches", "inflight", "buffered", "refused", "dropped"),
    *("dropped_by_fault", "reconnects", "failed_dials"),
)
_OF_KIND = ("devices", "connected", "resting", "standby", "emitted", "acknowledged", "buffered", "inflight", "dropped")

_INCIDENTS = {
    "server_disconnects": "the broker ended {count} connections",
    "connects_refused": "the broker refused {count} connections",
    "connects_failed": "{count} dials came to nothing",
    "refused": "the broker refused {count} messages",
    "withdrawals": "{count} emulators left their places to real sensors",
}


@dataclass(frozen=True, slots=True)
class FleetMoment:
    """Holds the numbers of a run at a moment."""

    moment_s: float
    """By the monotonic clock."""
    processes: Sequence[tuple[WorkerState, FleetSnapshot]]
    total: FleetSnapshot

    @classmethod
    def of(cls, moment_s: float, processes: Sequence[tuple[WorkerState, FleetSnapshot]]) -> "FleetMoment":
        """Return the numbers of all processes together with those of each."""
        return cls(moment_s, processes, FleetSnapshot.total(snapshot for _, snapshot in processes))

    def numbers(self, before: "FleetMoment") -> dict[str, Any]:
        """Return the numbers for machines, with rates and lags since an earlier moment."""
        total, seconds = self.total, max(self.moment_s - before.moment_s, 0.001)
        lag, puback = total.lag.since(before.total.lag), total.puback.since(before.total.puback)
        return {
            **{name: getattr(total, name) for name in _COUNTS},
            "never_connected": total.unconnected,
            "takeovers": total.incidents.takeovers.events,
            "sent_per_s": round((total.delivered - before.total.delivered) / seconds, 1),
            "emitted_per_s": round((total.emitted - before.total.emitted) / seconds, 1),
            "lag_ms": {"p50": lag.percentile_ms(50), "p99": lag.percentile_ms(99)},
            "puback_ms": {"p50": puback.percentile_ms(50), "p99": puback.percentile_ms(99)},
            "kinds": {kind: {name: getattr(gauges, name) for name in _OF_KIND} for kind, gauges in total.kinds.items()},
            "processes": [
                {
                    "number": number,
                    "state": str(state),
                    "devices": one.devices,
                    "connected": one.connected,
                    "cpu_s": round(one.cpu_s, 2),
                    "rss_bytes": one.rss_bytes,
                }
                for number, (state, one) in enumerate(self.processes)
            ],
            "problems": [finding.full_sentence for finding in find_problems(total, is_over=False)],
        }

    def news(self, before: "FleetMoment") -> Iterator[str]:
        """Yield in words what has happened since an earlier moment."""
        now, was = self.total, before.total
        states = [state for state, _ in before.processes]
        for number, (state, one) in enumerate(self.processes):
            earlier = states[number] if number < len(states) else None
            if len(self.processes) > 1 and earlier not in (None, state, WorkerState.STARTING):
                yield f"worker {number} is {state}, with {one.devices:,} devices"
        away, were_away = now.not_connected, was.not_connected
        # Those that have just come are about to be connected.
        if away > were_away and now.devices == was.devices and not now.unconnected:
            yield f"{away:,} of {now.devices:,} devices have no connection"
        elif were_away and not away:
            yield f"all {now.devices:,} devices are connected"
        for name, said in _INCIDENTS.items():
            reasons, earlier_reasons = getattr(now.incidents, name), getattr(was.incidents, name)
            more = reasons.total() - earlier_reasons.total()
            if more > 0:
                reason = max(reasons, key=lambda one: reasons[one] - earlier_reasons[one])
                why = reason if isinstance(reason, str) else " ".join(reason)
                yield f"{said.format(count=f'{more:,}')}: {why}"
        known = {finding.name for finding in find_problems(was, is_over=False)}
        for finding in find_problems(now, is_over=False):
            if finding.name not in known and finding.name != "refused":
                yield finding.full_sentence
