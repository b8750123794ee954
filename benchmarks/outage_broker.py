"""`python -m benchmarks.outage_broker --devices 5000 --minutes 2`: a broker goes away, and a whole fleet comes back.

Starts Mosquitto, a paho subscriber with a lasting session and `edgefleet run`; stops the broker in order, starts it
again, and prints one JSON document: how many devices a second the broker let in again (by its own log), and whether
each message of each device arrived once it could, with its original timestamp, or is named as dropped. Exits with 1
where that is not so, and where devices return as a storm under `exponential` or do not under `fixed`.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from benchmarks.persistent_subscriber import Heard, PersistentSubscriber
from devices.firmware.reconnect import ReconnectConfig
from edgefleet.embedded import MosquittoProcess
from edgewire.run_record import DeviceRecord, RunRecord

# Readings before the outage, and after the last device is back.
STEADY_S, AFTER_S = 15, 45
# A part of the fleet has an outbox for half of the outage, so that something must be dropped, and named.
SMALL_PART = 0.2
# Mosquitto's log: seconds since 1970, and what came in: connections of TCP, and devices accepted.
_DIALLED = re.compile(rb"^(\d+): New connection from", re.MULTILINE)
_ACCEPTED = re.compile(rb"^(\d+): New client connected from \S+ as ((?:large|small)-\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outage:
    """When the broker was away; seconds since 1970."""

    began_s: float
    ended_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _options(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgefleet-outage-")))
        broker = stack.enter_context(MosquittoProcess())
        subscriber = PersistentSubscriber(broker.host, broker.port)
        scenario = folder / "outage.yaml"
        scenario.write_text(yaml.safe_dump(_scenario(options, broker.url)))
        with _fleet(scenario, folder / "run", options) as fleet:
            outage = _take_down(broker, options, fleet)
            output, _ = fleet.communicate(timeout=_duration_s(options) + 120)
        if fleet.returncode not in (0, 1):
            raise SystemExit(f"edgefleet run ended with exit code {fleet.returncode}")
        heard, sessions = subscriber.end()
        record = RunRecord.load(folder / "run")
        # The outboxes are too small on purpose, which fails a run.
        if unexpected := set(record.problems) - {"dropped"}:
            raise SystemExit(f"edgefleet run missed more than its outboxes drop: {unexpected}")
        dialled, accepted = _dialled(broker.log), _accepted(broker.log)
    summary = {"devices": options.devices, "policy": options.policy, "outage_s": round(60 * options.minutes)}
    summary |= _returns(options, outage, dialled, accepted)
    summary |= _messages(options, outage, record, heard) | {"subscriber_kept_its_session": sessions[1:] == [True]}
    summary["verdict"] = orjson.loads(output)["verdict"]
    ok = summary["differing_devices"] == [] and summary["wrong_timestamps"] == 0 and summary["unsent"] == 0
    ok = ok and summary["returned"] == options.devices and summary["subscriber_kept_its_session"]
    ok = ok and summary["storm"] == (options.policy == "fixed")
    print(json.dumps({"ok": ok} | summary, indent=2))
    return 0 if ok else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.outage_broker", description=__doc__)
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the broker is away")
    parser.add_argument("--policy", choices=("exponential", "fixed"), default="exponential")
    parser.add_argument("--interval", type=int, default=10, help="seconds between two readings of a device")
    parser.add_argument("--connects", type=int, default=500, help="the ramp: devices a second")
    return parser.parse_args(arguments)


def _scenario(options: argparse.Namespace, url: str) -> dict[str, Any]:
    small = round(options.devices * SMALL_PART)
    group = {"kind": "bme280", "interval": f"{options.interval}s"}
    outbox = {"max_messages": max(1, int(60 * options.minutes / options.interval / 2))}
    return {
        "seed": 42,
        "broker": url,
        "connects_per_second": options.connects,
        "reconnect": {"policy": options.policy},
        "devices": [
            group | {"count": options.devices - small, "id": "large-{n:05d}"},
            group | {"count": small, "id": "small-{n:05d}", "outbox": outbox},
        ],
    }


def _duration_s(options: argparse.Namespace) -> int:
    policy = ReconnectConfig(policy=options.policy)
    longest_ms = policy.interval if options.policy == "fixed" else policy.cap
    connecting_s = options.devices / options.connects + 10
    return int(connecting_s + STEADY_S + 60 * options.minutes + longest_ms / 1000 + AFTER_S)


def _fleet(scenario: Path, record: Path, options: argparse.Namespace) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "edgefleet", "run", str(scenario), "--record", str(record), "--json"]
    return subprocess.Popen([*command, "--duration", f"{_duration_s(options)}s"], stdout=subprocess.PIPE)


def _take_down(broker: MosquittoProcess, options: argparse.Namespace, fleet: "subprocess.Popen[bytes]") -> Outage:
    deadline = time.monotonic() + options.devices / options.connects + 60
    while len(_devices(_accepted(broker.log))) < options.devices:
        if time.monotonic() > deadline or fleet.poll() is not None:
            fleet.terminate()
            raise SystemExit("the fleet did not connect")
        time.sleep(0.5)
    time.sleep(STEADY_S)
    began_s = time.time()
    # In order: what it has acknowledged is on its disk.
    broker.terminate()
    time.sleep(max(0.0, began_s + 60 * options.minutes - time.time()))
    broker.start()
    return Outage(began_s, time.time())


def _dialled(log: Path) -> list[int]:
    """Second of each connection of TCP."""
    return [int(second) for second in _DIALLED.findall(log.read_bytes())]


def _accepted(log: Path) -> list[tuple[int, str]]:
    """Second and device of each connection that the broker let in."""
    return [(int(second), device.decode()) for second, device in _ACCEPTED.findall(log.read_bytes())]


def _devices(accepted: Iterable[tuple[int, str]]) -> set[str]:
    return {device for _, device in accepted}


def _returns(
    options: argparse.Namespace, outage: Outage, dialled: Sequence[int], accepted: Sequence[tuple[int, str]]
) -> dict[str, Any]:
    """How the fleet connected, before the outage and after it."""
    first = Counter(second for second, _ in accepted if second < outage.began_s)
    # A broker that is overrun accepts few: what tells of a storm is what comes in.
    again = Counter(second for second in dialled if second >= outage.ended_s)
    after = [second for second, _ in accepted if second >= outage.began_s]
    let_in = Counter(after)
    seconds = range(min(again), max(again) + 1) if again else range(0)
    return {
        "ramp_per_s": options.connects,
        "first_connects_per_s_peak": max(first.values()),
        "returned": len(_devices(entry for entry in accepted if entry[0] >= outage.began_s)),
        "return_dials_per_s_peak": max(again.values(), default=0),
        "return_accepted_per_s_peak": max(let_in.values(), default=0),
        "return_took_s": max(after, default=0) - int(outage.ended_s),
        "return_dials_by_second": " ".join(str(again[second]) for second in seconds),
        "return_accepted_by_second": " ".join(str(let_in[second]) for second in seconds),
        "storm": max(again.values(), default=0) > options.connects,
    }


def _messages(options: argparse.Namespace, outage: Outage, record: RunRecord, heard: Sequence[Heard]) -> dict[str, Any]:
    """What arrived beside what the record says."""
    arrived: defaultdict[tuple[str, int], dict[int, Heard]] = defaultdict(dict)
    for one in heard:
        arrived[one.device_id, one.boot].setdefault(one.seq, one)
    distinct = [one for messages in arrived.values() for one in messages.values()]
    differing = [
        device.device_id
        for device in record.devices
        if set(arrived.pop((device.device_id, device.boot), {})) != _sent(device)
    ]
    named = {device.device_id: device.dropped for device in record.devices if device.dropped}
    example = next(iter(named), None)
    ended_ms = 1000 * outage.ended_s
    buffered = [one for one in distinct if one.timestamp_ms < ended_ms <= one.arrived_ms]
    return {
        **record.totals,
        "sent_is_acknowledged_and_dropped": record.totals["emitted"]
        == record.totals["acknowledged"] + record.totals["dropped"] + record.totals["unsent"],
        "heard_by_paho": len(distinct),
        "repeated": len(heard) - len(distinct),
        "differing_devices": [*differing, *(device_id for device_id, _ in arrived)][:10],
        "devices_that_dropped": len(named),
        "for_example": None if example is None else {example: named[example]},
        "buffered_readings_that_arrived": len(buffered),
        "oldest_of_them_s": max(((one.arrived_ms - one.timestamp_ms) / 1000 for one in buffered), default=0.0),
        "wrong_timestamps": _off_schedule(distinct, 1000 * options.interval),
    }


def _sent(device: DeviceRecord) -> set[int]:
    """The seqs that must have arrived: all but those that the device says it gave up."""
    if device.first_seq is None or device.last_seq is None:
        return set()
    dropped = (range(first, last + 1) for first, last in device.dropped)
    return set(range(device.first_seq, device.last_seq + 1)).difference(*dropped)


def _off_schedule(messages: Sequence[Heard], interval_ms: int) -> int:
    """Messages whose timestamp is not that of their number: a device measures at a fixed interval from its first."""
    zero: dict[tuple[str, int], int] = {}
    return sum(
        one.timestamp_ms - one.seq * interval_ms
        != zero.setdefault((one.device_id, one.boot), one.timestamp_ms - one.seq * interval_ms)
        for one in messages
    )


if __name__ == "__main__":
    sys.exit(main())
