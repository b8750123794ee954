"""The bridge behind a run is paused and drained, its dead letters go, and the account of the run says so."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bridge.spool.accounting import count_messages
from devices.scenario.actions import ACTION
from edgefleet.control.controller import RunController
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.run_record import ActionRecord
from tests.bridge.fakes import ingest_stub
from tests.bridge.live import Publisher, staged
from tests.edgefleet.control.runs import SCENARIO, ScriptedShards, controller_of
from tests.waiting import eventually


async def act(controller: RunController, name: str, **keys: Any) -> ActionRecord:
    return (await controller.perform(ACTION.validate_python({"action": name, **keys}))).record


@pytest.mark.services
async def test_a_bridge_does_what_it_is_told_through_the_run(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest) as stage:
        ingest.poison = {f"d1:1:{number}": 400 for number in (1, 4)}
        controller = controller_of(ScriptedShards(SCENARIO), bridge=stage.bridge.admin.url)
        publisher = Publisher(mosquitto.url, stage.site)
        await publisher.more(20)

        await eventually(lambda: sum(one.dead_lettered for one in count_messages(stage.path)) == 2)
        letters = (await controller.dead_letters([("sink", "http")]))["dead_letters"]
        assert [one["number"] for one in letters] == [2, 1]
        ingest.poison = {}
        assert (await act(controller, "replay_dead_letters", numbers=[1])).messages == {"http": ["d1:1:1"]}
        dropped = await act(controller, "drop_dead_letters", all=True)
        assert dropped.messages == {"http": ["d1:1:4"]}
        assert dropped.said == "1 dead letters were dropped: they are lost"
        with pytest.raises(ConfigError, match="there is no 'htp', did you mean 'http'"):
            await act(controller, "bridge_pause", sink="htp")
        assert (await act(controller, "bridge_pause", sink="http")).said == "the bridge: http paused; paused now: http"
        await eventually(lambda: stage.bridge.readiness().paused == ["http"])
        assert (await act(controller, "bridge_resume")).said == "the bridge: all sinks resumed; paused now: no sink"
        await publisher.finish()
        await act(controller, "bridge_drain")
        await asyncio.wait_for(stage.running, 30)
        assert set(ingest.stored) == {*publisher.sent} - {"d1:1:4"}
        with pytest.raises(ServiceUnavailable, match="no bridge answers there"):
            await act(controller, "bridge_pause")
    names = [(one.number, one.action, one.outcome) for one in controller.actions]
    assert names == [
        (1, "replay_dead_letters", "done"),
        (2, "drop_dead_letters", "done"),
        (3, "bridge_pause", "done"),
        (4, "bridge_resume", "done"),
        (5, "bridge_drain", "done"),
        (6, "bridge_pause", "failed"),
    ]


@pytest.mark.services
async def test_a_bridge_that_asks_for_a_token_is_no_secret_to_the_user(mosquitto: Any, tmp_path: Path) -> None:
    admin = {"port": 0, "token": "a-token-of-a-bridge-0123"}
    async with ingest_stub() as ingest, staged(mosquitto.url, tmp_path, ingest, admin=admin) as stage:
        controller = controller_of(ScriptedShards(SCENARIO), bridge=stage.bridge.admin.url)
        with pytest.raises(EdgefleetError, match="no token: begin the run with --bridge-token-file"):
            await act(controller, "bridge_pause")
        assert controller.actions == []
