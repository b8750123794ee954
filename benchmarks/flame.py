"""`python -m benchmarks.flame [FOLDER]`: SVGs of where the bridge in a backlog and the fleet at saturation spend time.

py-spy looks from outside at the thread that has the GIL, some hundred times a second; what is done without it, such as
fdatasync, is not in the flame graphs. It needs root, or to be let trace: `sysctl kernel.yama.ptrace_scope=0`.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.bridge_http import HERE, HttpDestination, Load, Subject, bridge_of
from benchmarks.bridge_processes import wait_until
from benchmarks.proc import pid_of
from edgefleet.embedded import ManagedProcess, MosquittoProcess, answers, free_port

IMAGES = Path(__file__).with_name("images")
_BACKLOG = 60_000
_CONNECTIONS, _INTERVAL, _CONNECTED_S = 1000, "10ms", 60.0
_LOOKS_A_SECOND = 250


class Recording:
    """py-spy at a process, from the beginning to the end of the block; for ten minutes at the most."""

    def __init__(self, pid: int, svg: Path) -> None:
        self._command = ["py-spy", "record", "--pid", str(pid), "--output", str(svg), "--duration", "600"]
        self._command += ["--rate", str(_LOOKS_A_SECOND), "--gil", "--function"]
        self._svg = svg

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(1)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        said, _unused = self._process.communicate(timeout=60)
        if self._process.returncode or not self._svg.exists():
            sys.exit(f"benchmarks: py-spy ended with {self._process.returncode} and printed:\n{said[-500:]}")


def bridge(svg: Path) -> None:
    """Record the bridge while a backlog that waited at the broker goes through to an HTTP server."""
    load = Load()
    ours = bridge_of(HERE, lambda address: {"http": {"url": address}})
    with load.broker, Subject(ours, HttpDestination(), load) as subject:
        load.publish_steadily(1000, 2)
        subject.wait_taken()
        subject.signal(signal.SIGSTOP)
        load.publish_backlog(_BACKLOG)
        subject.signal(signal.SIGCONT)
        with Recording(pid_of(subject.process), svg):
            subject.wait_taken()


def fleet(svg: Path, seconds: float = 8.0) -> None:
    """Record a fleet that publishes as often as its devices may."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-bench-") as folder, MosquittoProcess() as broker:
        scenario = Path(folder) / "fleet.yaml"
        devices = [{"kind": "bme280", "count": _CONNECTIONS, "interval": _INTERVAL}]
        scenario.write_text(yaml.safe_dump({"broker": broker.url, "devices": devices}))
        port = free_port()
        command: list[str | Path] = [sys.executable, "-m", "edgefleet", "run", scenario, "--json", "--no-check"]
        command += ["--metrics", str(port)]
        with ManagedProcess(
            "fleet", command, ready=lambda: answers(f"http://127.0.0.1:{port}/metrics"), start_timeout_s=60
        ) as process:
            wait_until(lambda: _is_connected(port), _CONNECTED_S, "all devices are connected")
            with Recording(pid_of(process), svg):
                time.sleep(seconds)


def _is_connected(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return any(
            sample.name == "edgefleet_connected" and sample.value >= _CONNECTIONS
            for family in families
            for sample in family.samples
        )


def main(arguments: Sequence[str]) -> None:
    """Record both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flame", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=IMAGES)
    folder = parser.parse_args(arguments).folder
    if shutil.which("py-spy") is None:
        sys.exit("benchmarks: py-spy is not there: pip install py-spy")
    folder.mkdir(parents=True, exist_ok=True)
    for record, name in ((bridge, "bridge-backlog.svg"), (fleet, "fleet-saturated.svg")):
        record(folder / name)
        print(folder / name)


if __name__ == "__main__":
    main(sys.argv[1:])
