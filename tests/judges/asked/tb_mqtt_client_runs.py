"""Is a device and a gateway of ThingsBoard's own client at a broker: `HOST PORT`; prints what it was asked to do."""

import json
import sys
import threading
import time

from tb_device_mqtt import TBDeviceMqttClient
from tb_gateway_mqtt import TBGatewayMqttClient

host, port = sys.argv[1], int(sys.argv[2])
asked = []
was_asked = threading.Event()


def on_rpc(request_id, body):
    asked.append(body)
    device.send_rpc_reply(request_id, {"done": True})
    was_asked.set()


def connected(client):
    client.connect()
    # Its callback may come to nothing: it is set after the connection has begun.
    ends = time.monotonic() + 30
    while not client.is_connected():
        assert time.monotonic() < ends, "no connection"
        time.sleep(0.02)
    return client


device = TBDeviceMqttClient(host, port, "a-device", telemetry_rate_limit="0:0,", messages_rate_limit="0:0,")
device.set_server_side_rpc_request_handler(on_rpc)
connected(device)
device.send_attributes({"firmware": "1.2"}).get()
device.send_telemetry({"ts": 1790000000000, "values": {"temperature_c": 20.5}}).get()
assert was_asked.wait(30), "no RPC"
gateway = connected(TBGatewayMqttClient(host, port, "a-gateway"))
gateway.gw_connect_device("d1", "thermometer")
gateway.gw_send_telemetry("d1", {"ts": 1790000000000, "values": {"temperature_c": 21.5}}).get()
gateway.gw_send_attributes("d1", {"serial": 7}).get()
gateway.gw_disconnect_device("d1")
gateway.disconnect()
device.disconnect()
json.dump(asked, sys.stdout)
sys.stdout.flush()
