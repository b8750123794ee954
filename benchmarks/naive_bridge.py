"""A bridge as it is usually written: paho-mqtt, requests and confluent-kafka, one message after the other.

`python naive_bridge.py HOST PORT INGEST_URL BOOTSTRAP_SERVERS [--persistent]`; `--persistent` asks the broker to keep
the session, which paho does not do by itself. Something to compare with: it loses messages.
"""

import json
import sys

import paho.mqtt.client as mqtt
import requests
from confluent_kafka import Producer
from paho.mqtt.enums import CallbackAPIVersion

HTTP = {
    "bme280": "/api/v1/sensors/bme280",
    "traffic": "/ingest/traffic",
    "telematics": "/telematics/ingest",
    "gps": "/ingest/gps",
    "people": "/ingest/people",
}
KAFKA = {
    "bme280": "sensors.bme280",
    "traffic": "traffic_events",
    "telematics": "telematics_events",
    "gps": "gps_positions",
    "people": "foot_traffic",
}


def main() -> None:
    host, port, url, bootstrap = sys.argv[1:5]
    persistent = "--persistent" in sys.argv
    session = requests.Session()
    producer = Producer({"bootstrap.servers": bootstrap})

    def on_connect(client: mqtt.Client, *_: object) -> None:
        client.subscribe([("edge/+/+/+/telemetry", 1), ("edge/+/+/+/event", 1)])
        print("subscribed", flush=True)

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.split("/")[2]
        payload = json.loads(message.payload)
        try:
            answer = session.post(url + HTTP[kind], json=payload, timeout=10)
            answer.raise_for_status()
        except requests.RequestException as error:
            print(f"HTTP: {error}", flush=True)
        producer.produce(KAFKA[kind], json.dumps(payload), key=payload["device_id"])
        producer.poll(0)

    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id="naive-bridge" if persistent else "", clean_session=not persistent
    )
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect(host, int(port))
    client.loop_forever()


if __name__ == "__main__":
    main()
