"""Speak as a Tasmota device with a BME280 does, until Ctrl-C or for some readings: a stand-in for the real one.

    python examples/tasmota_bme280.py bme280-0007 --period 10

It goes as a device whose cable is pulled: the broker says Offline for it. Needs paho-mqtt.
"""

import argparse
import json
import math
import time
from contextlib import suppress

import paho.mqtt.client as mqtt


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("topic", help="as the command Topic sets it")
    parser.add_argument("--broker", default="127.0.0.1:1883", help="host:port")
    parser.add_argument("--client-id", default="DVES_5A1C02")
    parser.add_argument("--period", type=float, default=10.0, help="seconds between readings, TelePeriod")
    parser.add_argument("--readings", type=float, default=math.inf)
    options = parser.parse_args()
    host, _, port = options.broker.partition(":")
    tele = f"tele/{options.topic}"
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=options.client_id)
    client.will_set(f"{tele}/LWT", "Offline", qos=1, retain=True)
    client.connect(host, int(port or 1883), keepalive=30)
    client.loop_start()
    client.publish(f"{tele}/LWT", "Online", retain=True)
    client.publish(f"cmnd/{options.topic}/POWER", "")
    client.publish(f"{tele}/INFO1", json.dumps({"Info1": {"Module": "Generic", "Version": "14.4.1(tasmota)"}}))
    number = 0
    while number < options.readings:
        time.sleep(options.period)  # before the first one too, as the firmware does
        now = time.strftime("%Y-%m-%dT%H:%M:%S")
        air = {"Temperature": round(20 + number % 40 / 10, 1), "Humidity": 45.5, "DewPoint": 8.4, "Pressure": 1012.3}
        reading = {"Time": now, "BME280": air, "PressureUnit": "hPa", "TempUnit": "C"}
        client.publish(f"{tele}/STATE", json.dumps({"Time": now, "UptimeSec": round(number * options.period)}))
        client.publish(f"{tele}/SENSOR", json.dumps(reading)).wait_for_publish(10)
        number += 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
