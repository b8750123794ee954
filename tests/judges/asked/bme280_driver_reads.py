"""Prints what a driver (`pimoroni`, `adafruit`) reads of an emulated chip, and what the sensor publishes."""

import json
import sys
import time
from types import ModuleType

import numpy as np

from devices.sensors.base import Population
from devices.sensors.bme280.bus import EmulatedBus
from devices.sensors.bme280.registers import Bme280Registers
from devices.sensors.bme280.sensor import Bme280Sensor, Bme280Settings
from devices.world.world import Site, World
from edgewire.clock import parse_ms

ADDRESS = 0x76


class Clock:
    """Goes on as the driver sleeps, and in the minutes between readings."""

    def __init__(self):
        self.now_ms = float(parse_ms("2026-03-02T12:00:00Z"))

    def sleep(self, seconds):
        self.now_ms += seconds * 1000


class CircuitPythonBus:
    """The same bus as CircuitPython's busio.I2C has it."""

    def __init__(self, bus):
        self._bus = bus

    def try_lock(self):
        return True

    def unlock(self):
        pass

    def writeto(self, address, buffer, *, start=0, end=None):
        first, *others = bytes(buffer)[start:end] or (None,)
        if first is None:
            self._bus.write_quick(address)
        elif others:
            self._bus.write_i2c_block_data(address, first, others)
        else:
            self._bus.write_byte(address, first)

    def readfrom_into(self, address, buffer, *, start=0, end=None):
        for place in range(*slice(start, end).indices(len(buffer))):
            buffer[place] = self._bus.read_byte(address)

    def writeto_then_readfrom(self, address, out, read, *, out_start=0, out_end=None, in_start=0, in_end=None):
        (register,) = bytes(out)[out_start:out_end]
        places = range(*slice(in_start, in_end).indices(len(read)))
        for place, value in zip(places, self._bus.read_i2c_block_data(address, register, len(places)), strict=True):
            read[place] = value


def pimoroni(bus):
    from bme280 import BME280

    driver = BME280(i2c_addr=ADDRESS, i2c_dev=bus)

    def read():
        driver.update_sensor()
        return driver.temperature, driver.humidity, driver.pressure

    return read


def adafruit(bus):
    # What boards have of themselves: a word that marks constants for the compiler, and the names of buses and pins.
    of_board = {"micropython": {"const": lambda value: value}, "busio": {"I2C": object, "SPI": object},
                "digitalio": {"DigitalInOut": object},
                "circuitpython_typing": {"ReadableBuffer": object, "WriteableBuffer": object}}  # fmt: skip
    for name, words in of_board.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(words)
    from adafruit_bme280.basic import Adafruit_BME280_I2C

    driver = Adafruit_BME280_I2C(CircuitPythonBus(bus), address=ADDRESS)
    return lambda: (driver.temperature, driver.relative_humidity, driver.pressure)


clock = Clock()
time.sleep = clock.sleep
world = World.build(7, [Site(name="a", latitude=48, longitude=2)])
here = Population(np.arange(3).astype(np.uint64), np.zeros(3, dtype=np.int64), np.full(3, 10_000), np.arange(3))
sensor = Bme280Sensor(Bme280Settings(decimals=6, profile="outdoor"), here)
chip = Bme280Registers.for_device(sensor, world, 1, lambda: clock.now_ms)
read = {"pimoroni": pimoroni, "adafruit": adafruit}[sys.argv[1]](EmulatedBus({ADDRESS: chip}))
# One begins to measure with the first reading and does not wait for it: on a chip it is that of a reset, too.
read()
found = []
for _ in range(30):
    clock.now_ms += 600_000
    row = sensor.sample(world, np.array([1]), np.array([int(clock.now_ms)]))
    published = [float(row[name][0]) for name in ("temperature_c", "humidity", "pressure_hpa")]
    found.append([list(map(float, read())), published])
json.dump(found, sys.stdout)
