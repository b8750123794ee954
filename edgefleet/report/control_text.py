"""Says in words what the control interface of a run tells, for a terminal of 80 columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from edgewire.clock import iso_ms
from edgewire.config import duration_text, humanize_duration

_SHOWN_MESSAGES = 5
_LONGEST_PAYLOAD = 300


def status_lines(status: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield how a run is."""
    yield f"{status['scenario']}, run {status['run_id'][:8]}, record in {status['record']}"
    state = "ends" if status["is_stopping"] else "runs"
    seconds = (status["at_ms"] - (status["started_ms"] or status["at_ms"])) / 1000
    scale = "" if status["time_scale"] == 1 else f" at {status['time_scale']:g} times the speed"
    yield f"{state} since {duration_text(max(0, round(seconds)) * 1000)}{scale}; devices' time {_time(status)}"
    yield (
        f"{status['connected']:,} of {status['devices']:,} devices connected; "
        f"{status['sent_per_s']:,g} messages/s; late by {_ms(status['lag_ms'])}, "
        f"PUBACK after {_ms(status['puback_ms'])}"
    )
    yield (
        f"emitted {status['emitted']:,}, acknowledged {status['acknowledged']:,}, buffered {status['buffered']:,}, "
        f"dropped {status['dropped']:,}, refused {status['refused']:,}, reconnects {status['reconnects']:,}"
    )
    for group in groups:
        fixed = "" if group["can_scale"] else ", fixed"
        yield (
            f"  {group['group']:<12} {group['devices']:>9,} every {group['interval']:<7} "
            f"{group['per_s']:>11,.1f}/s  QoS {group['qos']} {group['dialect']}{fixed}"
        )
    for name in ("paused", "muted"):
        if status[name]:
            yield f"{name}: {', '.join(status[name])}"
    if status["faults"]:
        yield f"faults begun here: {', '.join(map(str, status['faults']))}"
    if status["broker_is_away"]:
        yield "the embedded broker is away"
    down = [f"worker {one['number']} is {one['state']}" for one in status["processes"] if one["state"] != "running"]
    yield from down if len(status["processes"]) > 1 else ()
    yield from status["problems"]
    if status["bridge"] is not None:
        yield from _bridge_lines(status["bridge"])
        behind = ("received", "bridge", "sink:", "store")
        yield from (one["said"] for one in status["flow"] if one["place"].startswith(behind))


def _bridge_lines(bridge: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"bridge {bridge['url']}: received {bridge['received']:,}, {bridge['received_per_s']:,g}/s, "
        f"missing by their numbers {bridge['missing']:,}"
    )
    for sink in bridge["sinks"]:
        yield (
            f"  {sink['sink']:<12} delivered {sink['delivered']:,}, {sink['delivered_per_s']:,g}/s, "
            f"pending {sink['pending']:,}, dead letters {sink['dead_letters']:,}, breaker {sink['breaker']}"
        )


def device_rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return devices as a table."""
    table = Table(box=None, header_style="dim")
    for name in ("device", "group", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("every", "emitted", "buffered", "dropped", "reconnects"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        counts = [f"{row[name]:,}" for name in ("emitted", "buffered", "dropped", "reconnects")]
        table.add_row(row["device_id"], row["group"] or "–", row["state"], duration_text(row["interval_ms"]), *counts)
    return table


def device_lines(device: Mapping[str, Any]) -> Iterator[str]:
    """Yield all that is known of one device."""
    behind = f" behind {device['gateway']}" if device["gateway"] else ""
    behind += f", part of {device['part_of']}" if device["part_of"] else ""
    yield f"{device['device_id']}: {device['kind']} at {device['site']}, group {device['group']}{behind}"
    yield (
        f"{device['state']}, every {duration_text(device['interval_ms'])}, QoS {device['qos']}, firmware "
        f"{device['firmware']}, boot {device['boot']} ({device['reset_reason']}), broker {device['broker']}"
    )
    yield (
        f"emitted {device['emitted']:,}, acknowledged {device['acknowledged'] + device['sent_qos0']:,}, buffered "
        f"{device['buffered']:,}, dropped {device['dropped']:,}, reconnects {device['reconnects']:,}"
    )
    vitals = device["vitals"]
    battery = f", battery {vitals['battery_pct']:g} %" if "battery_pct" in vitals else ""
    radio = f", RSSI {vitals['rssi_dbm']} dBm" if "rssi_dbm" in vitals else ""
    yield f"up for {humanize_duration(vitals['uptime_s'])}{battery}{radio}"
    for fault in device["faults"]:
        until = "until it is ended" if fault["to_ms"] is None else f"to {iso_ms(fault['to_ms'])}"
        since = "now" if fault["is_now"] else f"from {iso_ms(fault['from_ms'])}"
        yield f"fault {fault['type']} {since}, {until} (by {fault['by']})"
    for command in device["commands"][-_SHOWN_MESSAGES:]:
        yield f"{iso_ms(command['at_ms'])} command {_cut(command['asked'])} answered {_cut(command['answered'])}"
    for message in device["messages"][-_SHOWN_MESSAGES:]:
        payload = message["payload"] if message["payload"] is not None else f"hex {message['hex']}"
        yield f"{iso_ms(message['at_ms'])} {message['topic']} {_cut(payload)}"
    if not device["messages"]:
        yield "its messages are kept from now on: ask again"


def _cut(text: str) -> str:
    return text[:_LONGEST_PAYLOAD] + ("…" if len(text) > _LONGEST_PAYLOAD else "")


def _time(status: Mapping[str, Any]) -> str:
    return iso_ms(status["device_time_ms"])


def _ms(percentiles: Mapping[str, float | None]) -> str:
    p50, p99 = percentiles["p50"], percentiles["p99"]
    return "–" if p50 is None or p99 is None else f"{p50:g}/{p99:g} ms (p50/p99)"
