"""Devices of a user's own file, with user names and passwords, on a Mosquitto that knows them, over TCP and TLS.

`IDENTITIES=10000 pytest tests/e2e/test_identities.py` asks for as many: benchmarks/RESULTS.md says how long they take.
The run goes on until all are in, for how long that takes is a matter of what else the machine does: a handshake of TLS
is 4 ms of a core, and hashing a password, which Mosquitto does at each CONNECT, 0.14 ms.
"""

import asyncio
import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.launch.process_tuning import raise_open_files
from edgefleet.verify import Outcome, verify_run
from tests.e2e.chain import running_chain
from tests.services.fixtures import require_program

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]

COUNT = int(os.environ.get("IDENTITIES", "60"))
"""How many devices."""
LONGEST_S = 60 + COUNT * 0.05
"""Until all are connected, on a machine that has much else to do."""
FORMAT = {
    "topic": "plant/{line}/{id}/state",
    "payload": {"t": "temperature_c", "ts": {"from": "timestamp", "as": "epoch_ms"}, "line": "line", "n": "seq"},
}


class Secured(NamedTuple):
    broker: str
    ingest: str
    ca_file: Path | None


def line_of(number: int) -> str:
    return "abc"[number % 3]


@pytest.fixture(scope="module")
def fleet_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ids with an umlaut, a space and a colon, and client ids of more than 64 characters."""
    path = tmp_path_factory.mktemp("fleet") / "fleet.csv"
    rows = [
        f"Prëss {number:05d}:x,PLC {number} {'x' * 70},user-{number},word {number},{line_of(number)}"
        for number in range(COUNT)
    ]
    path.write_text("\n".join(["id,client_id,username,password,line", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The password file of Mosquitto, hashed by its own program."""
    require_program("mosquitto_passwd", "mosquitto")
    path = tmp_path_factory.mktemp("passwords") / "passwords"
    users = [f"user-{number}:word {number}" for number in range(COUNT)]
    path.write_text("\n".join([*users, "bridge:of the bridge"]) + "\n")
    path.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", path], check=True, timeout=500)
    return path


@pytest.fixture(scope="module", params=["mqtt", "mqtts"])
def secured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, passwords: Path
) -> Iterator[Secured]:
    """A chain whose broker lets nobody in without a password."""
    raise_open_files()
    tmp_path = tmp_path_factory.mktemp("chain")
    settings = {"allow_anonymous": "false", "password_file": str(passwords)}
    keys: dict[str, object] = {}
    ca_file = None
    if request.param == "mqtts":
        certificate, key = tmp_path / "broker.crt", tmp_path / "broker.key"
        require_program("openssl", "openssl")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
             "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        settings |= {"certfile": str(certificate), "keyfile": str(key)}
        keys, ca_file = {"mqtt": {"ca_file": str(certificate)}}, certificate
    subscriptions = [{"filter": "plant/#", "decode": {"topic": FORMAT["topic"], "payload": FORMAT["payload"]}}]
    with running_chain(
        tmp_path,
        {"mode": "batch"},
        mosquitto=settings,
        url=f"{request.param}://bridge:of%20the%20bridge@",
        subscriptions=subscriptions,
        **keys,
    ) as chain:
        yield Secured(f"{request.param}://127.0.0.1:{chain.broker.port}", chain.ingest, ca_file)


async def test_all_of_a_file_log_in_and_nothing_is_lost(secured: Secured, fleet_csv: Path) -> None:
    interval_s = max(1, COUNT // 200)
    group = {"kind": "bme280", "identities": fleet_csv, "interval": interval_s, **FORMAT}
    extra = {} if secured.ca_file is None else {"ca_file": secured.ca_file}
    scenario = Scenario(broker=secured.broker, devices=[group], **extra)
    assert scenario.devices[0].size == COUNT
    fleet, stop = Fleet(scenario, name="test"), asyncio.Event()
    running = asyncio.create_task(fleet.run(math.inf, stop))
    begin_s = asyncio.get_running_loop().time()
    async with asyncio.timeout(LONGEST_S):
        while fleet.connected_after_s is None and not running.done():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    # As long again as it takes all to say something, and at least three times that.
    await asyncio.sleep(max(interval_s, begin_s + 3 * interval_s - asyncio.get_running_loop().time()))
    stop.set()
    record = await running
    assert record.problems == {}
    assert {device.device_id for device in record.devices} == {f"Prëss {number:05d}:x" for number in range(COUNT)}
    assert "word 1" not in str(record.spoken)
    found = await asyncio.to_thread(verify_run, record, ingest=secured.ingest, wait_s=60)
    assert found.outcome == Outcome.PASS, found.failures()
    assert found.total_sent == record.totals["emitted"] >= 2 * COUNT
    print(f"{COUNT:,} connected after {fleet.connected_after_s:.1f} s, {found.total_sent:,} messages: {found.outcome}")


def with_a_wrong_password(fleet_csv: Path, path: Path) -> Path:
    lines = fleet_csv.read_text().splitlines()[:4]
    lines[2] = lines[2].replace("word 1", "secret")
    path.write_text("\n".join(lines))
    return path


async def test_a_wrong_password_is_told_with_its_device(secured: Secured, fleet_csv: Path, tmp_path: Path) -> None:
    path = with_a_wrong_password(fleet_csv, tmp_path / "fleet.csv")
    group = {"kind": "bme280", "identities": path, "interval": "1s", **FORMAT}
    extra = {} if secured.ca_file is None else {"ca_file": secured.ca_file}
    scenario = Scenario(broker=secured.broker, devices=[group], reconnect={"cap": "200ms"}, **extra)
    at_once = asyncio.Event()
    at_once.set()
    record = await Fleet(scenario, name="test").run(1.5, asyncio.Event(), at_once)
    assert "never connected" in record.verdict
    assert "secret" not in str(record)
