"""Takes the pictures of a run's page in docs/images: a fleet on the embedded broker, seen by a headless Chromium.

Needs `chromium` and `chromium-driver`, and selenium of the development packages: `python docs/screenshots.py`.
"""

import base64
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests
import yaml
from selenium import webdriver

from edgefleet.embedded import free_port

IMAGES = Path(__file__).parent / "images"
PICTURES = [(1440, "light"), (1440, "dark"), (800, "light"), (800, "dark"), (390, "light"), (390, "dark")]
HEIGHT = 1000
DEVICES = [
    {"kind": "bme280", "count": 200, "interval": "2s"},
    {"kind": "gps", "count": 60, "interval": "1s"},
    {"kind": "traffic", "count": 10, "interval": "5s"},
]


def take_pictures(folder: Path, pictures: list[tuple[int, str]], seconds: float = 45) -> None:
    """Run a fleet with an outage of its broker for so long, then take the pictures: width, and light or dark."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "town.yaml").write_text(yaml.safe_dump({"seed": 3, "devices": DEVICES}))
        port = free_port()
        command = [sys.executable, "-m", "edgefleet", "run", "town.yaml", "--broker", "embedded", "--web", str(port)]
        with subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            try:
                url = f"http://127.0.0.1:{port}/"
                _wait_for(url)
                driver = _browser()
                try:
                    _look(driver, url, folder, pictures, seconds)
                finally:
                    driver.quit()
            finally:
                run.terminate()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if requests.get(f"{url}v1/status", timeout=10).json()["connected"]:
                return
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _browser() -> Any:
    options = webdriver.ChromeOptions()
    for one in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{one}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def _look(driver: Any, url: str, folder: Path, pictures: list[tuple[int, str]], seconds: float) -> None:
    driver.get(url)
    time.sleep(seconds / 3)
    bias = {"type": "bias", "field": "temperature_c", "offset": 5}
    _act(url, {"action": "fault", "fault": bias, "group": "bme280", "share": 0.1})
    _act(url, {"action": "broker_outage", "duration": "5s"})
    time.sleep(seconds * 2 / 3)
    driver.execute_script("document.querySelector('[data-device]').click()")
    time.sleep(min(seconds, 8))
    for width, scheme in pictures:
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        time.sleep(1.5)  # until it is drawn anew
        taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": False})
        (folder / f"page-{width}-{scheme}.png").write_bytes(base64.b64decode(taken["data"]))


def _act(url: str, action: dict[str, Any]) -> None:
    requests.post(f"{url}v1/actions", json=action, timeout=10).raise_for_status()


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    take_pictures(IMAGES, PICTURES)
