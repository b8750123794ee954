"""Takes the pictures of a run's page in docs/images: `edgefleet demo --web`, seen by a headless Chromium.

Needs `chromium` and `chromium-driver`, and selenium of the development packages: `python docs/screenshots.py`.
"""

import base64
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import requests
from selenium import webdriver

from edgefleet.embedded import free_port

IMAGES = Path(__file__).parent / "images"
HEIGHT = 1000


class Picture(NamedTuple):
    """Says what is taken: a part of the page by its id, so wide, in light or dark."""

    width: int
    scheme: str
    part: str = "flow"

    @property
    def name(self) -> str:
        """Return the name of its file."""
        part = "page" if self.part == "flow" else self.part
        return f"{part}-{self.width}-{self.scheme}.png"


PICTURES = [
    *(Picture(width, scheme) for width in (1440, 800, 390) for scheme in ("light", "dark")),
    Picture(1440, "dark", "map"),
    Picture(1440, "light", "time"),
    Picture(1440, "light", "device"),
]


def take_pictures(folder: Path, pictures: Sequence[Picture], seconds: float = 45) -> None:
    """Run the demo with an outage of its broker and a fault for so long, then take the pictures."""
    with tempfile.TemporaryDirectory() as place:
        port = free_port()
        command = [sys.executable, "-m", "edgefleet", "demo", "--web", str(port)]
        environment = os.environ | {"TMPDIR": place}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as demo:
            try:
                url = f"http://127.0.0.1:{port}/"
                _wait_for(url)
                driver = _browser()
                try:
                    _look(driver, url, folder, pictures, seconds)
                finally:
                    driver.quit()
            finally:
                demo.kill()  # nothing is to be verified; what it has begun ends with it


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            if requests.get(f"{url}v1/status", timeout=10).json()["connected"]:
                return
        time.sleep(0.2)
    raise SystemExit("the demo does not begin: try `edgefleet demo`")


def _browser() -> Any:
    options = webdriver.ChromeOptions()
    for one in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{one}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def _look(driver: Any, url: str, folder: Path, pictures: Sequence[Picture], seconds: float) -> None:
    driver.get(url)
    time.sleep(seconds / 4)
    driver.execute_script("document.querySelector('[data-device]').click()")
    time.sleep(seconds / 4)
    bias = {"type": "bias", "field": "temperature_c", "offset": 5}
    _act(
        url, {"action": "fault", "fault": bias, "devices": ["bme280-0001"], "duration": f"{max(1, seconds // 4):.0f}s"}
    )
    _act(url, {"action": "broker_outage", "duration": "5s"})
    time.sleep(seconds / 2)
    deadline = time.monotonic() + seconds
    while driver.execute_script("return document.querySelector('.flow .bad')") and time.monotonic() < deadline:
        time.sleep(0.5)
    for picture in pictures:
        size = {"width": picture.width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": picture.scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        top = (
            "scrollTo(0, 0)"
            if picture.part == "flow"
            else f"document.getElementById('{picture.part}').scrollIntoView()"
        )
        driver.execute_script(top)
        # Until it is drawn anew; the map begins when it is seen.
        time.sleep(min(seconds, 8) if picture.part == "map" else 1.5)
        taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": False})
        (folder / picture.name).write_bytes(base64.b64decode(taken["data"]))


def _act(url: str, action: dict[str, Any]) -> None:
    requests.post(f"{url}v1/actions", json=action, timeout=10).raise_for_status()


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    take_pictures(IMAGES, PICTURES)
