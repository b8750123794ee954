"""Twenty devices of two parts each: twenty connections, through the bridge into the store, and back a command."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.verify import Outcome, verify_run
from tests.devices.fleet.observer import conduct, observing
from tests.e2e.chain import running_chain
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.timeout(180)]

COUNT = 10
OWN_AIR = {
    "topic": "plant/{site}/{id}/air",
    "payload": {"t": "temperature_c", "ts": {"from": "timestamp", "as": "epoch_ms"}},
}
OWN_WAY = {"topic": "plant/{site}/{id}/way", "payload": {"v": "speed_kmh", "at": "timestamp"}}
GROUPS: list[dict[str, Any]] = [
    {"device": [{"kind": "bme280", "interval": "400ms"}, {"kind": "people", "interval": "1s"}], "name": "box"},
    {
        "device": [
            {"kind": "bme280", "interval": "400ms", "qos": 1, **OWN_AIR},
            {"kind": "gps", "interval": "300ms", "qos": 1, **OWN_WAY},
        ],
        "name": "van",
    },
]


async def test_devices_with_parts_lose_nothing_in_a_reboot_and_an_outage(tmp_path: Path) -> None:
    subscriptions = [
        {"filter": "edge/+/+/+/+"},
        {"filter": "plant/+/+/air", "decode": OWN_AIR},
        {"filter": "plant/+/+/way", "decode": OWN_WAY},
    ]
    log = tmp_path / "broker.log"
    told = {"log_dest": f"file {log}", "log_type": "notice"}
    with running_chain(tmp_path, {"mode": "batch"}, mosquitto=told, subscriptions=subscriptions) as chain:
        scenario = Scenario.model_validate(
            {
                "broker": chain.broker.url,
                "devices": [group | {"count": COUNT} for group in GROUPS],
                "firmware": {"boot_time": "1s"},
                "outbox": {"storage": "flash"},
                "reconnect": {"base": "100ms", "cap": "500ms"},
            }
        )
        with observing(chain.broker) as observer:

            async def script(fleet: Fleet) -> None:
                await eventually(lambda: fleet.connected_after_s is not None, "all are connected")
                connected = re.findall(r" as ((?:box|van)-\d+) ", await asyncio.to_thread(log.read_text))
                assert sorted(connected) == sorted({client.device.whole_id for client in fleet.clients})
                assert (len(connected), len(fleet.clients)) == (2 * COUNT, 4 * COUNT)
                topic = "edge/default/device/box-0003/cmd"
                observer.send_command(topic, {"id": "c1", "action": "reboot"})
                assert (await observer.result("box-0003", "c1"))["ok"]
                await eventually(
                    lambda: observer.states("box-0003")[-2:] == ["offline", "online"], "the device is back"
                )
                before = fleet.snapshot().emitted
                await asyncio.to_thread(chain.broker.terminate)
                await eventually(lambda: fleet.snapshot().emitted > before + 6 * COUNT, "they measure all the same")
                await asyncio.to_thread(chain.broker.start)
                await eventually(lambda: all(client.is_online for client in fleet.clients), "all are back")
                await eventually(lambda: fleet.snapshot().buffered == 0, "what has waited is sent")

            record = await conduct(scenario, script)
        found = await asyncio.to_thread(verify_run, record, ingest=chain.ingest, wait_s=30)
        assert found.outcome is Outcome.PASS, (found.failures(), found.untold)
        assert found.total_sent == record.totals["emitted"] - record.totals["dropped"]
        assert found.sinks["http"].total.unexpected == 0
    assert {one.has_parts for one in record.gateways} == {True}
    assert len(record.gateways) == 2 * COUNT
