"""`python -m benchmarks.scale 250000 --outage 60`: a whole fleet on real brokers, judged by `mosquitto_sub`.

Starts as many Mosquittos as a process may have open files for, a subscriber at each, and `edgefleet run` on as many
processes. What follows waits until every device is connected. With `--outage` all brokers are away for so many seconds
then (ended in order, so that what they have acknowledged is on their disks), and it goes on until all devices are back
and have sent what waited. Prints a Markdown table, within twelve minutes by default, and exits with 1 where what the
run says of itself is not what the subscribers heard, not all devices connected or came back, or more a second than
their policy lets.
"""

import argparse
import json
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from benchmarks.broker_log import Comeback, comeback
from benchmarks.judge import HeardDevice, Judge
from edgefleet.doctor import Machine
from edgefleet.embedded import Broker, MosquittoProcess
from edgefleet.launch.process_tuning import favour_throughput
from edgewire.run_record import RunRecord, count_seqs

# Of a thousand devices: 730 bme280 and some of every other kind.
MIX = {"bme280": 0.734, "traffic": 0.033, "gps": 0.1, "telematics": 0.066, "people": 0.067}
# Cameras count the vehicles of all shards that pass them, which every worker computes for itself: few of them here.
LARGE_MIX = {"bme280": 0.9, "traffic": 0.001, "gps": 0.045, "telematics": 0.045, "people": 0.009}
LARGE = 18_000
MESSAGES_PER_S = 10_000
"""Of more than `LARGE` devices, where no interval is given."""
CONNECT_S = 50.0
"""How long the ramp takes at the least: ten seconds less than what is wanted, to make up for a slow begin."""
OPEN_FILES_SPARE = 3_000
# Memory of a device here: ours, the broker's, and two sockets of the kernel's. Of a process of a worker or broker.
DEVICE_BYTES, PROCESS_BYTES = 24 * 2**10, 110 * 2**20
DURATION_S, STEADY_S, AFTER_S = 300, 45, 25
"""Once all are connected: without an outage, before one, and after the last device may be back."""
CONNECT_LIMIT_S, RETURN_LIMIT_S = 240, 100
"""So long is waited for all devices from the start of the processes where `--connect-limit` says nothing else, and for
those that come back beyond the longest wait of their policy; a run goes on without those that have not."""
END_S = 90
"""What a run may take to end and to write its record, once it is told to."""
RUN_S = 3600
"""What it would take by itself: more than any of this."""


@dataclass(frozen=True, slots=True)
class Outage:
    """When the brokers were away; seconds since 1970."""

    began_s: float
    ended_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _options(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _require_memory(options)
    _require_tracking(options)
    if options.workers + options.brokers > (os.cpu_count() or 1):
        # As docs/scale.md says: the workers do so themselves, brokers and judge as children of this process.
        favour_throughput()
    outage = None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgefleet-scale-")))
        # Their state is written when they are ended; every 10 s it would take each of them from its devices.
        settings = {"autosave_interval": "0"}
        if not options.outage:
            # Two lines of a log a connection, which are read after an outage only.
            settings["connection_messages"] = "false"
        brokers = [stack.enter_context(MosquittoProcess(options=settings)) for _ in range(options.brokers)]
        judge = stack.enter_context(Judge(brokers))
        scenario = folder / "scale.yaml"
        scenario.write_text(yaml.safe_dump(_scenario(options, [broker.url for broker in brokers])))
        began_s = time.time()
        run = _run(scenario, folder / "run", options)
        watch = _Watch(run, folder / "run", options)
        try:
            missing = watch.until_connected()
            if options.outage and not missing:
                time.sleep(STEADY_S)
                outage = _take_down(brokers, options)
                watch.until_back()
                time.sleep(AFTER_S)
            else:
                watch.rest(STEADY_S if missing else options.duration or DURATION_S)
            output = _output(run)
        finally:
            _end(run)
        if not output:
            raise SystemExit(f"edgefleet run ended with exit code {run.returncode} and no report")
        judge.settle()
        report = orjson.loads(output) | {"exit_code": run.returncode}
        record, states = RunRecord.load(folder / "run"), _states(folder / "run")
        back = None if outage is None else comeback([one.log for one in brokers], outage.began_s, outage.ended_s)
        heard = dict(judge.devices)
    summary = _summary(options, report, record, heard) | _phases(options, states, began_s)
    if missing:
        summary |= {"ok": False, "not connected": f"{missing:,} after {options.connect_limit:g} s"}
    if missing and options.outage:
        summary["brokers away"] = "never: what an outage shows takes a fleet that is connected"
    if outage is not None and back is not None:
        summary |= _after_outage(options, outage, back, states)
        summary["ok"] = summary["ok"] and back.devices == options.devices and not _is_storm(options, outage, back)
    print(json.dumps(summary, indent=2) if options.json else "\n".join(_table(summary)))
    return 0 if summary["ok"] else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("devices", type=int)
    parser.add_argument(
        "--duration", type=int, help=f"seconds once connected ({DURATION_S}; with --outage as that takes)"
    )
    parser.add_argument("--interval", help="between two messages of a device, such as 25s")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--brokers", type=int)
    parser.add_argument("--connects", type=int, help="a second")
    parser.add_argument(
        "--connect-limit", type=float, default=CONNECT_LIMIT_S, metavar="SECONDS", help="wait so long for all of them"
    )
    parser.add_argument("--connect-first", metavar="DURATION", help="as of edgefleet run")
    parser.add_argument("--kind", help="one kind of device instead of all")
    parser.add_argument("--outage", type=int, default=0, metavar="SECONDS", help="all brokers are away for so long")
    parser.add_argument("--returns", type=int, help="with --outage: devices a second that come back at the most")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args(arguments)
    large = options.devices > LARGE
    shares = -(-options.devices // (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - OPEN_FILES_SPARE))
    options.workers = options.workers or max(shares, min(2, os.cpu_count() or 1) if large else 1)
    options.brokers = options.brokers or options.workers
    options.interval = options.interval or (f"{max(10, round(options.devices / MESSAGES_PER_S))}s" if large else "10s")
    options.connects = options.connects or max(1000, round(options.devices / CONNECT_S))
    options.returns = options.returns or options.connects
    return options


def _scenario(options: argparse.Namespace, urls: list[str]) -> dict[str, Any]:
    mix = {options.kind: 1.0} if options.kind else LARGE_MIX if options.devices > LARGE else MIX
    counts = {kind: round(options.devices * share) for kind, share in mix.items()}
    first = next(iter(counts))
    counts[first] += options.devices - sum(counts.values())
    scenario: dict[str, Any] = {
        "seed": 42,
        "broker": urls,
        # Who is sent to another broker would be heard there, too, but not with the session that it has here.
        "broker_list": "fixed",
        "connects_per_second": options.connects,
        "devices": [
            {"kind": kind, "count": number, "interval": options.interval} for kind, number in counts.items() if number
        ],
    }
    if options.outage:
        # docs/fleet.md: 2 N / cap a second after an outage longer than `cap`, N / `base` after a short one.
        base_s = _base_s(options)
        scenario["reconnect"] = {"base": f"{base_s}s", "cap": f"{2 * base_s}s"}
    return scenario


def _require_memory(options: argparse.Namespace) -> None:
    need = options.devices * DEVICE_BYTES + (options.workers + options.brokers + 2) * PROCESS_BYTES
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    have = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    if need > have:
        raise SystemExit(
            f"{options.devices:,} devices and their brokers take about {need / 2**30:.1f} GiB, and"
            f" {have / 2**30:.1f} GiB are free: fewer devices"
        )


def _require_tracking(options: argparse.Namespace) -> None:
    """A full table of connections drops what is new without a word, here that of everybody on the machine."""
    tracked = Machine.read().tracked_connections
    need = (2 if options.outage else 1) * options.devices
    if tracked is not None and need > tracked[1] - tracked[0]:
        raise SystemExit(
            f"the firewall of this machine tracks {tracked[1]:,} connections at the most, and this takes {need:,}:"
            f" sysctl -w net.netfilter.nf_conntrack_max={2 * need}"
        )


def _run(scenario: Path, record: Path, options: argparse.Namespace) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "edgefleet", "run", str(scenario), "--record", str(record), "--json"]
    command += ["--duration", f"{RUN_S}s", "--workers", str(options.workers)]
    if options.connect_first:
        command += ["--connect-first", options.connect_first]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _output(run: "subprocess.Popen[bytes]") -> bytes:
    """Tell a run to end, and return what it prints then."""
    if run.poll() is None:
        run.send_signal(signal.SIGINT)
    try:
        return run.communicate(timeout=END_S)[0]
    except subprocess.TimeoutExpired:
        raise SystemExit(f"edgefleet run did not end within {END_S} s") from None


def _end(run: "subprocess.Popen[bytes]") -> None:
    if run.poll() is None:
        run.terminate()
        try:
            run.wait(END_S)
        except subprocess.TimeoutExpired:
            run.kill()


class _Watch:
    """Follows a run by what it writes down every second."""

    def __init__(self, run: "subprocess.Popen[bytes]", record: Path, options: argparse.Namespace) -> None:
        self._run, self._record, self._options = run, record, options

    def until_connected(self) -> int:
        """Wait until all devices are connected, or too long; return how many are not."""
        return self._wait(self._options.connect_limit, lambda state: int(self._options.devices - state["connected"]))

    def until_back(self) -> None:
        """Wait until all devices are back and nothing waits any more, or longer than their policy lets them."""

        def missing(state: dict[str, Any]) -> int:
            return int(self._options.devices - state["connected"] + state["buffered"])

        self._wait(2 * _base_s(self._options) + RETURN_LIMIT_S, missing)

    def rest(self, seconds: float) -> None:
        """Let time pass, unless the run ends."""
        with suppress(subprocess.TimeoutExpired):
            self._run.wait(seconds)

    def _wait(self, longest_s: float, missing: Callable[[dict[str, Any]], int]) -> int:
        deadline, left = time.monotonic() + longest_s, int(self._options.devices)
        while time.monotonic() < deadline and self._run.poll() is None:
            states = _states(self._record)
            left = missing(states[-1]) if states else left
            if left <= 0:
                return 0
            time.sleep(0.5)
        return max(left, 0)


def _base_s(options: argparse.Namespace) -> int:
    """Return the first wait of a reconnection, which with a `cap` of twice that keeps a fleet below its rate."""
    return max(1, round(float(options.devices) / float(options.returns)))


def _take_down(brokers: Sequence[Broker], options: argparse.Namespace) -> Outage:
    """End all brokers, and start them again after the outage."""
    began_s = time.time()
    with ThreadPoolExecutor(len(brokers)) as threads:
        list(threads.map(lambda broker: broker.terminate(), brokers))
        time.sleep(max(0.0, began_s + options.outage - time.time()))
        list(threads.map(lambda broker: broker.start(), brokers))
    return Outage(began_s, time.time())


def _states(record: Path) -> list[dict[str, Any]]:
    """How the run was, second by second, as far as it is written."""
    file = record / "status.jsonl"
    if not file.exists():
        return []
    *lines, _ = file.read_bytes().split(b"\n")
    return [state for line in lines if (state := orjson.loads(line).get("state"))]


def _summary(
    options: argparse.Namespace, report: dict[str, Any], record: RunRecord, heard: dict[str, HeardDevice]
) -> dict[str, Any]:
    nothing = HeardDevice()
    wrong, silent = [], 0
    for one in record.devices:
        sent = one.emitted - count_seqs(one.dropped) - count_seqs(one.unsent)
        silent += not sent
        if heard.get(one.device_id, nothing).distinct != sent:
            wrong.append(one.device_id)
    messages = sum(device.distinct for device in heard.values())
    gaps = sum(device.gaps for device in heard.values())
    base = _base_bytes()
    return {
        "ok": not wrong and not gaps and messages == report["acknowledged"] and report["exit_code"] == 0,
        "devices": len(record.devices),
        "processes": options.workers,
        "brokers": options.brokers,
        "connected after": f"{report['connected_after_s'] or 0:.1f} s (ramp of {options.connects:,} a second)",
        "CONNACK p50 / p95 / p99 (ms)": _percentiles(report["connack_ms"]),
        "ramp slowed by late answers, a process": f"{report['ramp_slowed_s'] / options.workers:.1f} s",
        "a message every": options.interval,
        "emitted": report["emitted"],
        "acknowledged": report["acknowledged"],
        "heard by mosquitto_sub": messages,
        "heard more than once": sum(device.repeated for device in heard.values()),
        "gaps in seq": gaps,
        "devices that differ": ", ".join(wrong[:5]) or 0,
        "dropped, unsent": f"{report['dropped']}, {report['unsent']}",
        "schedule lag p50 / p95 / p99 (ms)": _percentiles(report["lag_ms"]),
        "the same once connected": _percentiles(report["lag_connected_ms"]),
        "PUBACK p50 / p95 / p99 (ms)": _percentiles(report["puback_ms"]),
        "CPU of the fleet a message, all in all": f"{report['cpu_s'] / max(report['acknowledged'], 1) * 1e6:.0f} µs",
        "memory a device, beyond processes without devices": (
            f"{(report['rss_bytes'] - options.workers * base) / max(len(record.devices), 1):,.0f} bytes"
        ),
        "verdict": report["verdict"],
    }


def _phases(options: argparse.Namespace, states: Sequence[dict[str, Any]], began_s: float) -> dict[str, Any]:
    """When a run came so far, in seconds since its processes were started, by what it writes down every second."""

    def since_start(name: str, least: int) -> str:
        found = next((state["at_ms"] / 1000 - began_s for state in states if state[name] >= least), None)
        return "never" if found is None else f"{found:.0f} s"

    shares = (1, options.devices // 2, options.devices)
    return {
        "the first, half and all of the devices connected after the start of the processes": " / ".join(
            since_start("connected", least) for least in shares
        ),
        "the first messages acknowledged after it": since_start("acknowledged", 1),
    }


def _most_returns(options: argparse.Namespace, outage: Outage) -> float:
    """Devices a second that come back by their policy at the most."""
    devices = float(options.devices)
    return max(devices / _base_s(options), devices / (outage.ended_s - outage.began_s))


def _is_storm(options: argparse.Namespace, outage: Outage, back: Comeback) -> bool:
    """Whether more came back in ten seconds than draws of independent devices bring.

    In a single second there may be more where this machine has let the fleet wait for a processor before.
    """
    most = 10 * _most_returns(options, outage)
    return max(back.by_ten_seconds, default=0) > 1.2 * most + 5 * math.sqrt(most)


def _after_outage(
    options: argparse.Namespace, outage: Outage, back: Comeback, states: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    waiting = [(state["at_ms"] / 1000 - outage.ended_s, state["buffered"]) for state in states]
    drained = next((at_s for at_s, number in waiting if at_s > 0 and not number), None)
    return {
        "brokers away": f"{outage.ended_s - outage.began_s:.0f} s",
        "came back": f"{back.devices:,} of {options.devices:,}, the last after {back.took_s} s",
        "connections a second at the most": f"{back.peak:,} (policy: {_most_returns(options, outage):,.0f})",
        "connections by 10 s": " ".join(map(str, back.by_ten_seconds)),
        "readings that waited at the most": max((number for _, number in waiting), default=0),
        "all of them sent": "not before the end" if drained is None else f"{drained:.0f} s after the brokers were back",
    }


def _percentiles(found: dict[str, Any]) -> str:
    values = [found[name] for name in ("p50", "p95", "p99")]
    return " / ".join("–" if value is None else f"{value:,.1f}" for value in values)


def _table(summary: dict[str, Any]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---:|"
    for name, value in summary.items():
        yield f"| {name} | {f'{value:,}' if type(value) is int else value} |"


def _base_bytes() -> int:
    """Memory of a worker before it has devices."""
    code = "import edgefleet.cli, edgefleet.launch.workers, devices.fleet.metrics as s; print(s.process_usage()[1])"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
