"""`python -m benchmarks.scale 15000` and `… 100000`: a whole fleet on real brokers, judged by paho subscribers.

Starts the brokers, a paho subscriber for each in a process of its own, and `edgefleet run`; prints one JSON document:
what the run says of itself beside what the subscribers heard, and exits with 1 where they differ.
"""

import argparse
import json
import multiprocessing
import queue
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
import yaml

from edgefleet.embedded import MosquittoProcess
from edgewire.run_record import RunRecord, count_seqs

# Of a thousand devices: 730 bme280 and some of every other kind.
MIX = {"bme280": 0.734, "traffic": 0.033, "gps": 0.1, "telematics": 0.066, "people": 0.067}
# Cameras count the vehicles of all shards that pass them, which every worker computes for itself: few of them here.
LARGE_MIX = {"bme280": 0.9, "traffic": 0.001, "gps": 0.045, "telematics": 0.045, "people": 0.009}
LARGE = 18_000
# What a message takes at most from the broker to a subscriber that keeps up.
SETTLE_S = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _options(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgefleet-scale-")))
        brokers = [stack.enter_context(MosquittoProcess()) for _ in range(options.brokers)]
        subscribers = [Subscriber(broker.host, broker.port) for broker in brokers]
        scenario = folder / "scale.yaml"
        scenario.write_text(yaml.safe_dump(_scenario(options, [broker.url for broker in brokers])))
        report = _run(scenario, folder / "run", options)
        record = RunRecord.load(folder / "run")
        expected = {
            one.device_id: one.emitted - count_seqs(one.dropped) - count_seqs(one.unsent)
            for one in record.devices
            if one.emitted
        }
        heard = [subscriber.end() for subscriber in subscribers]
    summary = _summary(options, report, record, expected, heard)
    print(json.dumps(summary, indent=2))
    return 0 if summary["ok"] else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("devices", type=int)
    parser.add_argument("--duration", type=int, default=300, help="seconds of messages")
    parser.add_argument("--interval", help="between two messages of a device")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--brokers", type=int)
    parser.add_argument("--connects", type=int, help="a second")
    parser.add_argument("--kind", help="one kind of device instead of all")
    options = parser.parse_args(arguments)
    large = options.devices > LARGE
    # A process may have 20,000 open files here, a broker too.
    shares = -(-options.devices // 17_000)
    options.workers = options.workers or shares
    options.brokers = options.brokers or shares
    options.interval = options.interval or ("60s" if large else "10s")
    options.connects = options.connects or (4000 if large else 1000)
    return options


def _scenario(options: argparse.Namespace, urls: list[str]) -> dict[str, Any]:
    mix = {options.kind: 1.0} if options.kind else LARGE_MIX if options.devices > LARGE else MIX
    counts = {kind: round(options.devices * share) for kind, share in mix.items()}
    first = next(iter(counts))
    counts[first] += options.devices - sum(counts.values())
    return {
        "seed": 42,
        "broker": urls,
        "connects_per_second": options.connects,
        "devices": [
            {"kind": kind, "count": number, "interval": options.interval} for kind, number in counts.items() if number
        ],
    }


def _run(scenario: Path, record: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "edgefleet", "run", str(scenario), "--record", str(record), "--json"]
    command += ["--duration", f"{options.duration}s", "--workers", str(options.workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        raise SystemExit(f"edgefleet run ended with exit code {done.returncode} and no report")
    return orjson.loads(done.stdout) | {"exit_code": done.returncode}


class Subscriber:
    """A paho subscriber of one broker, in a process of its own."""

    def __init__(self, host: str, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._results: Any = context.Queue()
        self._asked = context.Value("b", 0)
        self._process = context.Process(target=_listen, args=(host, port, self._results, self._asked), daemon=True)
        self._process.start()
        assert self._results.get(timeout=60) == "subscribed"

    def end(self) -> dict[str, Any]:
        """What it has heard, once nothing comes any more."""
        self._asked.value = 1
        try:
            result: dict[str, Any] = self._results.get(timeout=120)
        except queue.Empty:
            raise SystemExit("a subscriber does not answer") from None
        self._process.join(10)
        return result


def _listen(host: str, port: int, results: Any, asked: Any) -> None:
    devices: dict[str, list[int]] = {}
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="subscriber", protocol=paho.MQTTv311)
    client.max_inflight_messages_set(1000)
    state = {"last": time.monotonic()}

    def on_message(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        state["last"] = time.monotonic()
        fields = orjson.loads(message.payload)
        seq = fields["seq"]
        # Messages heard, first seq, last seq, repetitions, gaps.
        known = devices.setdefault(fields["device_id"], [0, seq, seq - 1, 0, 0])
        known[0] += 1
        if seq == known[2] + 1:
            known[2] = seq
        elif seq <= known[2]:
            known[3] += 1
        else:
            known[4] += seq - known[2] - 1
            known[2] = seq

    client.on_message = on_message
    client.on_subscribe = lambda *_: results.put("subscribed")
    client.connect(host, port)
    client.subscribe([("edge/+/+/+/telemetry", 1), ("edge/+/+/+/event", 1)])
    client.loop_start()
    while not asked.value or time.monotonic() - state["last"] < SETTLE_S:
        time.sleep(0.2)
    client.disconnect()
    client.loop_stop()
    results.put({"devices": devices})


def _summary(
    options: argparse.Namespace,
    report: dict[str, Any],
    record: RunRecord,
    expected: dict[str, int],
    heard: list[dict[str, Any]],
) -> dict[str, Any]:
    devices: dict[str, list[int]] = {}
    for one in heard:
        devices |= one["devices"]
    messages = sum(map(_distinct, devices.values()))
    nothing = [0] * 5
    wrong = [name for name, sent in expected.items() if _distinct(devices.get(name, nothing)) != sent]
    gaps = sum(known[4] for known in devices.values())
    base = _base_bytes()
    ok = not wrong and not gaps and messages == report["acknowledged"] and report["exit_code"] == 0
    return {
        "ok": ok,
        "devices": len(record.devices),
        "workers": options.workers,
        "brokers": options.brokers,
        "connected_after_s": report["connected_after_s"],
        "duration_s": options.duration,
        "emitted": report["emitted"],
        "acknowledged": report["acknowledged"],
        "dropped": report["dropped"],
        "unsent": report["unsent"],
        "heard_by_paho": messages,
        "repeated": sum(known[3] for known in devices.values()),
        "gaps_in_seq": gaps,
        "devices_that_differ": wrong[:10],
        "schedule_lag_ms": report["lag_ms"],
        "schedule_lag_once_connected_ms": report["lag_connected_ms"],
        "puback_ms": report["puback_ms"],
        "cpu_us_per_message": round(report["cpu_s"] / max(report["acknowledged"], 1) * 1e6, 1),
        "cpu_s": report["cpu_s"],
        "rss_mib": round(report["rss_bytes"] / 2**20, 1),
        "rss_of_a_process_without_devices_mib": round(base / 2**20, 1),
        "memory_per_device_bytes": round((report["rss_bytes"] - options.workers * base) / len(record.devices)),
        "verdict": report["verdict"],
    }


def _distinct(known: list[int]) -> int:
    return known[0] - known[3]


def _base_bytes() -> int:
    """Memory of a worker before it has devices."""
    code = "import edgefleet.cli, edgefleet.launch.workers, devices.fleet.metrics as s; print(s.process_usage()[1])"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
