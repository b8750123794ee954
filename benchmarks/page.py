"""The page of a run: how fluid its map is with 15,000 devices, and what it costs the run to be looked at.

`python -m benchmarks.page` measures both, in a headless Chromium on the same machine; `--only map|cost` one of them.
Needs chromium and chromium-driver. What a browser takes is told apart: it may run on another machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml
from selenium import webdriver

from edgefleet.embedded import free_port

DEVICES = 15_000
RATE = 10_000
ROUNDS = 3
WINDOW_S = 20.0
SETTLE_S = 15.0


@contextmanager
def run_with_page(scenario: dict[str, Any], *options: str) -> Iterator[str]:
    """Run a scenario on an embedded broker; yield the URL of its page once all devices are connected."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "fleet.yaml").write_text(yaml.safe_dump(scenario))
        port = free_port()
        command = [sys.executable, "-m", "edgefleet", "run", "fleet.yaml", "--broker", "embedded", "--web", str(port)]
        with subprocess.Popen([*command, *options], cwd=folder, stderr=subprocess.DEVNULL) as run:
            try:
                url = f"http://127.0.0.1:{port}/"
                wait_connected(url)
                yield url
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
    with run_with_page(scenario) as url, browser_at(url) as driver:
        driver.execute_script("document.querySelector('#map').scrollIntoView()")
        frames = "return Number(document.querySelector('#map-canvas').dataset.frames || 0)"
        moving = "return document.querySelector('#site-rows .number:nth-child(4)')?.textContent"
        deadline = time.monotonic() + 120
        while not driver.execute_script(frames) or driver.execute_script(moving) in (None, "0"):
            if time.monotonic() > deadline:
                raise SystemExit("the map draws nothing")
            time.sleep(1)
        found = []
        for _ in range(ROUNDS):
            begun, before = time.monotonic(), driver.execute_script(frames)
            time.sleep(WINDOW_S / 2)
            found.append((driver.execute_script(frames) - before) / (time.monotonic() - begun))
        status = requests.get(f"{url}v1/status", timeout=30).json()
        print(
            f"map of {devices:,} devices, {driver.execute_script(moving)} under way: "
            f"{', '.join(f'{one:.1f}' for one in found)} frames/s; fleet late by {status['lag_ms']['p99']} ms (p99)"
        )


def measure_cost(rate: int = RATE) -> None:
    """Say how much processor time a run takes with the page open, beside what it takes without, in turns."""
    scenario = {"devices": [{"kind": "bme280", "count": rate // 10, "interval": "100ms"}]}
    with run_with_page(scenario) as url:
        time.sleep(SETTLE_S)
        shares = []
        for number in range(ROUNDS):
            alone = cpu_per_message(url)
            with browser_at(url) as driver:
                time.sleep(SETTLE_S / 3)
                seen = cpu_per_message(url)
                assert driver.execute_script("return document.querySelector('#link').textContent") == "live"
            shares.append(seen / alone - 1)
            print(
                f"round {number + 1}: {1e6 * alone:.2f} µs a message without, {1e6 * seen:.2f} µs with the page open: "
                f"{100 * shares[-1]:+.1f} %"
            )
        print(f"median {100 * sorted(shares)[len(shares) // 2]:+.1f} % at {rate:,} messages/s")


def cpu_per_message(url: str) -> float:
    before, at_s = requests.get(f"{url}v1/status", timeout=30).json(), time.monotonic()
    time.sleep(WINDOW_S)
    after = requests.get(f"{url}v1/status", timeout=30).json()
    took_s = sum(one["cpu_s"] for one in after["processes"]) - sum(one["cpu_s"] for one in before["processes"])
    sent = after["emitted"] - before["emitted"]
    print(f"  {sent / (time.monotonic() - at_s):,.0f} messages/s, {100 * took_s / WINDOW_S:.0f} % of a processor")
    return float(took_s / sent)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("map", "cost"))
    only = parser.parse_args().only
    if only != "cost":
        measure_map()
    if only != "map":
        measure_cost()
