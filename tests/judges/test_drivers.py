"""Drivers of other makers read an emulated BME280: their packages cannot be installed beside each other."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.judges.sdk import folder_with

# The first one fetches packages.
pytestmark = [pytest.mark.long, pytest.mark.timeout(450)]

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "pimoroni": ("pimoroni-bme280==1.0.0", "i2cdevice==1.0.0"),
    "adafruit": ("adafruit-circuitpython-bme280==2.6.32", "adafruit-circuitpython-busdevice==5.2.17"),
}


@pytest.mark.parametrize("driver", PACKAGES)
def test_a_driver_reads_what_the_sensor_publishes(driver: str) -> None:
    # Our packages and a driver's: two of them are called `bme280`.
    path = os.pathsep.join([str(folder_with(*PACKAGES[driver])), str(ROOT)])
    script = Path(__file__).with_name("asked") / "bme280_driver_reads.py"
    done = subprocess.run(
        [sys.executable, script, driver], capture_output=True, timeout=90, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr.decode()
    found = orjson.loads(done.stdout)
    assert len(found) == 30
    for (temperature_c, humidity, pressure_hpa), published in found:
        # The driver has the chip measure again, a moment later and with its own oversampling: that is noise apart.
        assert temperature_c == pytest.approx(published[0], abs=0.06)
        assert humidity == pytest.approx(published[1], abs=0.5)
        assert pressure_hpa == pytest.approx(published[2], abs=0.3)
