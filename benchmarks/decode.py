"""CPU of the bridge a message, received → delivered to HTTP and Kafka, by the format that devices write.

`python -m benchmarks.decode [MESSAGES]`; one bridge subscribes to all formats, and gets a backlog of each in turns.
"""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import orjson
import uvloop

from benchmarks.backlog import publish_messages
from benchmarks.proc import pid_of, thread_cpu_s
from benchmarks.stack import Stack, running_stack
from edgewire.link import BrokerUrl

MESSAGES, ROUNDS, DEVICES = 40_000, 3, 1000
_ALL_DELIVERED_S = 120
_OWN = {
    "topic": "plant/{line}/{id}/state",
    "payload": {
        "t": "temperature_c",
        "rh": {"from": "humidity", "round": 1},
        "p": "pressure_hpa",
        "ts": {"from": "timestamp", "as": "epoch_ms"},
        "fw": "1.4.2",
    },
}
SUBSCRIPTIONS: list[object] = [
    "edge/+/+/+/telemetry",
    {"filter": "tele/#", "decode": "tasmota", "timezone": "Europe/Berlin"},
    {"filter": "plant/#", "decode": _OWN},
    {"filter": "owntracks/#", "decode": "owntracks"},
    {"filter": "zigbee2mqtt/#", "decode": "zigbee2mqtt"},
    {"filter": "+/events/rpc", "decode": "shelly"},
    {"filter": "+/sensor/+/state", "decode": "esphome"},
    {"filter": "homeassistant/#", "decode": "esphome"},
    {"filter": "senml/#", "decode": "senml"},
    {"filter": "telegraf/#", "decode": "influx"},
    {"filter": "cloudevents/#", "decode": "cloudevents"},
    {"filter": "homie/#", "decode": "homie"},
    {"filter": "application/#", "decode": "chirpstack"},
    {"filter": "v3/#", "decode": "lorawan-tts"},
    {"filter": "+/v1/devices/me/#", "decode": "thingsboard"},
    {"filter": "dt/#", "decode": "aws-iot"},
    {"filter": "devices/+/messages/events/#", "decode": "azure-iot"},
]
Message = tuple[bytes, bytes]


def native(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """The message contract's own."""
    return f"edge/default/bme280/{device}/telemetry", {
        "device_id": device, "timestamp": _iso(at_ms) + ".000Z", "boot": 1, "seq": number,
        "temperature_c": 14 + number % 9 / 10, "humidity": 61.5, "pressure_hpa": 1002.4,
    }  # fmt: skip


def tasmota(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """A BME280, in local time."""
    air = {"Temperature": 14 + number % 9 / 10, "Humidity": 61.5, "DewPoint": 6.9, "Pressure": 1002.4}
    return f"tele/{device}/SENSOR", {"Time": _iso(at_ms), "BME280": air, "PressureUnit": "hPa", "TempUnit": "C"}


def own(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """A format of one's own."""
    body = {"t": 14 + number % 9 / 10, "rh": 61.5, "p": 1002.4, "ts": at_ms, "fw": "1.4.2"}
    return f"plant/line{number % 20}/{device}/state", body


def owntracks(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """A phone's position."""
    return f"owntracks/{device}/phone", {
        "_type": "location", "tst": at_ms // 1000, "lat": 48.1 + number % 9 / 100, "lon": 11.5, "acc": 12, "alt": 520,
        "vel": 36, "cog": 270, "batt": 81, "bs": 1, "conn": "m", "t": "u", "tid": "ne",
    }  # fmt: skip


def zigbee2mqtt(device: str, number: int, _at_ms: int) -> tuple[str, object]:
    """A sensor behind a gateway."""
    air = {"humidity": 47.31, "pressure": 1009.4, "temperature": 20 + number % 9 / 10}
    return f"zigbee2mqtt/{device}", {"battery": 91, "linkquality": 120, "voltage": 2995, **air}


def shelly(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """A sensor of the second generation."""
    air = {"humidity:0": {"id": 0, "rh": 52.4}, "temperature:0": {"id": 0, "tC": 19 + number % 9 / 10, "tF": 67.1}}
    return f"{device}/events/rpc", {
        "src": device, "dst": f"{device}/events", "method": "NotifyStatus", "params": {"ts": at_ms / 1000, **air}
    }  # fmt: skip


def esphome(device: str, number: int, _at_ms: int) -> tuple[str, object]:
    """One value of a node, whose discovery has come."""
    return f"{device}/sensor/out/state", 14 + number % 9 / 10


def senml(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """A pack of three records."""
    first = {"bn": f"{device}/", "bt": at_ms / 1000, "n": "temperature", "u": "Cel", "v": 14 + number % 9 / 10}
    air = {"n": "humidity", "u": "%RH", "v": 61.5}, {"n": "pressure", "u": "hPa", "v": 1002.4}
    return f"senml/{device}", [first, *air]


def influx(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """A line of three fields."""
    air = f"temperature_c={14 + number % 9 / 10},humidity=61.5,pressure_hpa=1002.4"
    return f"telegraf/{device}/bme280", f"bme280,host={device} {air} {at_ms}000000".encode()


def cloudevents(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """A structured event of three values."""
    air = {"temperature_c": 14 + number % 9 / 10, "humidity": 61.5, "pressure_hpa": 1002.4}
    return f"cloudevents/{device}", {
        "specversion": "1.0", "id": f"{number}", "source": f"/{device}", "type": "org.example.air",
        "time": _iso(at_ms) + "Z", "datacontenttype": "application/json", "data": air,
    }  # fmt: skip


def homie(device: str, number: int, _at_ms: int) -> tuple[str, object]:
    """One value of a device that has described itself."""
    return f"homie/5/{device}/air/temperature", 14 + number % 9 / 10


def chirpstack(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """An uplink that one gateway heard."""
    eui = f"{int(device[3:]):016x}"
    air = {"temperature_c": 14 + number % 9 / 10, "humidity": 61.5, "pressure_hpa": 1002.4}
    return f"application/1/device/{eui}/event/up", {
        "time": _iso(at_ms) + "Z", "deviceInfo": {"devEui": eui, "deviceName": device}, "fCnt": number, "fPort": 2,
        "data": "AeL+DA==", "object": air, "rxInfo": [{"gatewayId": "0016c00100000001", "rssi": -60, "snr": 9.2}],
        "txInfo": {"frequency": 868100000},
    }  # fmt: skip


def lorawan_tts(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """The same at The Things Stack."""
    air = {"temperature_c": 14 + number % 9 / 10, "humidity": 61.5, "pressure_hpa": 1002.4}
    heard = {"gateway_ids": {"gateway_id": "g1"}, "rssi": -97, "snr": -4.5}
    uplink = {"f_port": 2, "f_cnt": number, "frm_payload": "AeL+DA==", "decoded_payload": air, "rx_metadata": [heard]}
    return f"v3/app1@ten1/devices/{device}/up", {
        "end_device_ids": {"device_id": device},
        "uplink_message": {**uplink, "settings": {"frequency": "868100000"}, "received_at": _iso(at_ms) + "Z"},
    }


def thingsboard(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """The same behind a mount point."""
    values = {"temperature_c": 14 + number % 9 / 10, "humidity": 61.5, "pressure_hpa": 1002.4}
    return f"{device}/v1/devices/me/telemetry", {"ts": at_ms, "values": values}


def aws_iot(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """The same on a topic of one's own."""
    return f"dt/edgefleet/home/{device}/bme280", {
        "timestamp": _iso(at_ms) + "Z", "temperature_c": 14 + number % 9 / 10, "humidity": 61.5, "pressure_hpa": 1002.4,
    }  # fmt: skip


def azure_iot(device: str, number: int, at_ms: int) -> tuple[str, object]:
    """The same with properties in the topic."""
    _, body = aws_iot(device, number, at_ms)
    return f"devices/{device}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8", body


FORMATS: dict[str, Callable[[str, int, int], tuple[str, object]]] = {
    one.__name__: one
    for one in (
        native,
        tasmota,
        own,
        owntracks,
        zigbee2mqtt,
        shelly,
        esphome,
        senml,
        influx,
        cloudevents,
        homie,
        chirpstack,
        lorawan_tts,
        thingsboard,
        aws_iot,
        azure_iot,
    )
}


def run(messages: int = MESSAGES) -> list[str]:
    """All formats, in turns; the least of the rounds counts, as others use the machine too."""
    spent: dict[str, list[float]] = {name: [] for name in FORMATS}
    with running_stack(messages=messages * ROUNDS * len(FORMATS), subscriptions=SUBSCRIPTIONS) as stack:
        publish(stack, list(_discovery()))
        for turn in range(ROUNDS + 1):
            for name in FORMATS:
                used = _cpu_of(stack, list(_backlog(name, messages, turn)))
                if turn:  # the first warms up
                    spent[name].append(used)
    base = min(spent["native"])
    return [
        "## CPU of our bridge a message, received → delivered to HTTP and Kafka, by what devices write",
        "",
        f"{messages:,} messages of {DEVICES:,} devices a backlog, the least of {ROUNDS} backlogs.",
        "",
        "| format | CPU a message | against native |",
        "|---|---:|---:|",
        *(f"| {name} | {min(used):.1f} µs | {min(used) / base:.2f} × |" for name, used in spent.items()),
    ]


def publish(stack: Stack, messages: list[Message]) -> None:
    """At QoS 1, and return when the bridge has delivered all of it."""
    before = _delivered(stack)
    uvloop.run(publish_messages(BrokerUrl.parse(stack.broker.url), messages))
    deadline = time.monotonic() + _ALL_DELIVERED_S
    while any(stack.pending().values()) or _delivered(stack) < before + len(messages):
        if time.monotonic() > deadline:
            sys.exit(f"benchmarks: {stack.ledger()} after {_ALL_DELIVERED_S} s")
        time.sleep(0.1)


def _delivered(stack: Stack) -> int:
    settled = ("delivered", "dropped", "dead_lettered")
    return min(sum(int(sink[name]) for name in settled) for sink in stack.ledger())


def _cpu_of(stack: Stack, messages: list[Message]) -> float:
    """Microseconds of CPU a message, of all threads of the bridge."""
    pid = pid_of(stack.bridge)
    before = thread_cpu_s(pid)
    publish(stack, messages)
    after = thread_cpu_s(pid)
    return (
        sum(seconds - before.get(thread, ("", 0.0))[1] for thread, (_, seconds) in after.items()) / len(messages) * 1e6
    )


def _backlog(name: str, count: int, turn: int) -> Iterator[Message]:
    make, started_ms = FORMATS[name], int(time.time()) * 1000
    for place in range(count):
        number = turn * count + place // DEVICES
        topic, body = make(f"dev{place % DEVICES}", number, started_ms + place // DEVICES * 1000)
        yield topic.encode(), body if isinstance(body, bytes) else orjson.dumps(body)


def _discovery() -> Iterator[Message]:
    for place in range(DEVICES):
        named = {"dev_cla": "temperature", "unit_of_meas": "°C", "stat_t": f"dev{place}/sensor/out/state"}
        config = {**named, "dev": {"ids": f"dev{place}"}}
        yield f"homeassistant/sensor/dev{place}/out/config".encode(), orjson.dumps(config)
        properties = {"temperature": {"datatype": "float", "unit": "°C"}}
        described = {"homie": "5.0", "version": 1, "nodes": {"air": {"properties": properties}}}
        yield f"homie/5/dev{place}/$description".encode(), orjson.dumps(described)


def _iso(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}"


if __name__ == "__main__":
    print("\n".join(run(*map(int, sys.argv[1:2]))))
