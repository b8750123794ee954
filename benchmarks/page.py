"""The page of a run: how fluid its map is with 15,000 devices, and what it costs the run to be looked at.

`python -m benchmarks.page` measures both, in a headless Chromium on the same machine; `--only map|cost` one of them.
Needs chromium and chromium-driver. What a browser takes is told apart: it may run on another machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import requests
import yaml
from selenium import webdriver

from edgefleet.embedded import free_port

DEVICES = 15_000
RATE = 10_000
ROUNDS = 3
WINDOW_S = 20.0
SETTLE_S = 15.0
_TIME_FRAMES = """
  window.frameTimes = [];
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (draw) => ask((at) => {
    const begun = performance.now();
    draw(at);
    window.frameTimes.push(performance.now() - begun);
  });
"""


@contextmanager
def run_with_page(scenario: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Run a scenario on an embedded broker; yield the URL of its page and its pid once all devices are connected."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "fleet.yaml").write_text(yaml.safe_dump(scenario))
        port = free_port()
        command = [sys.executable, "-m", "edgefleet", "run", "fleet.yaml", "--broker", "embedded", "--web", str(port)]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            try:
                url = f"http://127.0.0.1:{port}/"
                wait_connected(url)
                yield url, run.pid
            finally:
                run.terminate()
                run.wait()


def wait_connected(url: str) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            status = requests.get(f"{url}v1/status", timeout=30).json()
            if status["connected"] == status["devices"] > 0:
                return
        except requests.RequestException:
            pass  # not there yet
        time.sleep(1)
    raise SystemExit("the devices do not all connect within 300 s")


@contextmanager
def browser_at(url: str) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for one in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1440,900"):
        options.add_argument(f"--{one}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        driver.get(url)
        yield driver
    finally:
        driver.quit()


def measure_map(devices: int = DEVICES) -> None:
    """Say how many frames a second the map draws while all its vehicles may move."""
    scenario = {"devices": [{"kind": "gps", "count": devices, "interval": "30s"}], "connects_per_second": 3000}
    with run_with_page(scenario) as (url, _), browser_at(url) as driver:
        driver.execute_script("document.querySelector('#map').scrollIntoView()")
        frames = "return Number(document.querySelector('#map-canvas').dataset.frames || 0)"
        moving = "return document.querySelector('#site-rows .number:nth-child(4)')?.textContent"
        deadline = time.monotonic() + 120
        while not driver.execute_script(frames) or driver.execute_script(moving) in (None, "0"):
            if time.monotonic() > deadline:
                raise SystemExit("the map draws nothing")
            time.sleep(1)
        driver.execute_script(_TIME_FRAMES)
        found = []
        for _ in range(ROUNDS):
            begun, before = time.monotonic(), driver.execute_script(frames)
            time.sleep(WINDOW_S / 2)
            found.append((driver.execute_script(frames) - before) / (time.monotonic() - begun))
        status = requests.get(f"{url}v1/status", timeout=30).json()
        print(
            f"map of {devices:,} devices, {driver.execute_script(moving)} under way: "
            f"{', '.join(f'{one:.1f}' for one in found)} frames/s, each drawn in "
            f"{median(driver.execute_script('return window.frameTimes')):.1f} ms (median); "
            f"fleet late by {status['lag_ms']['p99']} ms (p99)"
        )


class CpuTimes(NamedTuple):
    """Holds processor time of a run since it began, in seconds."""

    fleet_s: float
    """Of the first thread, which has the devices."""
    beside_s: float
    """Of all others: the one of the control interface, and those that help the first."""
    emitted: int

    def since(self, before: "CpuTimes") -> "CpuTimes":
        return CpuTimes(self.fleet_s - before.fleet_s, self.beside_s - before.beside_s, self.emitted - before.emitted)


def measure_cost(rate: int = RATE) -> None:
    """Say what a run takes with the page open, beside what it takes without, in turns.

    Threads are told apart: on a machine that others use as well, what the fleet takes a message varies by more than the
    page costs, and what the others take hardly does.
    """
    scenario = {"devices": [{"kind": "bme280", "count": rate // 10, "interval": "100ms"}]}
    with run_with_page(scenario) as (url, pid):
        time.sleep(SETTLE_S)
        alone, seen = [], []
        for _ in range(ROUNDS):
            alone.append(cpu_in_window(url, pid, "without"))
            with browser_at(url) as driver:
                time.sleep(SETTLE_S / 3)
                seen.append(cpu_in_window(url, pid, "with the page"))
                assert driver.execute_script("return document.querySelector('#link').textContent") == "live"
        more_s = median(one.beside_s for one in seen) - median(one.beside_s for one in alone)
        share = more_s / median(one.fleet_s + one.beside_s for one in alone)
        print(f"the page costs the run {1000 * more_s / WINDOW_S:+.1f} ms/s, {100 * share:+.1f} % of what it takes")


def cpu_in_window(url: str, pid: int, name: str) -> CpuTimes:
    before, at_s = cpu_times(url, pid), time.monotonic()
    time.sleep(WINDOW_S)
    found, took_s = cpu_times(url, pid).since(before), time.monotonic() - at_s
    print(
        f"{name:>13}: {found.emitted / took_s:,.0f} messages/s, {1e6 * found.fleet_s / found.emitted:.1f} µs each in "
        f"the fleet's thread, {1000 * found.beside_s / took_s:.1f} ms/s in others"
    )
    return found


def cpu_times(url: str, pid: int) -> CpuTimes:
    ticks = os.sysconf("SC_CLK_TCK")
    threads = {
        int(one.name): sum(map(int, (one / "stat").read_text().rpartition(")")[2].split()[11:13])) / ticks
        for one in Path(f"/proc/{pid}/task").iterdir()
    }
    emitted = requests.get(f"{url}v1/status", timeout=30).json()["emitted"]
    return CpuTimes(threads.pop(pid), sum(threads.values()), emitted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("map", "cost"))
    only = parser.parse_args().only
    if only != "cost":
        measure_map()
    if only != "map":
        measure_cost()
