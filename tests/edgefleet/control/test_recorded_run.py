"""A run that is over, as its page asks for it: what its files hold is told, and what they do not hold in words."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
import yaml
from typer.testing import CliRunner

from edgefleet.cli import app
from edgefleet.control import records_server
from edgefleet.control.client import ControlClient
from edgefleet.control.records_server import load_runs, served_records
from edgefleet.control.server import ControlConfig
from edgefleet.report.status_series import StatusSeries, series_head, series_state
from edgewire.errors import ConfigError, EdgefleetError
from edgewire.run_record import ActionRecord, DeviceRecord
from tests.edgefleet.report.html.test_files import LABEL
from tests.edgefleet.report.series import event_at, status_at
from tests.run_records import SIM_STARTED_MS, run_record

TOKEN = "a-token-of-a-run-0123"
SCENARIO = {"seed": 1, "devices": [{"kind": "bme280", "count": 1}, {"kind": "gps", "count": 2}]}


def leave_run(folder: Path, *, is_old: bool = False, state: Any = "complete") -> Path:
    """Leave what a run of one thermometer and three GPS receivers does, of which the third came by an action."""
    devices = [
        DeviceRecord(device_id=name, kind=name.split("-")[0], site="default", boot=7, first_seq=0, last_seq=9,
                     acknowledged=8, dropped=[(3, 4)])
        for name in ("bme280-0001", "gps-0001", "gps-0002", "gps-0003")
    ]  # fmt: skip
    scaling = ActionRecord(
        number=1, at_ms=1, action="scale", arguments={"group": "gps", "count": 3}, said="gps scaled from 2 to 3 devices"
    )
    problems = {"dropped": "8 messages were dropped"}
    replace(run_record(*devices), actions=[scaling], problems=problems, state=state).save(folder)
    if state == "running":  # as a checkpoint has it
        path = folder / "run.json"
        path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"state": state}))
    label = LABEL | {"device_id": "gps-0002", "start_ms": SIM_STARTED_MS}
    (folder / "labels.jsonl").write_bytes(orjson.dumps(label) + b"\n")
    if not is_old:
        (folder / "scenario.yaml").write_text(yaml.safe_dump(SCENARIO))
        times = [SIM_STARTED_MS + 1000 * second for second in range(4)]
        states = [series_state(status_at(second, device_time_ms=ms), 1000) for second, ms in enumerate(times)]
        series = StatusSeries(head=series_head(status_at(0)), states=states, events=[event_at(2)])
        (folder / "status.jsonl").write_bytes(series.to_bytes())
    return folder


@asynccontextmanager
async def served(*folders: Path, token: str | None = None) -> AsyncIterator[str]:
    async with served_records(ControlConfig.parse("127.0.0.1:0", token), load_runs(folders)) as url:
        yield url


async def ask(url: str, **options: Any) -> requests.Response:
    return await asyncio.to_thread(requests.get, url, timeout=10, **options)


async def test_a_record_is_asked_as_a_run_that_goes_on_is(tmp_path: Path) -> None:
    async with served(leave_run(tmp_path / "run")) as url:
        client = ControlClient(f"{url}/runs/1")

        def script() -> None:
            status = client.read("status")
            # Of the end: the last moment of the time line, and the counts of the record.
            assert (status["emitted"], status["dropped"], status["sent_per_s"]) == (40, 8, 10.0)
            assert status["problems"] == ["8 messages were dropped."]
            assert "nothing changes" in status["read_only"]
            assert [(one["group"], one["devices"]) for one in client.read("groups")] == [("bme280", 1), ("gps", 3)]
            found = client.read("devices", search="gps", group="gps", limit=2)
            assert (found["found"], [one["device_id"] for one in found["devices"]]) == (3, ["gps-0001", "gps-0002"])
            assert client.read("devices", search="gps", after=found["next"])["devices"][0]["device_id"] == "gps-0003"
            device = client.device("gps-0002")
            assert [device["emitted"], device["dropped"], device["messages"]] == [10, 2, []]
            assert [one["type"] for one in device["faults"]] == ["dropout"]
            assert "no messages, commands, battery" in device["not_recorded"]
            assert [one["said"] for one in client.read("actions")] == ["gps scaled from 2 to 3 devices"]
            assert client.read("scenario")["scenario"] == SCENARIO
            assert [name for name, _ in islice(client.events(), 2)] == ["event", "state"]
            for path, query, said in (
                ("devices", {"state": "off"}, "does not tell which state"),
                ("devices", {"group": "none"}, "knows of none that is called"),
                ("dead-letters", {}, "not in a record"),
            ):
                with pytest.raises(EdgefleetError, match=said):
                    client.read(path, **query)
            with pytest.raises(EdgefleetError, match="nothing can be done to a record"):
                client.act({"action": "pause"})
            with pytest.raises(ConfigError, match="there is no device"):
                client.device("gps-9")

        await asyncio.to_thread(script)
        lines = (await ask(f"{url}/runs/1/v1/history")).text.splitlines()
        names = [next(iter(orjson.loads(line))) for line in lines]
        assert names == ["format", "state", "state", "state", "event", "state"]


async def test_its_map_is_that_of_any_moment(tmp_path: Path) -> None:
    async with served(leave_run(tmp_path / "run")) as url:
        base = f"{url}/runs/1/v1/map"
        (site,) = (await ask(f"{base}/sites")).json()
        assert (await ask(f"{base}/roads?site={site['site']}")).json()["lines"]
        assert (await ask(f"{base}/roads?site=none")).status_code == 422
        listed = (await ask(f"{base}/devices")).json()
        assert listed["ids"] == ["bme280-0001", "gps-0001", "gps-0002", "gps-0003"]
        last, first, early = [
            await ask(f"{base}/places{query}") for query in ("", f"?at_ms={SIM_STARTED_MS}", "?at_ms=0")
        ]
        assert [len(one.content) for one in (last, first)] == [20, 20]
        assert int(last.headers["device-time-ms"]) == SIM_STARTED_MS + 3000
        assert int(first.headers["device-time-ms"]) == int(early.headers["device-time-ms"]) == SIM_STARTED_MS


async def test_what_an_older_record_does_not_have_is_said(tmp_path: Path) -> None:
    async with served(leave_run(tmp_path / "new"), leave_run(tmp_path / "old", is_old=True)) as url:
        runs = (await ask(f"{url}/runs/2/v1/runs")).json()
        assert [(one["path"], Path(one["record"]).name) for one in runs] == [("../1/", "new"), ("", "old")]
        status = (await ask(f"{url}/runs/2/v1/status")).json()
        assert (status["emitted"], status["connected"], status["sent_per_s"]) == (40, None, None)
        for path, code, said in (
            ("history", 409, "has no status.jsonl"),
            ("groups", 422, "did not keep its scenario"),
            ("map/sites", 422, "did not keep its scenario"),
        ):
            answer = await ask(f"{url}/runs/2/v1/{path}")
            assert (answer.status_code, said in answer.json()["error"]) == (code, True), path
        assert (await ask(f"{url}/runs/2/v1/devices?search=gps")).json()["found"] == 3
        assert (await ask(f"{url}/runs/3/v1/status")).status_code == 404


async def test_a_run_that_goes_on_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_server, "LOOK_S", 0.05)
    folder = leave_run(tmp_path / "run", state="running")
    async with served(folder) as url:
        status = (await ask(f"{url}/runs/1/v1/status")).json()
        assert (status["is_complete"], status["emitted"]) == (False, 30)
        assert "had not ended" in status["read_only"]
        (folder / "run.json").write_text("half of it")
        await asyncio.sleep(0.2)
        assert (await ask(f"{url}/runs/1/v1/status")).json() == status
        leave_run(folder)
        deadline = time.monotonic() + 30
        while not (await ask(f"{url}/runs/1/v1/status")).json()["is_complete"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_the_page_of_a_record_has_the_guards_of_a_run(tmp_path: Path) -> None:
    folder = leave_run(tmp_path / "run")
    async with served(folder, token=TOKEN) as url:
        page = await ask(url)
        assert (page.status_code, page.url) == (200, f"{url}/runs/1/")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await ask(f"{url}/runs/1/page/page.js")).status_code == 200
        for path in ("v1/status", "v1/history", "v1/devices/gps-0001", "docs", "openapi.json"):
            assert (await ask(f"{url}/runs/1/{path}")).status_code == 401, path
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert (await ask(f"{url}/runs/1/v1/status", headers=bearer)).status_code == 200
        assert (await ask(f"{url}/runs/1/", headers={"origin": "http://elsewhere.example"})).status_code == 403
    async with served(folder) as url:
        assert (await ask(f"{url}/runs/1/v1/status", headers={"host": "rebound.example"})).status_code == 421


def test_what_cannot_be_shown_is_one_sentence(tmp_path: Path) -> None:
    run, broken = leave_run(tmp_path / "run"), leave_run(tmp_path / "broken")
    with (broken / "status.jsonl").open("ab") as file:
        file.write(b'{"state":{}}\n')
    (tmp_path / "empty").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        for arguments, said, code in (
            ([tmp_path / "none"], "there is no run.json", 2),
            ([tmp_path / "empty"], "there is no run.json", 2),
            ([broken], "status.jsonl: line 7 is no moment of a run", 2),
            ([run, run / "run.json"], "is the same run as", 2),
            ([run, "--web", "0.0.0.0:0"], "give --web-token-file FILE, or listen on 127.0.0.1", 2),
            ([run, "--web", "page"], "--web: 'page' is neither a port", 2),
            ([run, "--web", str(port)], f"--web: cannot listen on 127.0.0.1:{port}", 1),
        ):
            result = CliRunner().invoke(app, ["web", *map(str, arguments)])
            assert isinstance(result.exception, EdgefleetError), arguments
            assert said in str(result.exception)
            assert result.exception.exit_code == code
