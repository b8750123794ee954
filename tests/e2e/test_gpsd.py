"""A gpsd takes emulated receivers for real ones, on a TCP port and at a pseudo-terminal."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as mqtt
import pytest
import yaml

from edgefleet.embedded import free_port
from edgewire.clock import parse_ms
from tests.processes import not_outliving
from tests.services.fixtures import BrokerAddress, require_program
from tests.waiting import PATIENCE_S, until

pytestmark = [pytest.mark.e2e, pytest.mark.services]


@contextmanager
def gpsd(*receivers: str) -> Iterator[int]:
    """Run a gpsd that reads some receivers; yields the port of its own protocol."""
    require_program("gpsd", "gpsd")
    port = free_port()
    command = ["gpsd", "-N", "-n", "-S", str(port), *receivers]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,
        not_outliving(process),
    ):
        yield port


def has_fix(reported: dict[str, dict[str, Any]]) -> bool:
    """Whether it has a position: by three satellites too, as a car has in a street between high houses."""
    return reported.get("TPV", {}).get("mode", 0) >= 2 and reported.get("SKY", {}).get("uSat", 0) >= 3


def reports(port: int, devices: set[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the last TPV and SKY of each receiver, as soon as all have a position."""
    found: dict[str, dict[str, dict[str, Any]]] = {device: {} for device in devices}
    deadline = time.monotonic() + PATIENCE_S
    # It probes a new terminal for other makers' receivers first, and says nothing meanwhile.
    with connected(port) as connection, connection.makefile("rb") as lines:
        connection.sendall(b'?WATCH={"enable":true,"json":true};\n')
        for line in lines:
            report = orjson.loads(line)
            if report["class"] in ("TPV", "SKY") and report.get("device") in found:
                found[report["device"]][report["class"]] = report
            if all(has_fix(one) for one in found.values()):
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"no fix within {PATIENCE_S:g} s: {found}")
    raise AssertionError(f"gpsd went away: {found}")


def connected(port: int) -> socket.socket:
    """Return a connection to what begins to listen at a port."""
    connections: list[socket.socket] = []

    def accepted() -> bool:
        with suppress(ConnectionRefusedError):
            connections.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
        return bool(connections)

    until(accepted, "gpsd listens")
    return connections[0]


@contextmanager
def heard_from(broker: BrokerAddress) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """What each device publishes; the subscription stands as the block begins."""
    heard: dict[str, list[dict[str, Any]]] = {}
    subscribed = threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: client.subscribe("edge/gpsd/gps/+/telemetry", qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: heard.setdefault(message.topic.split("/")[3], []).append(
        orjson.loads(message.payload)
    )
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        until(subscribed.is_set, "the subscription is acknowledged")
        yield heard
    finally:
        client.loop_stop()
        client.disconnect()


def test_gpsd_has_a_fix_from_both_and_it_is_where_the_device_says(tmp_path: Path, mosquitto: BrokerAddress) -> None:
    port, link, log = free_port(), tmp_path / "van", tmp_path / "run.log"
    scenario = {
        "seed": 3,
        "world": 2,
        "sites": [{"name": "gpsd", "latitude": 48.85, "longitude": 2.35}],
        "devices": [
            {"kind": "gps", "interval": "1s", "settings": {"nmea": {"tcp": f"127.0.0.1:{port}"}}},
            {"kind": "gps", "ids": ["van"], "interval": "1s", "settings": {"nmea": {"pty": str(link)}}},
        ],
    }
    (tmp_path / "vans.yaml").write_text(yaml.safe_dump(scenario))
    command = [sys.executable, "-m", "edgefleet", "run", "vans.yaml", "--broker", mosquitto.url, "--duration", "900s"]
    tcp = f"tcp://127.0.0.1:{port}"
    receivers = {"gps-0001": tcp, "van": str(link)}
    with (
        heard_from(mosquitto) as heard,
        log.open("wb") as said,
        subprocess.Popen(command, cwd=tmp_path, stderr=said) as run,
        not_outliving(run),
    ):
        until(lambda: log.read_text().count("receiver is heard") == len(receivers), "both receivers are heard")
        with gpsd(*receivers.values()) as gpsd_port:
            found = reports(gpsd_port, set(receivers.values()))
        epochs_ms = {device: parse_ms(found[receiver]["TPV"]["time"]) for device, receiver in receivers.items()}

        def published(device: str) -> list[dict[str, Any]]:
            """Return the positions of a device within five seconds of the epoch that gpsd has of it."""
            about = epochs_ms[device]
            positions = (one for one in list(heard.get(device, ())) if one["latitude"] is not None)
            return [one for one in positions if abs(parse_ms(one["timestamp"]) - about) < 5000]

        # Readings of those seconds may still be on their way.
        until(lambda: all(published(device) for device in receivers), f"readings about {epochs_ms}")
        run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE_S) == 0, log.read_text()
    for device, receiver in receivers.items():
        position, sky = found[receiver]["TPV"], found[receiver]["SKY"]
        message = min(published(device), key=lambda one, at=epochs_ms[device]: abs(parse_ms(one["timestamp"]) - at))
        # A car drives on meanwhile, and noise is another: with an HDOP of 10 some hundred metres.
        assert position["lat"] == pytest.approx(message["latitude"], abs=0.003)
        assert position["lon"] == pytest.approx(message["longitude"], abs=0.0045)
        assert "nmea" not in message
        assert sky["nSat"] >= sky["uSat"]
        assert len({one["PRN"] for one in sky["satellites"]}) == sky["nSat"]
    assert not link.is_symlink()
