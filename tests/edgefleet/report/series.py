"""Moments of a run, for tests of its time line."""

from typing import Any

AT_MS = 1_700_000_000_000


def status_at(second: int, **changes: Any) -> dict[str, Any]:
    """What `/v1/status` tells so many seconds after the start: ten devices that send ten messages a second."""
    count = 10 * second
    kinds = {"gps": {"devices": 10, "connected": 10, "emitted": count, "acknowledged": count, "buffered": 0}}
    return {
        "run_id": "r1",
        "scenario": "test",
        "record": "run",
        "brokers": ["mqtt://127.0.0.1:1883"],
        "broker_is_embedded": False,
        "broker_is_away": False,
        "is_stopping": False,
        "at_ms": AT_MS + 1000 * second,
        "started_ms": AT_MS,
        "device_time_ms": AT_MS + 1000 * second,
        "time_scale": 1.0,
        "paused": [],
        "muted": [],
        "faults": [],
        "actions": 0,
        "sites": 1,
        "devices": 10,
        "connected": 10,
        "resting": 0,
        "standby": 0,
        "emitted": count,
        "acknowledged": count,
        "sent_qos0": 0,
        "inflight": 0,
        "buffered": 0,
        "refused": 0,
        "dropped": 0,
        "reconnects": 0,
        "takeovers": 0,
        "never_connected": 0,
        "sent_per_s": 10.0,
        "emitted_per_s": 10.0,
        "lag_ms": {"p50": 1.0, "p99": 2.0},
        "puback_ms": {"p50": 1.0, "p99": 2.0},
        "kinds": kinds,
        "processes": [{"number": 0, "state": "running"}],
        "problems": [],
        "bridge": None,
        "store": None,
        "flow": [],
        **changes,
    }


def bridge_of(breaker: str, delivered_per_s: float) -> dict[str, Any]:
    """What is told of a bridge with one sink."""
    sink = {
        "sink": "http",
        "breaker": breaker,
        "delivered": 0,
        "delivered_per_s": delivered_per_s,
        "retries_per_s": 0.0,
        "pending": 0,
        "dead_letters": 0,
    }
    return {"received": 0, "received_per_s": 5.0, "sinks": [sink]}


def event_at(second: int, number: int = 1, text: str = "all 10 devices are connected") -> dict[str, Any]:
    """What has happened so many seconds after the start."""
    return {"number": number, "at_ms": AT_MS + 1000 * second, "text": text}
