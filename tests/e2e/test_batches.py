"""Several readings in one message, from the device to the store: none is lost in an outage or a short list."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.verify import Outcome, RunVerdict, verify_run
from edgewire.run_record import RunRecord
from tests.e2e.chain import Chain, running_chain
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

AT = {"from": "timestamp", "as": "epoch_ms"}
NUMBERED = {
    "topic": "numbered/{id}",
    "payload": {"fw": "firmware", "rssi": "rssi_dbm", "b": "boot", "r": {"each": {"t": "temperature_c", "n": "seq"}}},
}
COLUMNS = {
    "topic": "columns/{id}",
    "payload": {"up": "uptime_s", "t": {"each": "temperature_c"}, "h": {"each": "humidity"}, "at": {"each": AT}},
}
ROWS = {"topic": "rows/{gateway}/{id}", "payload": {"each": [AT, "pressure_hpa"]}}
GROUPS: list[dict[str, Any]] = [
    {"id": "numbered-{n}", "batch": 6, **NUMBERED},
    {"id": "columns-{n}", "batch": 4, **COLUMNS},
    {"id": "rows-{n}", "batch": 7, "gateway": {"count": 2}, "count": 4, **ROWS},
    # Two of three messages of a reading are collected, each for itself.
    {"id": "parts-{n}", "batch": 5, "messages": [
        {"topic": "parts/a/{id}", "payload": {"r": {"each": {"t": "temperature_c", "at": AT}}}, "pad_to": 500},
        {"topic": "parts/b/{id}", "payload": {"h": "humidity", "at": AT}},
        {"topic": "parts/c/{id}", "payload": {"p": {"each": "pressure_hpa"}, "at": {"each": AT}}},
    ]},
]  # fmt: skip
MAPPINGS = [
    NUMBERED,
    COLUMNS,
    ROWS,
    *({"topic": one["topic"], "payload": one["payload"]} for one in GROUPS[3]["messages"]),
]
SUBSCRIPTIONS = [
    {"filter": one["topic"].replace("{id}", "+").replace("{gateway}", "+"), "decode": one} for one in MAPPINGS
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("batches")
    archive = {"folder": str(folder / "archive")}
    with running_chain(folder, {"mode": "batch"}, subscriptions=SUBSCRIPTIONS, file=archive) as found:
        yield found


async def run_with_outage(chain: Chain) -> tuple[RunRecord, Fleet]:
    """Run the groups, and take the broker away in between."""
    plain = {"kind": "bme280", "count": 3, "interval": "100ms"}
    scenario = Scenario(
        broker=chain.broker.url,
        devices=[plain | group for group in GROUPS],
        reconnect={"base": "100ms", "cap": "500ms"},
        faults=[
            # What a sensor does not read is missing in its list.
            {"type": "dropout", "kind": "bme280", "rate": "12/min", "duration": "500ms"},
        ],
    )
    fleet, stop = Fleet(scenario, name="test"), asyncio.Event()
    running = asyncio.create_task(fleet.run(60, stop))
    await eventually(lambda: fleet.snapshot().acknowledged >= 100)
    await asyncio.to_thread(chain.broker.terminate)
    before = fleet.snapshot().emitted
    await eventually(lambda: fleet.snapshot().emitted >= before + 150)
    await asyncio.to_thread(chain.broker.start)
    back = fleet.snapshot().acknowledged
    await eventually(lambda: fleet.snapshot().acknowledged >= back + 250)
    stop.set()
    return await running, fleet


def lines_in(folder: Path) -> int:
    """Return how many readings the bridge has written into files."""
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*") if path.is_file())


def change(chain: Chain, device: str, values: dict[str, Any] | None) -> None:
    """Alter one reading of a device in the store, or take it out: one that is there once, not what came twice."""
    with sqlite3.connect(chain.store, timeout=10) as store:
        row, payload = store.execute(
            "SELECT min(rowid), payload FROM messages WHERE device_id = ? "
            "GROUP BY payload HAVING count(*) = 1 ORDER BY 1 LIMIT 1 OFFSET 3",
            (device,),
        ).fetchone()
        if values is None:
            store.execute("DELETE FROM messages WHERE rowid = ?", (row,))
        else:
            changed = orjson.dumps(orjson.loads(payload) | values).decode()
            store.execute("UPDATE messages SET payload = ? WHERE rowid = ?", (changed, row))


async def test_all_readings_of_all_messages_are_in_the_store(chain: Chain) -> None:
    record, fleet = await run_with_outage(chain)

    def verdict(wait_s: float) -> RunVerdict:
        return verify_run(record, ingest=chain.ingest, wait_s=wait_s)

    found = await asyncio.to_thread(verdict, 30)
    assert (found.outcome, found.failures(), found.untold) == (Outcome.PASS, [], [])
    totals = record.totals
    assert found.total_sent == totals["acknowledged"] > 300
    # What was under way as the broker went may be there twice, and nothing else.
    assert found.sinks["http"].total.altered == 0
    now = fleet.final
    assert (now.unaccounted, now.unsent) == (0, 0)
    assert totals["emitted"] == totals["acknowledged"] + now.dropped
    assert now.dropped == now.dropped_by_fault > 0
    archived = chain.store.parent / "archive"
    await eventually(lambda: lines_in(archived) >= totals["acknowledged"])
    # One message in seven of parts is plain; the others have about five readings.
    assert 3 < now.batched / now.batches < 7
    assert now.batched < totals["emitted"]
    assert "messages of several: all other numbers are of readings" in record.verdict

    for device in ("numbered-1", "rows-8"):
        change(chain, device, None)
    change(chain, "columns-5", {"uptime_s": 4711})
    change(chain, "parts-12", {"pressure_hpa": 4711})
    altered = (await asyncio.to_thread(verdict, 0)).sinks["http"]
    assert altered.timing.missing_by_device == {"numbered-1": 1, "rows-8": 1}
    assert altered.total.altered == 2
    assert altered.alterations.fields["uptime_s"] == 1
