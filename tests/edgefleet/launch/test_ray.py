"""`edgefleet run --ray`: the shards of a run on a Ray cluster of two nodes."""

import asyncio
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from edgefleet.control.address import find_address
from edgefleet.control.client import ControlClient
from edgefleet.embedded import MosquittoProcess, free_port
from edgefleet.launch.shard import run_shard
from edgefleet.verify import Outcome, verify_run
from edgewire.run_record import BY_REQUEST, RunRecord
from tests.devices.export.test_parts import contents
from tests.edgefleet.control.behind import bridge_behind
from tests.edgefleet.control.script import ACTIONS, BRIDGE_ACTIONS, REFUSED, SCENARIO, STUCK_DEVICES, do_everything
from tests.edgefleet.launch.test_workers import job, listening
from tests.processes import not_outliving
from tests.waiting import eventually

pytestmark = [pytest.mark.services, pytest.mark.ray, pytest.mark.timeout(300)]  # a cluster of ten processes and more

ROOT = Path(__file__).parents[3]
# Ray's switch for machines that are a cluster of their own: everything stays on 127.0.0.1.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'edgefleet[ray]'"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Its address. The temporary folder has a short name, because Unix sockets are in it."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    environment = os.environ | LOOPBACK | {"RAY_TMPDIR": folder}
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("ray_nodes.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as nodes:
        assert nodes.stdout is not None
        assert nodes.stdin is not None
        address = nodes.stdout.readline().strip()
        assert address.startswith("127.0.0.1:")
        with not_outliving(nodes):
            yield address
            nodes.stdin.close()
            nodes.wait(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def command(cluster: str, scenario: Path, record: Path, *options: str) -> list[str]:
    fixed = ["--from", "2026-03-04T12:00:00Z", "--log-level", "warning", "--record", str(record), "--json"]
    return [sys.executable, "-m", "edgefleet", "run", str(scenario), "--ray-address", cluster, *fixed, *options]


def scenario_file(folder: Path, *brokers: MosquittoProcess) -> Path:
    document = job(*brokers).scenario.model_dump(mode="json", exclude_unset=True)
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@needs_ray
async def test_the_messages_are_those_of_one_process_and_the_report_balances(
    cluster: str, tmp_path: Path, mosquitto_factory: Callable[[], MosquittoProcess]
) -> None:
    brokers = mosquitto_factory(), mosquitto_factory()
    with listening(*brokers) as heard:
        await run_shard(job(*brokers), asyncio.Event())
        await eventually(lambda: sum(map(len, heard)) >= 57)
    with listening(*brokers) as heard_of_ray:
        run = command(cluster, scenario_file(tmp_path, *brokers), tmp_path / "run", "--messages=3", "--workers=3")
        done = await asyncio.to_thread(
            subprocess.run, run, capture_output=True, text=True, timeout=150, env=os.environ | LOOPBACK
        )
        assert done.returncode == 0, done.stderr
        await eventually(lambda: sum(map(len, heard_of_ray)) >= 57)
    assert [sorted(payloads) for payloads in heard_of_ray] == [sorted(payloads) for payloads in heard]
    report = json.loads(done.stdout)
    assert (report["devices"], report["emitted"], report["acknowledged"]) == (19, 57, 57)
    assert (report["dropped"], report["unsent"], report["failures"]) == (0, 0, [])
    assert RunRecord.load(tmp_path / "run").totals["acknowledged"] == 57


@needs_ray
async def test_a_shard_that_dies_is_reported_and_ctrl_c_ends_the_others_in_order(
    cluster: str, tmp_path: Path, mosquitto_factory: Callable[[], MosquittoProcess]
) -> None:
    broker = mosquitto_factory()
    run = command(cluster, scenario_file(tmp_path, broker), tmp_path / "run", "--workers=2")
    with listening(broker) as (heard,):
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | LOOPBACK}
        with subprocess.Popen(run, **streams) as driver, not_outliving(driver):  # noqa: ASYNC220 - it takes a millisecond
            await eventually(lambda: len(heard) > 40)
            actors(cluster)[0].kill()
            said = bytearray()
            os.set_blocking(driver.stderr.fileno(), False)

            def died() -> bool:
                said.extend(driver.stderr.read() or b"")
                return b"died on node" in said

            await eventually(died)
            before = len(heard)
            await eventually(lambda: len(heard) > before + 20)
            driver.send_signal(signal.SIGINT)
            output, errors = await asyncio.to_thread(driver.communicate, timeout=120)
        assert driver.returncode == 1, errors
        report = json.loads(output)
        assert re.fullmatch(
            r"worker [01] died on node \S+ \(process \d+\), its devices are unaccounted for", report["failures"][0]
        )
        # Of the shard that died there is what it had sent at its last checkpoint, if it came to one.
        assert report["devices"] in (9, 10, 19)
        assert report["emitted"] == report["acknowledged"] + report["unsent"] > 20
    assert RunRecord.load(tmp_path / "run").totals["acknowledged"] == report["acknowledged"]


@needs_ray
async def test_a_run_on_the_cluster_is_controlled(
    cluster: str, tmp_path: Path, mosquitto_factory: Callable[[], MosquittoProcess]
) -> None:
    broker, record, admin_port = mosquitto_factory(), tmp_path / "run", free_port()
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(yaml.safe_dump(SCENARIO | {"broker": broker.url}))
    run = [sys.executable, "-m", "edgefleet", "run", scenario, "--ray-address", cluster, "--workers=2", "--control=0"]
    run += ["--bridge", f"http://127.0.0.1:{admin_port}"]
    with listening(broker) as (heard,), bridge_behind(tmp_path, broker.url, admin_port):
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | LOOPBACK}
        with subprocess.Popen([*run, "--record", record, "--json"], **streams) as driver, not_outliving(driver):  # noqa: ASYNC220 - it takes a millisecond
            await eventually(lambda: (record / "control.json").exists() or driver.poll() is not None)
            client = ControlClient(find_address(str(record)))
            await asyncio.to_thread(do_everything, client)
            client.act({"action": "stop"})
            output, errors = await asyncio.to_thread(driver.communicate, timeout=120)
        assert driver.returncode == 0, errors
        found = RunRecord.load(record)
        await eventually(lambda: len({*heard}) >= found.totals["acknowledged"])
    assert [one.action for one in found.actions] == [*ACTIONS, *BRIDGE_ACTIONS, "bridge_drain", "stop"]
    assert [change.time_scale for change in found.time_changes] == [4, 1]
    assert {(span.device_id, span.why) for span in found.standby} == {(f"gps-{n:04}", BY_REQUEST) for n in range(1, 7)}
    assert {one.outcome for one in found.actions} == {"done"}
    assert found.actions[3].devices == STUCK_DEVICES
    assert json.loads(output)["ok"] is True
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b"\n".join({*heard} - {REFUSED}))
    verdict = verify_run(found, rows=rows, wait_s=0)
    assert verdict.outcome is Outcome.PASS, verdict.failures()
    assert [one["action"] for one in verdict.to_json()["actions"]] == [one.action for one in found.actions]


@needs_ray
def test_a_data_set_of_parts_is_made_on_the_cluster(cluster: str, tmp_path: Path) -> None:
    """The same bytes as in processes of this machine; a folder that cannot be written is told of."""
    kind = ["generate", "--kind", "bme280", "--count", "300", "--interval", "1s", "--format", "jsonl.gz"]
    command = [sys.executable, "-m", "edgefleet", *kind, "--from", "2026-03-04T12:00", "--to", "2026-03-04T12:50"]
    for options in (["--out", "ray/", "--ray", cluster], ["--out", "here/", "--jobs", "1"]):
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=150, env=os.environ | LOOPBACK, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert "900,000 records" in done.stdout
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    assert len(list((tmp_path / "ray").rglob("part-*"))) > 1


def actors(cluster: str) -> list[psutil.Process]:
    """The processes of ours on the nodes of this cluster."""
    port = cluster.rpartition(":")[2]
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if "ray::ShardActor" in " ".join(process.info["cmdline"] or [])
        and any(f":{port}" in " ".join(parent.cmdline()) for parent in process.parents())
    ]
