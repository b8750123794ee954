"""`edgefleet run` reads its scenario again at SIGHUP while 300 devices run: nothing is lost, nobody else reconnects."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from edgefleet.verify import Outcome, verify_run
from edgewire.run_record import RunRecord
from tests.e2e.chain import Chain, running_chain
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with running_chain(tmp_path_factory.mktemp("reload"), {"mode": "batch"}) as running:
        yield running


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.long)])
def test_groups_come_go_and_change_at_sighup(workers: str, tmp_path: Path, chain: Chain) -> None:
    groups = [
        {"kind": "bme280", "count": 101, "interval": "500ms"},
        {"kind": "people", "count": 100, "interval": "1s"},
        {"kind": "gps", "count": 99, "interval": "1s"},
    ]
    path, log = tmp_path / "fleet.yaml", tmp_path / "log.txt"

    def write(devices: object, **keys: object) -> None:
        path.write_text(yaml.safe_dump({"broker": chain.broker.url, "devices": devices} | keys))

    write(groups)
    command = [sys.executable, "-m", "edgefleet", "run", path, "--workers", workers, "--record", tmp_path / "run"]
    with (
        log.open("w") as output,
        subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=output) as run,
    ):

        def running_devices() -> int:
            try:
                record = RunRecord.load(tmp_path / "run")
            except Exception:  # not yet written
                return 0
            return len({device.device_id for device in record.devices if device.acknowledged})

        try:
            until(lambda: running_devices() == 300, "all 300 have measured")
            # A file that is wrong leaves the run as it was.
            path.write_text("devices: [{kind: bme280, count: many}]\n")
            run.send_signal(signal.SIGHUP)
            until(lambda: "not reloaded" in log.read_text(), "the wrong file is refused")
            write(groups, seed=5)
            run.send_signal(signal.SIGHUP)
            until(lambda: "seed cannot change" in log.read_text(), "the seed is refused")
            write([groups[0] | {"count": 151}, groups[2] | {"interval": "500ms"}])
            run.send_signal(signal.SIGHUP)
            until(lambda: running_devices() == 350, "50 more have measured")
        finally:
            run.send_signal(signal.SIGTERM)
            stdout, _ = run.communicate(timeout=60)
    assert run.returncode == 0, log.read_text()
    record = RunRecord.load(tmp_path / "run")
    found = verify_run(record, ingest=chain.ingest, wait_s=20)
    assert found.outcome is Outcome.PASS, found.failures()
    assert found.sinks["http"].total.unexpected == 0
    assert orjson.loads(stdout)["reconnects"] == 0
    (reload,) = record.reloads
    assert (reload.added, reload.removed, reload.replaced, reload.intervals) == (50, 100, 0, 99)
    # Who stays has one boot, without a gap; who has gone fell silent before the others.
    boots = [device for device in record.devices if device.kind != "people"]
    assert len(boots) == len({device.device_id for device in boots}) == 250
