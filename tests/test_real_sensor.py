"""The program of docs/real-sensor.md, as it is printed there, on an emulated bus and a real broker."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt
import pytest

from devices.sensors.base import Population
from devices.sensors.bme280.bus import EmulatedBus
from devices.sensors.bme280.registers import Bme280Registers
from devices.sensors.bme280.sensor import Bme280Sensor, Bme280Settings
from devices.world.world import Site, World
from edgefleet.embedded import MosquittoProcess
from edgewire.messages import CONTRACT, Status

DOCUMENT = Path(__file__).parents[1] / "docs" / "real-sensor.md"
READINGS = 3


class PowerOffError(Exception):
    """Ends the program's endless loop."""


@pytest.mark.services
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_it_takes_an_emulated_devices_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mosquitto_factory: Callable[[], MosquittoProcess]
) -> None:
    broker = mosquitto_factory()
    heard: list[tuple[str, bytes]] = []
    judge = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    judge.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload))
    judge.connect(broker.host, broker.port)
    judge.subscribe("edge/#", qos=1)
    judge.loop_start()

    here = Population(np.array([1], dtype=np.uint64), np.array([0]), np.array([10_000]), np.array([0]))
    world = World.build(7, [Site(name="riverside", latitude=48, longitude=2)], version=2)
    chip = Bme280Registers.for_device(Bme280Sensor(Bme280Settings(), here), world, 0, lambda: time.time() * 1000)
    sleep, slept = time.sleep, []

    def until_power_off(seconds: float) -> None:
        sleep(min(seconds, 0.2))
        slept.append(seconds)
        if slept.count(10) == READINGS:
            raise PowerOffError

    program = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert program is not None
    address = f'"{broker.host}", {broker.port}'
    names: dict[str, object] = {}
    with monkeypatch.context() as raspberry:
        raspberry.setattr("smbus2.SMBus", lambda _number: EmulatedBus({0x76: chip}))
        raspberry.setenv("HOME", str(tmp_path))
        raspberry.setattr("time.sleep", until_power_off)
        with pytest.raises(PowerOffError):
            exec(program[1].replace('"broker.example", 1883', address), names)
    client = names["client"]
    assert isinstance(client, mqtt.Client)
    client.loop_stop()
    client.disconnect()
    for _ in range(600):
        if len(heard) > READINGS:
            break
        time.sleep(0.05)
    judge.loop_stop()
    judge.disconnect()

    said = [Status.model_validate_json(payload) for topic, payload in heard if topic.endswith("/status")]
    assert [(status.state, status.origin, status.boot) for status in said] == [("online", "hardware", 1)]
    readings = [CONTRACT["bme280"].parse(payload) for topic, payload in heard if topic.endswith("/telemetry")]
    assert [str(reading.message_id) for reading in readings] == [f"bme280-0007:1:{seq}" for seq in range(READINGS)]
