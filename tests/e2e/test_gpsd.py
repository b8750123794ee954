"""A gpsd takes emulated receivers for real ones, on a TCP port and at a pseudo-terminal."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    deadline = time.monotonic() + 90
    while True:
        try:
            # It probes a new terminal for other makers' receivers first, and says nothing meanwhile.
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with connection, connection.makefile("rb") as lines:
        connection.sendall(b'?WATCH={"enable":true,"json":true};\n')
        for line in lines:
            report = orjson.loads(line)
            if report["class"] in ("TPV", "SKY") and report.get("device") in found:
                found[report["device"]][report["class"]] = report
            if all(has_fix(one) for one in found.values()):
                return found
            assert time.monotonic() < deadline, found
    raise AssertionError(f"gpsd went away: {found}")


@contextmanager
def heard_from(broker: BrokerAddress) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """What each device publishes."""
    heard: dict[str, list[dict[str, Any]]] = {}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: client.subscribe("edge/gpsd/gps/+/telemetry")
    client.on_message = lambda _client, _data, message: heard.setdefault(message.topic.split("/")[3], []).append(
        orjson.loads(message.payload)
    )
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        yield heard
    finally:
        client.loop_stop()
        client.disconnect()


def test_gpsd_has_a_fix_from_both_and_it_is_where_the_device_says(tmp_path: Path, mosquitto: BrokerAddress) -> None:
    port, link = free_port(), tmp_path / "van"
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
    command = [sys.executable, "-m", "edgefleet", "run", "vans.yaml", "--broker", mosquitto.url, "--duration", "150s"]
    tcp = f"tcp://127.0.0.1:{port}"
    with (
        heard_from(mosquitto) as heard,
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run,
        not_outliving(run),
    ):
        deadline = time.monotonic() + 60
        while not link.is_symlink() and time.monotonic() < deadline:
            time.sleep(0.05)
        with gpsd(tcp, str(link)) as gpsd_port:
            found = reports(gpsd_port, {tcp, str(link)})
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]
        assert run.returncode == 0, said
    for device, receiver in (("gps-0001", tcp), ("van", str(link))):
        position, sky = found[receiver]["TPV"], found[receiver]["SKY"]
        epoch_ms = parse_ms(position["time"])
        message = min(heard[device], key=lambda one, at=epoch_ms: abs(parse_ms(one["timestamp"]) - at))
        assert abs(parse_ms(message["timestamp"]) - epoch_ms) < 2000
        # A car drives on meanwhile, and noise is another: with an HDOP of 10 some hundred metres.
        assert position["lat"] == pytest.approx(message["latitude"], abs=0.003)
        assert position["lon"] == pytest.approx(message["longitude"], abs=0.0045)
        assert "nmea" not in message
        assert sky["nSat"] >= sky["uSat"]
        assert len({one["PRN"] for one in sky["satellites"]}) == sky["nSat"]
    assert not link.is_symlink()
